//! How much of linked records the prompt holds, and who gets it.

use mana_ai::inputs::bounds::{LONGEST_IN_ALL, LONGEST_RECORD, MOST_LINKS, cut, fair};
use mana_ai::inputs::linked::State;
use proptest::prelude::*;
use serde_json::json;

use crate::inputs::{NOTES, linked, note, states};
use crate::support::World;

proptest! {
    /// Nobody gets more than it needs, the sum is kept, and who lacks something has at least what anybody else has.
    #[test]
    fn shares_are_fair(sizes in prop::collection::vec(0_usize..5_000, 0..60), total in 0_usize..30_000) {
        let shares = fair(&sizes, total);
        let sum: usize = shares.iter().sum();
        prop_assert!(sum <= total && (sum == total.min(sizes.iter().sum()) || total - sum < sizes.len()));
        for (size, share) in sizes.iter().zip(&shares) {
            prop_assert!(share <= size);
            prop_assert!(share == size || shares.iter().all(|other| *other <= share + 1));
        }
    }

    #[test]
    fn a_cut_keeps_its_bound_and_loses_no_beginning(text in "[a-zä \n]{0,300}", most in 0_usize..320) {
        let cut = cut(&text, most);
        prop_assert!(cut.chars().count() <= most);
        if cut != text {
            let kept = cut.strip_suffix(" [hier gekürzt]").unwrap_or("");
            prop_assert!(text.starts_with(kept));
        }
    }
}

#[test]
fn a_text_is_cut_at_a_word() {
    assert_eq!(cut("eins zwei drei vier fünf", 24), "eins zwei drei vier fünf");
    assert_eq!(cut("eins zwei drei vier fünf", 23), "eins [hier gekürzt]");
    assert_eq!(
        cut("eins zweidreivierfünf mehr", 19),
        "eins [hier gekürzt]",
        "the gap is right behind the cut"
    );
    let word = "x".repeat(5_000);
    assert_eq!(cut(&word, 4_000).chars().count(), 4_000, "a word without end is cut in itself");
}

/// One long note beside short ones, then fifty long ones, then a link too many.
#[tokio::test]
async fn no_note_starves_the_others() {
    let world = World::new().await;
    let alice = world.device("alice");
    let ids: Vec<String> = (0..60).map(|at| format!("n{at}")).collect();
    for id in &ids {
        let content = "Wörter und Wörter. ".repeat(11_000);
        alice.create(NOTES, id, json!({ "title": id, "content": content })).await.unwrap();
    }
    alice.create(NOTES, "short", json!({ "content": "Kurz." })).await.unwrap();

    let few = linked(&world, "alice", &[note("n0"), note("short")]).await;
    assert_eq!(states(&few), [State::Cut, State::Shown]);
    let long = &few.records[0].text;
    assert!((LONGEST_RECORD - 100..=LONGEST_RECORD).contains(&long.chars().count()));
    assert!(long.ends_with(" [hier gekürzt]") && long.starts_with("Titel: n0\nWörter und"), "{long}");

    let mut links: Vec<_> = ids.iter().take(MOST_LINKS - 1).map(|id| note(id)).collect();
    links.push(note("short"));
    let many = linked(&world, "alice", &links).await;
    let sizes: Vec<usize> = many.records.iter().map(|record| record.text.chars().count()).collect();
    assert!(sizes.iter().sum::<usize>() <= LONGEST_IN_ALL);
    assert!(sizes[..MOST_LINKS - 1].iter().all(|size| *size > 400), "{sizes:?}");
    assert_eq!((many.records[MOST_LINKS - 1].state, many.more), (State::Shown, 0));

    links.extend(ids.iter().skip(MOST_LINKS).map(|id| note(id)));
    let more = linked(&world, "alice", &links).await;
    assert_eq!((more.records.len(), more.more), (MOST_LINKS, 10));
}

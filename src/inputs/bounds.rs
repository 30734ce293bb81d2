//! How much of linked records the prompt holds, shared fairly. Everything is counted in characters.

use std::borrow::Cow;

/// The most of one record: about two pages, a thousand tokens. What matters for a plan stands at the beginning of a note.
pub const LONGEST_RECORD: usize = 4_000;
/// The most of all records together: six long ones, some six thousand tokens, which is less than the mission's own texts
/// may take.
pub const LONGEST_IN_ALL: usize = 24_000;
/// The most records of a mission. With so many the share of each is still 480 characters, which is a short note.
pub const MOST_LINKS: usize = 50;

/// Stands at the end of what was cut.
const MARK: &str = " [hier gekürzt]";
/// How far back a cut looks for the end of a word. A longer word is cut itself.
const LONGEST_WORD: usize = 60;

/// Shares `total` among texts of these sizes: who needs less than an equal share gets all it needs, and what it leaves is
/// shared by the others.
pub fn fair(sizes: &[usize], total: usize) -> Vec<usize> {
    let mut smallest_first: Vec<usize> = (0..sizes.len()).collect();
    smallest_first.sort_by_key(|at| sizes[*at]);
    let (mut left, mut shares) = (total, vec![0; sizes.len()]);
    for (served, at) in smallest_first.into_iter().enumerate() {
        shares[at] = sizes[at].min(left / (sizes.len() - served));
        left -= shares[at];
    }
    shares
}

/// Cuts a text at the end of a word, so that it has at most `most` characters with its mark.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let kept = most.saturating_sub(MARK.chars().count());
    let end = |characters: usize| text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let (earliest, latest) = (end(kept.saturating_sub(LONGEST_WORD)), end(kept));
    // The character after the cut counts too: a cut between two words loses neither.
    let next = text[latest..].chars().next().map_or(0, char::len_utf8);
    let at = text[earliest..latest + next].rfind(char::is_whitespace).map_or(latest, |gap| earliest + gap);
    let mark: String = MARK.chars().take(most).collect();
    Cow::Owned(text[..at].trim_end().to_owned() + &mark)
}

/// The same text, marked as the beginning of a longer one, without its last word: that may be a part of one.
pub(super) fn marked(text: &str) -> String {
    let earliest = text.char_indices().nth_back(LONGEST_WORD).map_or(0, |(at, _)| at);
    let at = text[earliest..].rfind(char::is_whitespace).map_or(text.len(), |gap| earliest + gap);
    text[..at].trim_end().to_owned() + MARK
}

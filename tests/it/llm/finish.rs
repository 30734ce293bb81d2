//! `finish_reason`: an answer whose model stopped early says so, and a plan that was cut is asked for again, shorter.

use mana_ai::demo::llm::Behaviour;
use mana_ai::domain::run::Disposition;

use super::client::ask;
use crate::support::{World, due_mission};

/// It is this prompt's fault, and no failure of mana-llm.
#[tokio::test]
async fn a_model_that_wrote_no_text_says_why() {
    for (behaviour, told) in [
        (Behaviour::stopped("length", None), "cut at the model's limit (finish_reason length)"),
        (Behaviour::stopped("length", Some("")), "cut at the model's limit (finish_reason length)"),
        (
            Behaviour::stopped("content_filter", None),
            "filter withheld the answer (finish_reason content_filter)",
        ),
        (Behaviour::stopped("content_filter", Some("{\"ste")), "filter withheld the answer"),
        (Behaviour::stopped("tool_calls", None), "the model called a tool, though none was offered"),
    ] {
        let error = ask(behaviour.clone(), 20_000).await.unwrap_err();
        assert!(error.to_string().contains(told), "{behaviour:?}: {error}");
        assert_eq!(error.disposition(), Disposition::MissionFault, "{behaviour:?}");
    }
    // What is not known, and what is no fault, does not keep a text from being used.
    for reason in ["stop", "tool_calls", "eos", "length"] {
        assert_eq!(ask(Behaviour::stopped(reason, Some("{}")), 20_000).await.unwrap(), "{}", "{reason}");
    }
}

#[tokio::test]
async fn a_plan_that_was_cut_is_asked_for_again_and_shorter() {
    for half in
        ["```json\n{\"summary\": \"Ga", "{\"summary\": \"Ga", "```json\n{\"summary\": \"x\", \"steps\": []}"]
    {
        let world = World::new().await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        world.llm.script([Behaviour::stopped("length", Some(half))]);
        let stats = world.tick().await;
        assert_eq!((stats.plans_written_back, stats.parse_failures), (1, 0), "{half}: {stats:?}");
        let repair = world.llm.requests()[1].body["messages"][3]["content"].as_str().unwrap().to_owned();
        assert!(
            repair.contains("cut at the model's limit") && repair.contains("höchstens zwei Schritte"),
            "{repair}"
        );
    }
}

/// Also where the repair is cut: the reason names the limit, not a fault of JSON.
#[tokio::test]
async fn an_operator_reads_that_it_was_cut() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::stopped("length", Some("{\"summary\": ")));
    let stats = world.tick().await;
    assert_eq!((stats.plans_produced, stats.parse_failures), (0, 1), "{stats:?}");
    assert!(stats.errors[0].contains("the answer was cut at the model's limit"), "{stats:?}");
}

/// JSON that is whole, but no plan, has another fault, and that is named.
#[tokio::test]
async fn a_whole_answer_at_the_limit_is_judged_as_any_other() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.script([Behaviour::stopped("length", Some("{\"steps\": 7}"))]);
    world.tick().await;
    let repair = world.llm.requests()[1].body["messages"][3]["content"].as_str().unwrap().to_owned();
    assert!(repair.contains("not an object with an array `steps`"), "{repair}");
    assert!(!repair.contains("höchstens zwei Schritte"), "{repair}");
}

//! mana-llm late, bad, huge, gone: each has its own error, nothing is lost, and the next tick plans.

use std::time::Duration;

use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::planner::llm::{LlmClient, LlmError};
use mana_ai::planner::prompt::{Message, Messages};
use secrecy::SecretString;

use crate::support::{KEY, World, due_mission, soon};

const MARKER: &str = "the user's own words";

fn client(url: &str, timeout_ms: u64) -> LlmClient {
    let timeout = Duration::from_millis(timeout_ms);
    LlmClient::new(url, SecretString::from(KEY), "mana/reasoning".into(), timeout).unwrap()
}

async fn ask(behaviour: Behaviour, timeout_ms: u64) -> Result<String, LlmError> {
    let stand_in = StandIn::start(behaviour).await.unwrap();
    let message = |role| Message { role, content: MARKER.into() };
    let messages = Messages(vec![message("system"), message("user")]);
    let answer = soon(client(stand_in.url(), timeout_ms).complete(&messages)).await;
    answer.map(|completion| completion.content)
}

fn raw(status: u16, headers: &[(&'static str, &str)], body: &str) -> Behaviour {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Behaviour::Raw(status, headers, body.into())
}

#[tokio::test]
async fn each_failure_has_its_case() {
    let patient = 20_000;
    assert!(ask(Behaviour::Plan, patient).await.unwrap().contains("```json"));
    for slow in [Behaviour::Hang, Behaviour::Drip(Duration::from_millis(20))] {
        assert!(matches!(ask(slow.clone(), 300).await, Err(LlmError::Timeout(_))), "{slow:?}");
    }
    for (behaviour, expected) in [
        (Behaviour::Flood, "its body is over 1 MiB"),
        (raw(200, &[], "<html>hello</html>"), "its body is no chat completion"),
        (raw(200, &[], ""), "its body is no chat completion"),
        (raw(200, &[], r#"{"choices": []}"#), "it has no choices"),
        (raw(200, &[], r#"{"choices": [{"message": {"content": null}}]}"#), "its message has no content"),
        (raw(500, &[], MARKER), "failed with 500"),
        (raw(503, &[], "{}"), "failed with 503"),
        (raw(401, &[], MARKER), "rejected the call with 401"),
        (
            raw(400, &[], r#"{"error": {"code": "model_not_found", "message": "the user's own words"}}"#),
            "400 Bad Request (model_not_found)",
        ),
        (
            raw(400, &[], r#"{"error": {"code": "the user's own words"}}"#),
            "refused this call with 400 Bad Request",
        ),
        (raw(302, &[("location", "http://127.0.0.1:1/")], ""), "rejected the call with 302"),
        (raw(429, &[], ""), "limits the rate"),
        (raw(429, &[("retry-after", "17")], ""), "asks to wait 17 s"),
        (
            raw(
                429,
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ],
                "",
            ),
            "asks to wait 30 s",
        ),
    ] {
        let error = ask(behaviour.clone(), patient).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{behaviour:?}: {error}");
        assert!(!error.contains(MARKER) && !error.contains(KEY), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let message = |role| Message { role, content: MARKER.into() };
    let messages = Messages(vec![message("system"), message("user")]);
    // Port 1 of loopback refuses.
    let error = soon(client("http://127.0.0.1:1", 20_000).complete(&messages)).await.unwrap_err();
    assert!(matches!(&error, LlmError::Unreachable(cause) if cause.contains("refused")), "{error}");
}

#[tokio::test]
async fn after_a_failure_the_next_tick_plans() {
    for behaviour in [raw(500, &[], "no"), Behaviour::Flood, Behaviour::Hang, raw(400, &[], "no")] {
        let world = World::with(&[("MANA_LLM_TIMEOUT_MS", "1000")]).await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        world.llm.behave(behaviour.clone());
        let stats = world.tick().await;
        assert_eq!(
            (stats.due_mission_count, stats.plans_produced, stats.parse_failures),
            (1, 0, 0),
            "{stats:?}"
        );
        assert!(stats.errors[0].starts_with("mission m1: mana-llm "), "{stats:?}");
        assert!(world.db.written().await.is_empty());
        world.llm.behave(Behaviour::Plan);
        assert_eq!(world.tick().await.plans_written_back, 1, "after {behaviour:?}");
    }
}

//! mana-llm answers late, badly, without end, or not at all: each has its own error, nothing is lost, and the next tick
//! plans.

use std::io::Write as _;
use std::time::Duration;

use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::llm::client::{Credential, LlmClient};
use mana_ai::llm::error::LlmError;
use mana_ai::planner::prompt::{Message, Messages};
use secrecy::SecretString;
use serde_json::json;

use crate::support::{KEY, World, due_mission, soon, with};

pub const MARKER: &str = "the user's own words";

fn client(url: &str, timeout_ms: u64) -> LlmClient {
    let timeout = Duration::from_millis(timeout_ms);
    let key = Credential::ServiceKey(SecretString::from(KEY));
    LlmClient::new(url, key, "mana/reasoning".into(), timeout).unwrap()
}

pub async fn ask(behaviour: Behaviour, timeout_ms: u64) -> Result<String, LlmError> {
    let stand_in = StandIn::start(behaviour).await.unwrap();
    let message = |role| Message { role, content: MARKER.into() };
    let messages = Messages(vec![message("system"), message("user")]);
    let answer = soon(client(stand_in.url(), timeout_ms).complete(&messages, &mut None)).await;
    answer.map(|completion| completion.content)
}

/// The metrics and the ledger add these up: one count near 2^64 would carry the sum past its end.
#[tokio::test]
async fn a_count_of_tokens_that_no_model_reaches_is_none() {
    for (told, counted) in [("18446744073709551615", 0), ("4294967296", 0), ("-1", 0), ("1000000", 1_000_000)]
    {
        let body = format!(
            r#"{{"choices": [{{"message": {{"content": "x"}}}}],
                "usage": {{"prompt_tokens": {told}, "completion_tokens": 7}}}}"#
        );
        let stand_in = StandIn::start(raw(200, &[], &body)).await.unwrap();
        let messages = Messages(vec![Message { role: "user", content: MARKER.into() }]);
        let mut cost = None;
        soon(client(stand_in.url(), 20_000).complete(&messages, &mut cost)).await.unwrap();
        let tokens = cost.unwrap().tokens;
        assert_eq!((tokens.prompt, tokens.completion), (counted, 7), "{told}");
    }
}

fn raw(status: u16, headers: &[(&'static str, &str)], body: &str) -> Behaviour {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Behaviour::Raw(status, headers, body.into())
}

#[tokio::test]
async fn each_failure_has_its_case() {
    let patient = 20_000;
    assert!(ask(Behaviour::Plan, patient).await.unwrap().contains("```json"));
    for slow in [Behaviour::Hang, Behaviour::Headers, Behaviour::Drip(Duration::from_millis(20))] {
        assert!(matches!(ask(slow.clone(), 300).await, Err(LlmError::Timeout(_))), "{slow:?}");
    }
    for (behaviour, expected) in [
        (Behaviour::Flood, "its body is over 1 MiB"),
        (raw(200, &[], r#"{"choices": []}"#), "its list of choices is empty"),
        (raw(200, &[], r#"{"choices": [{"message": {"content": null}}]}"#), "its message's content is null"),
        (raw(200, &[], r#"{"choices": [{"message": {}}]}"#), "its message has no content"),
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

fn bytes(headers: &[(&'static str, &str)], body: Vec<u8>) -> Behaviour {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Behaviour::Raw(200, headers, body)
}

/// 100 MB of blanks before a completion, in about 100 kB.
fn bomb() -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..100 {
        gzip.write_all(&[b' '; 1_000_000]).unwrap();
    }
    gzip.write_all(br#"{"choices": [{"message": {"content": "{}"}}]}"#).unwrap();
    gzip.finish().unwrap()
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Where serde_json's `Value` reads a text, it reads the one under this key too, and inside it again: each of
/// these layers is harmless to a limit of depth.
fn layered(longest: usize) -> String {
    let mut text = nested(120);
    loop {
        let inner = json!({ "$serde_json::private::RawValue": text }).to_string();
        let next = format!("{}{inner}{}", "[".repeat(120), "]".repeat(120));
        if next.len() > longest {
            return text;
        }
        text = next;
    }
}

#[tokio::test]
async fn an_unusable_answer_says_why() {
    let answer = r#"{"choices": [{"message": {"content": "Für {}"}}]}"#;
    let with_field = |field: &str| raw(200, &[], &answer.replacen('{', &format!("{{{field}, "), 1));
    let gzip = [("content-encoding", "gzip")];
    for (behaviour, expected) in [
        (bytes(&gzip, bomb()), "its body is compressed"),
        (bytes(&[("content-encoding", "br, identity")], answer.into()), "its body is compressed"),
        (bytes(&[], bomb()), "its body is not UTF-8"),
        (bytes(&[], answer.chars().map(|c| c as u8).collect()), "its body is not UTF-8"),
        (bytes(&[], answer.encode_utf16().flat_map(u16::to_le_bytes).collect()), "its body is not UTF-8"),
        (bytes(&[], "{}".encode_utf16().flat_map(u16::to_be_bytes).collect()), "its body is not UTF-8"),
        (raw(200, &[], "\n<!doctype html><title>hello</title>"), "is HTML or XML: does MANA_LLM_URL lead"),
        (raw(200, &[], ""), "its body is not JSON"),
        (raw(200, &[], &answer[..20]), "its body is not JSON"),
        (raw(200, &[], &format!("data: {answer}")), "its body is not JSON"),
        (raw(200, &[], r#"{"object": "list"}"#), "its body is no chat completion"),
        (raw(200, &[], r#"[[[["{}"]]]]"#), "its body is no chat completion"),
        (raw(200, &[], r#"{"choices": [[["{}"]]]}"#), "its message has no content"),
        (raw(200, &[], r#"{"choices": [{"message": {"content": {"a": 1}}}]}"#), "content is no text"),
        (raw(200, &[], r#"{"choices": [{"message": {"content": "\ud800"}}]}"#), "a lone surrogate"),
        (with_field(r#""x": "\udc00\ud800""#), "a lone surrogate"),
        (raw(200, &[], &nested(100_000)), "its body is nested too deep"),
        (raw(200, &[], &"[".repeat(500_000)), "its body is nested too deep"),
        (with_field(&format!(r#""x": {}"#, nested(100_000))), "its body is nested too deep"),
        (raw(200, &[], &layered(1_000_000)), "a key that cannot be read safely"),
    ] {
        let error = ask(behaviour, 20_000).await.unwrap_err();
        assert!(
            matches!(error, LlmError::BadResponse(_)) && error.to_string().contains(expected),
            "{expected}: {error}"
        );
    }
    // As a rejection's body it is only looked at for a code.
    let rejected = ask(raw(400, &[], &layered(1_000_000)), 20_000).await.unwrap_err();
    assert!(matches!(rejected, LlmError::PromptRefused { kind: None, .. }), "{rejected}");
}

#[tokio::test]
async fn what_is_odd_but_usable_is_used() {
    let content = |content: &str| {
        format!(
            r#"{{"choices": [{{"message": {{"content": {content}}}}}], "usage": {{"prompt_tokens": null}}}}"#
        )
    };
    let parts = r#"[{"type": "thinking", "text": "hm"}, {"type": "text", "text": "a\u0000"}, {"type": "text", "text": "😀"}]"#;
    for (behaviour, expected) in [
        (raw(200, &[("content-type", "text/html; charset=latin-1")], &content("\"ä\"")), "ä"),
        (raw(200, &[("content-encoding", "identity")], &content("\"b\"")), "b"),
        (raw(200, &[], &content(parts)), "a\0😀"),
    ] {
        assert_eq!(ask(behaviour, 20_000).await.unwrap(), expected);
    }
}

/// Nothing is written, the reason is told, and the service lives.
#[tokio::test]
async fn a_plan_that_cannot_be_read_says_why() {
    let step = r#"{"toolName": "create_task", "params": {"title": "x"}, "rationale": "why"}"#;
    let plan = |steps: &str| format!(r#"{{"steps": [{steps}]}}"#);
    let params = |value: &str| plan(&step.replace("\"x\"", value));
    let world = World::with(&[("MAX_ATTEMPTS", "100")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    for (text, expected) in [
        (plan(&vec![step; 10_000].join(",")[..]), "over 256 KiB"),
        (plan(&vec!["{}"; 10_000].join(",")), "step 1: toolName is missing"),
        (plan(&vec![step; 3_000].join(",")), "has 3000 steps, at most 5"),
        (params(r#""\u0000""#), "holds a NUL character"),
        (params(r#""\ud800""#), "lone surrogate"),
        (format!("```json\n{}\n```", params(r#""x\udfff""#)), "lone surrogate"),
        (params(&nested(100_000)), "nested deeper than 32 levels"),
        (format!("```\n{}\n```", params(&nested(100_000))), "nested deeper than 32 levels"),
        (params(&nested(40)), "nested deeper than 32 levels"),
        (nested(100_000), "nested deeper than 32 levels"),
        (layered(250_000), "a key that cannot be read safely"),
        (format!("```{}```", layered(250_000)), "a key that cannot be read safely"),
        ("<html>hello</html>".into(), "is not JSON"),
    ] {
        world.llm.behave(Behaviour::Say(text));
        let stats = world.tick().await;
        assert_eq!((stats.plans_produced, stats.parse_failures), (0, 1), "{expected}: {stats:?}");
        assert!(stats.errors[0].contains(expected), "{expected}: {stats:?}");
    }
    assert!(world.db.written().await.is_empty());
    world.llm.behave(Behaviour::Plan);
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// The same trap in what a device wrote: the mission is planned, and nobody else's with it goes down.
#[tokio::test]
async fn a_history_that_cannot_be_read_harms_nobody() {
    let world = World::new().await;
    let trap: serde_json::Value = json!({ "$serde_json::private::RawValue": layered(900_000) });
    let iteration = json!({ "id": "i1", "plan": [{ "intent": { "params": trap } }] });
    let mission = with(due_mission(), json!({ "iterations": [iteration], "inputs": [trap] }));
    world.device("alice").create_mission("m1", mission).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    // Compared by Postgres: here it would be read as a `Value`.
    let kept = "SELECT count(*) FROM sync_changes ours JOIN sync_changes theirs USING (record_id)
        WHERE ours.client_id = 'mana-ai-runner' AND theirs.op = 'insert'
          AND ours.data->'iterations'->0 = theirs.data->'iterations'->0";
    assert_eq!(world.db.count(kept).await, 1);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let message = |role| Message { role, content: MARKER.into() };
    let messages = Messages(vec![message("system"), message("user")]);
    // Port 1 of loopback refuses.
    let error = soon(client("http://127.0.0.1:1", 20_000).complete(&messages, &mut None)).await.unwrap_err();
    assert!(
        matches!(&error, LlmError::Unreachable { cause, is_sent: false } if cause.contains("refused")),
        "{error}"
    );
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

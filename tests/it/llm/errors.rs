//! The errors of the real mana-llm, as it answers them: what an operator is told, whom each stops, and whom it charges.

use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use mana_ai::demo::llm_errors::ManaLlmError;
use mana_ai::domain::run::Disposition;

use super::client::{MARKER, ask};
use crate::support::{KEY, World, due_mission};

const PATIENT_MS: u64 = 20_000;

fn error(error: ManaLlmError) -> Behaviour {
    Behaviour::manallm_error(error, MARKER)
}

/// The table of dispositions. mana-llm's own sentence, which may repeat the prompt, is in none of ours.
#[tokio::test]
async fn each_kind_has_its_disposition_and_its_advice() {
    use ManaLlmError as Kind;
    let wait = |seconds| Duration::from_secs(seconds);
    for kind in Kind::ALL {
        let (disposition, told) = match kind {
            Kind::Blocked => {
                (Disposition::MissionFault, "422 Unprocessable Entity (blocked): its text is not let through")
            }
            Kind::Truncated => {
                (Disposition::MissionFault, "502 Bad Gateway (truncated): its prompt is too long")
            }
            Kind::Auth => (
                Disposition::Misconfigured,
                "502 Bad Gateway (auth): the provider refuses mana-llm's own key",
            ),
            Kind::Capability => (
                Disposition::Misconfigured,
                "(capability): the model cannot do what is asked, name another in MANA_LLM_MODEL",
            ),
            Kind::RateLimit => (Disposition::RateLimited { retry_after: wait(30) }, "limits the rate"),
            Kind::NoHealthyProvider => (
                Disposition::ProvidersDown { retry_after: wait(15) },
                "no healthy provider (no_healthy_provider)",
            ),
            Kind::Malformed => {
                (Disposition::Misconfigured, "cannot read our requests (422 Unprocessable Entity)")
            }
            Kind::WrongKey => (
                Disposition::Misconfigured,
                "401 Unauthorized: check MANA_LLM_URL, MANA_LLM_MODEL and MANA_SERVICE_KEY, or MANA_LLM_API_KEY",
            ),
            Kind::Upstream => (Disposition::Transient, "failed with 500"),
        };
        let error = ask(error(kind), PATIENT_MS).await.unwrap_err();
        assert_eq!(error.disposition(), disposition, "{kind:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(told), "{kind:?}: {text}");
        assert!(!text.contains(MARKER) && !text.contains(KEY), "{kind:?}: {text}");
    }
}

/// Other OpenAI-compatible servers, kinds that are no word, and bodies that are nothing: the status decides.
#[tokio::test]
async fn what_mana_llm_does_not_say_the_status_says() {
    let raw = |status, body: &str| Behaviour::Raw(status, vec![], body.into());
    for (behaviour, disposition, told) in [
        (raw(503, "{}"), Disposition::Transient, "failed with 503"),
        (
            raw(502, r#"{"detail": {"kind": "the user's own words"}}"#),
            Disposition::Transient,
            "failed with 502",
        ),
        (raw(502, r#"{"detail": {"kind": "unheard_of"}}"#), Disposition::Transient, "failed with 502"),
        (
            raw(422, r#"{"detail": "the user's own words"}"#),
            Disposition::MissionFault,
            "refused this call with 422",
        ),
        (raw(400, r#"{"detail": {"kind": "unheard_of"}}"#), Disposition::MissionFault, "(unheard_of)"),
        (raw(400, r#"{"detail": {"kind": "Upper"}}"#), Disposition::MissionFault, "with 400 Bad Request"),
        (
            raw(400, r#"{"error": {"code": "context_length_exceeded"}}"#),
            Disposition::MissionFault,
            "(context_length_exceeded)",
        ),
        (
            raw(400, r#"{"error": {"code": "model_not_found"}}"#),
            Disposition::Misconfigured,
            "(model_not_found)",
        ),
        (raw(401, r#"{"detail": [1]}"#), Disposition::Misconfigured, "401 Unauthorized"),
    ] {
        let error = ask(behaviour.clone(), PATIENT_MS).await.unwrap_err();
        assert_eq!(error.disposition(), disposition, "{behaviour:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(told) && !text.contains(MARKER), "{behaviour:?}: {text}");
    }
}

async fn missions(world: &World, count: usize) {
    for mission in 0..count {
        let id = format!("m{mission}");
        world.device(&id).create_mission(&id, due_mission()).await.unwrap();
    }
}

const CHARGED: &str = "SELECT coalesce(sum(attempts), 0)::bigint FROM mana_ai.mission_schedule";

/// A circuit that opens at the first failure stays closed: mana-llm lives, and the next mission is planned.
#[tokio::test]
async fn a_refused_mission_stops_nobody_else() {
    for kind in [ManaLlmError::Blocked, ManaLlmError::Truncated] {
        let world =
            World::with(&[("BREAKER_FAILURES", "1"), ("TICK_CONCURRENCY", "1"), ("MAX_ATTEMPTS", "1")]).await;
        missions(&world, 2).await;
        world.llm.script([error(kind)]);
        let stats = world.tick().await;
        assert_eq!((stats.due_mission_count, stats.plans_written_back), (2, 1), "{kind:?}: {stats:?}");
        let rows = world.db.written().await;
        let told = rows.iter().filter_map(|row| row["data"]["iterations"][0]["summary"].as_str());
        assert!(told.into_iter().any(|summary| summary.contains("nicht angenommen")), "{kind:?}: {rows:?}");
    }
}

/// One call, nobody charged, `/ready` names it; once it is mended the next tick plans everybody.
#[tokio::test]
async fn a_fault_of_the_configuration_is_the_operators() {
    for kind in
        [ManaLlmError::Auth, ManaLlmError::Capability, ManaLlmError::Malformed, ManaLlmError::WrongKey]
    {
        let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
        missions(&world, 2).await;
        world.llm.behave(error(kind));
        let stats = world.tick().await;
        assert_eq!(world.llm.requests().len(), 1, "{kind:?}: {stats:?}");
        assert_eq!(world.db.count(CHARGED).await, 0, "{kind:?}");
        let told = world.runner.readiness().await.unwrap_err().to_string();
        assert!(told.contains(&kind.status().to_string()) && !told.contains(MARKER), "{kind:?}: {told}");
        world.llm.behave(Behaviour::Plan);
        assert_eq!(world.tick().await.plans_written_back, 2, "{kind:?}");
        assert!(world.runner.readiness().await.is_ok(), "{kind:?}");
    }
}

/// The first of them tells for all: nobody else is called, nobody is charged, and the circuit asks again long before the
/// 60 s are over for which mana-llm holds a provider.
#[tokio::test]
async fn without_a_healthy_provider_everybody_waits_for_a_little() {
    let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
    missions(&world, 3).await;
    world.llm.behave(error(ManaLlmError::NoHealthyProvider));
    let stats = world.tick().await;
    assert_eq!((stats.due_mission_count, world.llm.requests().len()), (1, 1), "{stats:?}");
    assert_eq!(world.db.count(CHARGED).await, 0);
    let soon = "SELECT count(*) FROM mana_ai.mission_schedule
        WHERE not_before BETWEEN clock_timestamp() AND clock_timestamp() + interval '15 seconds'";
    assert_eq!(world.db.count(soon).await, 1);
    let held = world.tick().await;
    assert_eq!((held.due_mission_count, world.llm.requests().len()), (0, 1), "{held:?}");
    let told = held.errors[0].strip_prefix("mana-llm has no healthy provider; the next call in ").unwrap();
    let seconds: u64 = told.strip_suffix(" s").unwrap().parse().unwrap();
    assert!(seconds <= 15, "{held:?}");
    assert!(world.runner.readiness().await.is_ok(), "that is mana-llm's, not ours");
}

/// An upstream 401, 402 or 429 looks like any fault of the server: charged, and tried again.
#[tokio::test]
async fn a_plain_500_is_tried_again() {
    let world = World::new().await;
    missions(&world, 1).await;
    world.llm.script([error(ManaLlmError::Upstream)]);
    let stats = world.tick().await;
    assert!(stats.errors[0].contains("failed with 500"), "{stats:?}");
    assert_eq!(world.db.count(CHARGED).await, 1);
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// mana-llm with a key takes only `X-API-Key`, and whoever reads it there should not get the service key as well.
#[tokio::test]
async fn a_key_of_mana_llm_replaces_the_service_key() {
    let bearer = format!("Bearer {KEY}");
    for (vars, api_key, authorization) in
        [(&[("MANA_LLM_API_KEY", "llm-key")][..], "llm-key", ""), (&[], "", bearer.as_str())]
    {
        let world = World::with(vars).await;
        missions(&world, 1).await;
        assert_eq!(world.tick().await.plans_written_back, 1);
        let sent = world.llm.requests().remove(0);
        assert_eq!((sent.api_key.as_str(), sent.authorization.as_str()), (api_key, authorization));
    }
}

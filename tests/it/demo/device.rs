//! The rows that the service writes are accepted by the device's rules.

use mana_ai::demo::device::{ApproveError, accept};
use mana_ai::domain::iteration::Actor;
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::{World, due_mission, now};

#[tokio::test]
async fn steps_become_proposals_once() {
    let world = World::new().await;
    let mut phone = world.device("alice");
    phone.create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let mut tab = phone.second();

    let proposals = phone.stage("m1", now()).await.unwrap();
    assert_eq!(proposals.len(), 2);
    assert!(phone.stage("m1", now()).await.unwrap().is_empty(), "handled");
    assert!(tab.stage("m1", now()).await.unwrap().is_empty(), "the durable marker tells the second device");
    phone.handled.clear();
    assert!(phone.stage("m1", now()).await.unwrap().is_empty(), "and the first one after a restart");

    let record = phone.pull("m1").await.unwrap().unwrap();
    let iterations: Value = serde_json::from_str(record.fields["iterations"].get()).unwrap();
    for (step, proposal) in iterations[0]["plan"].as_array().unwrap().iter().zip(&proposals) {
        assert_eq!((&step["status"], &step["proposalId"]), (&json!("staged"), &json!(proposal.id)));
        assert_eq!(step["id"], json!(proposal.step_id));
    }
    assert_eq!(world.tick().await.due_mission_count, 0, "staging does not make it due again");
}

#[tokio::test]
async fn an_approved_task_is_attributed_to_the_ai() {
    let world = World::new().await;
    let mut device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let proposal = device.stage("m1", now()).await.unwrap().remove(0);
    let task = device.approve(&proposal, now()).await.unwrap();
    let row =
        sqlx::query("SELECT user_id, data, actor FROM sync_changes WHERE app_id = 'todo' AND record_id = $1")
            .bind(task)
            .fetch_one(&world.db.admin)
            .await
            .unwrap();
    let iteration = &world.db.written().await[0]["data"]["iterations"][0];
    let Actor::Ai { rationale, .. } = &proposal.actor else { panic!("{:?}", proposal.actor) };
    assert_eq!(row.get::<String, _>("user_id"), "alice");
    assert_eq!(row.get::<Value, _>("data")["title"], proposal.params["title"]);
    assert_eq!(
        row.get::<Value, _>("actor"),
        json!({ "kind": "ai", "missionId": "m1", "iterationId": iteration["id"], "rationale": rationale })
    );
    assert_eq!(json!(rationale), iteration["plan"][0]["summary"]);
}

/// Only plans of the server are staged; a browser stages its own.
#[tokio::test]
async fn other_iterations_are_left_alone() {
    let world = World::new().await;
    let mut device = world.device("alice");
    let step = json!({ "id": "s", "status": "planned", "intent": { "kind": "toolCall", "toolName": "create_task", "params": {} } });
    let note = json!({ "id": "n", "status": "planned", "intent": { "kind": "note", "body": "x" } });
    let iterations = json!([
        { "id": "browser", "source": "browser", "plan": [step] },
        { "id": "unsaid", "plan": [step] },
        { "id": "notes", "source": "server", "plan": [note] },
        { "id": "empty", "source": "server", "plan": [] },
    ]);
    device.create_mission("m1", json!({ "updatedAt": "2026-04-14T10:00:00.000Z", "cadence": { "kind": "manual" }, "iterations": iterations })).await.unwrap();
    assert!(device.stage("m1", now()).await.unwrap().is_empty());
}

/// The rationale of the actor: the step's summary, else the iteration's, else the objective.
#[tokio::test]
async fn a_rationale_is_always_found() {
    let world = World::new().await;
    let mut device = world.device("alice");
    let step = |fields: Value| {
        let intent = json!({ "kind": "toolCall", "toolName": "create_task", "params": { "title": "x" } });
        crate::support::with(json!({ "id": "s", "intent": intent }), fields)
    };
    let iterations = json!([
        { "id": "1", "source": "server", "summary": "iteration", "plan": [step(json!({ "rationale": "why", "summary": "step" })), step(json!({ "summary": "step" })), step(json!({}))] },
        { "id": "2", "source": "server", "plan": [step(json!({}))] },
    ]);
    let data =
        crate::support::with(due_mission(), json!({ "iterations": iterations, "objective": "objective" }));
    device.create_mission("m1", data).await.unwrap();
    let rationales: Vec<String> = device
        .stage("m1", now())
        .await
        .unwrap()
        .into_iter()
        .map(|proposal| match proposal.actor {
            Actor::Ai { rationale, .. } => rationale,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rationales, ["step", "step", "iteration", "objective"]);
}

#[test]
fn devices_check_params_with_mercy() {
    let check = |tool: &str, params: Value| accept(tool, params.as_object().unwrap());
    check("create_place", json!({ "name": "x", "latitude": "52.5", "longitude": 13, "extra": [] })).unwrap();
    for (tool, params) in [
        ("create_place", json!({ "name": "x", "latitude": "north", "longitude": 13 })),
        ("create_place", json!({ "latitude": 1, "longitude": 13 })),
        ("create_task", json!({ "title": "x", "priority": "urgent" })),
    ] {
        assert!(matches!(check(tool, params.clone()), Err(ApproveError::Param(_))), "{tool} {params}");
    }
    assert!(matches!(check("rm_rf", json!({})), Err(ApproveError::NoTool(_))));
}

/// Two devices of one user: one pulls before it edits, the other is a tab that was left open.
#[tokio::test]
async fn a_stale_tab_sends_its_old_list_with_any_edit() {
    let world = World::new().await;
    let phone = world.device("alice");
    let daily = json!({ "kind": "daily", "atHour": 9, "atMinute": 0 });
    phone
        .create_mission("m1", crate::support::with(due_mission(), json!({ "cadence": daily })))
        .await
        .unwrap();
    let tab = phone.second().stale();
    tab.pull("m1").await.unwrap();
    world.tick().await;
    let list = |record: Option<mana_ai::domain::fold::Record>| -> Vec<Value> {
        serde_json::from_str(record.unwrap().fields["iterations"].get()).unwrap()
    };

    phone
        .edit_mission("m1", json!({ "title": "Balkon", "cadence": { "kind": "manual" } }), now())
        .await
        .unwrap();
    assert_eq!(list(phone.pull("m1").await.unwrap()).len(), 1, "who pulls first keeps the plan");
    let sent: Value =
        sqlx::query_scalar("SELECT data FROM sync_changes ORDER BY created_at DESC, id LIMIT 1")
            .fetch_one(&world.db.admin)
            .await
            .unwrap();
    let mut names: Vec<&String> = sent.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        ["cadence.atHour", "cadence.atMinute", "cadence.kind", "inputs", "iterations", "title", "updatedAt"]
    );

    tab.edit_mission("m1", json!({ "title": "Terrasse" }), now()).await.unwrap();
    let record = phone.pull("m1").await.unwrap();
    assert!(record.as_ref().unwrap().fields["cadence"].get().contains("manual"), "an object stays");
    assert!(list(record).is_empty(), "the stale list hides the plan");
}

//! A mission that ends its process each time, among others that do nobody any harm.

use std::time::Duration;

use mana_ai::demo::llm::{Behaviour, Recorded};
use mana_ai::store::schedule::queries::quarantined;
use serde_json::json;
use tokio::time::sleep;

use super::checks::{UsersRows, check_calls, check_invariants};
use crate::app::kills::{check_once_each, replica, until_planned};
use crate::app::process::Serving;
use crate::store::leases::expire_leases;
use crate::support::{World, due_mission, soon, with};

const INNOCENT: usize = 24;

fn kills(request: &Recorded) -> bool {
    request.body.to_string().contains("Giftmischer")
}

/// Kill -9 as soon as the model is asked for it, with whatever is in flight beside it, five times.
#[tokio::test]
async fn a_killer_is_set_aside_and_its_neighbours_are_planned() {
    let world = World::new().await;
    let start = || {
        let mut command = replica(&world);
        command.env("LEASE_MS", "1000").env("MANA_LLM_TIMEOUT_MS", "900").env("RUST_LOG", "warn");
        Serving::spawn(command).0
    };
    world.llm.behave(Behaviour::Late(Duration::from_millis(300)));
    for mission in 0..INNOCENT {
        if mission == 3 {
            let poison = with(due_mission(), json!({ "title": "Giftmischer" }));
            world.device("mallory").create_mission("killer", poison).await.unwrap();
        }
        let id = format!("m{mission}");
        world.device(&id).create_mission(&id, due_mission()).await.unwrap();
    }
    let before = UsersRows::of(&world.db).await;
    let (mut process, mut seen) = (start(), 0);
    soon(async {
        while quarantined(&world.store, ("", ""), 10).await.unwrap().is_empty() {
            let killed = world.llm.requests().iter().filter(|request| kills(request)).count();
            if killed > seen {
                process = start();
                seen = killed;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(seen, 5, "as often as MAX_ATTEMPTS allows");
    let innocent = i64::try_from(INNOCENT).unwrap();
    until_planned(&world, innocent).await;
    drop(process);
    let aside = quarantined(&world.store, ("", ""), 10).await.unwrap();
    assert_eq!((aside.len(), aside[0].mission_id.as_str()), (1, "killer"));
    let reason = aside[0].reason.as_deref().unwrap();
    assert!(reason.starts_with("5 attempts in a row ended with their process"), "{reason}");
    let beside = "SELECT count(DISTINCT mission_id) FROM mana_ai.mission_runs WHERE outcome = 'lost'";
    assert!(world.db.count(beside).await > 1, "it took others with it");
    check_once_each(&world, innocent).await;
    check_calls(&world).await;
    check_invariants(&world, &before).await;
}

/// However few attempts there are: nobody is set aside for company alone.
#[tokio::test]
async fn company_alone_is_no_crime() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;
    for mission in ["m1", "m2"] {
        world.device(mission).create_mission(mission, due_mission()).await.unwrap();
    }
    world.llm.behave(Behaviour::Hold);
    for crash in 1..=2 {
        let tick = world.tick_in_background();
        soon(world.llm.arrived(2 * crash)).await;
        tick.abort();
        let _ = tick.await;
        expire_leases(&world.db).await;
    }
    world.llm.behave(Behaviour::Plan);
    assert_eq!(world.tick().await.plans_written_back, 2);
    assert!(quarantined(&world.store, ("", ""), 10).await.unwrap().is_empty());
}

//! `/ready` tells the truth, and a process whose loop is dead ends. What the database does to it is shown
//! beside each outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use mana_ai::runner::heartbeat::Heartbeat;
use tokio::time::sleep;

use super::outage::{lines, ready, until_ready_is};
use crate::app::kills::{library, replica};
use crate::app::process::Serving;
use crate::support::{World, due_mission, soon};

#[tokio::test]
async fn a_loop_without_progress_is_not_ready() {
    let world = World::new().await;
    let mut command = replica(&world);
    command.env("TICK_INTERVAL_MS", "200");
    let serving = Serving::start(command).await;
    until_ready_is(200, &serving).await;
    world.llm.behave(Behaviour::Hold);
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    soon(world.llm.arrived(1)).await;
    let reason = until_ready_is(503, &serving).await;
    assert!(reason.starts_with("no tick has finished for"), "{reason}");
    assert!(reason.ends_with("TICK_INTERVAL_MS is 0.2 s; one is running"), "{reason}");
    world.llm.behave(Behaviour::Plan);
    until_ready_is(200, &serving).await;
}

/// Each tick asks once whether it is mended.
#[tokio::test]
async fn a_wrong_key_is_told_until_it_is_mended() {
    let world = World::new().await;
    let mut command = replica(&world);
    // Long against what a tick takes, so that nothing else makes it unready.
    command.env("TICK_INTERVAL_MS", "1000");
    let serving = Serving::start(command).await;
    until_ready_is(200, &serving).await;
    world.llm.behave(Behaviour::Raw(401, vec![], "{}".into()));
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let reason = until_ready_is(503, &serving).await;
    assert!(reason.contains("401") && reason.contains("MANA_SERVICE_KEY"), "{reason}");
    soon(world.llm.arrived(3)).await;
    assert_eq!(ready(&serving).await, (503, reason), "it stays so");
    world.llm.behave(Behaviour::Plan);
    until_ready_is(200, &serving).await;
    assert_eq!(lines(&serving.log(), "no more calls of mana-llm for now"), 1, "said once");
}

fn watched(heartbeat: &Arc<Heartbeat>) -> Arc<AtomicBool> {
    let dead = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&dead);
    heartbeat.watch(move |_| told.store(true, Ordering::SeqCst));
    dead
}

#[tokio::test]
async fn the_watchdog_bites_who_is_silent_and_nobody_else() {
    let idle = Duration::from_secs(1);
    let heartbeats = [(); 5].map(|()| Arc::new(Heartbeat::default()));
    let dead = heartbeats.each_ref().map(watched);
    let [silent, busy, patient, without_loop, ended] = heartbeats;
    for looping in [&silent, &busy, &patient, &ended] {
        looping.loop_began(idle);
    }
    patient.expect_within(Duration::from_hours(1));
    without_loop.expect_within(Duration::ZERO);
    without_loop.expect_next_tick();
    ended.loop_ended();
    soon(async {
        while !dead[0].load(Ordering::SeqCst) {
            busy.expect_next_tick();
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(dead.map(|dead| dead.load(Ordering::SeqCst)), [true, false, false, false, false]);
}

/// The thread that waits for the kernel never returns, as in a deadlock: no timer and no socket moves any more.
#[tokio::test]
#[ignore = "takes a minute and a half: cargo test --test it -- --ignored"]
async fn a_dead_loop_ends_the_process() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let stuck = dir.path().join("stuck");
    let mut command = replica(&world);
    command.env("LD_PRELOAD", library(dir.path(), STUCK_WAIT)).env("STUCK", &stuck);
    let serving = Serving::start(command).await;
    serving.until_logged("elapsed_ms", 3).await;
    std::fs::write(&stuck, "").unwrap();
    let dead = async {
        while lines(&serving.log(), "the tick loop is dead") == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(3), dead).await.unwrap();
    let (code, log) = serving.end().await;
    assert_eq!(code, Some(1), "{log}");
}

/// Once there is a file of that name nobody comes back from `epoll_wait`.
const STUCK_WAIT: &str = "#define _GNU_SOURCE\n#include <stdlib.h>\n#include <unistd.h>\n#include <sys/epoll.h>\n\
    #include <sys/syscall.h>\n\
    int epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {\n\
    int ready = syscall(SYS_epoll_pwait, fd, events, most, timeout, NULL, 8);\n\
    while (access(getenv(\"STUCK\"), F_OK) == 0) sleep(1);\n return ready; }\n";

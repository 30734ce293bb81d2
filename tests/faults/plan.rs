//! Which faults a soak sees, and when: a pure function of its seed.

use std::time::Duration;

use mana_ai::demo::llm::Behaviour;

use super::proxy::Mode;
use super::random::Random;

/// What can happen. Those with a duration are over after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Kill -9; another one starts.
    KillReplica(usize),
    /// Stopped with all that it holds, then continued.
    FreezeReplica(usize, Duration),
    /// Down for so long, after a shutdown in order.
    StopPostgres(Duration),
    /// Down for so long, after a crash.
    KillPostgres(Duration),
    FreezePostgres(Duration),
    ReadOnly(Duration),
    KillBackends,
    Network(Wire, Mode, Duration),
    Model(Behaviour, Duration),
    /// The schedule is derived: nothing may be lost with it.
    TruncateSchedule,
    /// As if every replica had been silent for long.
    ExpireLeases,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Database,
    Model,
}

const KINDS: u64 = 11;

/// Each with the pause before it.
pub fn plan_of_faults(seed: u64, count: usize, replicas: usize) -> Vec<(Duration, Fault)> {
    let mut random = Random::new(seed);
    (0..count).map(|_| (random.ms(0..1000), fault(&mut random, replicas))).collect()
}

fn fault(random: &mut Random, replicas: usize) -> Fault {
    let kind = random.up_to(KINDS);
    let lasts = random.ms(50..2500);
    match kind {
        0 => Fault::KillReplica(random.index(replicas)),
        1 => Fault::FreezeReplica(random.index(replicas), lasts),
        2 => Fault::StopPostgres(lasts),
        3 => Fault::KillPostgres(lasts),
        4 => Fault::FreezePostgres(lasts),
        5 => Fault::ReadOnly(lasts),
        6 => Fault::KillBackends,
        7 => {
            let wire = if random.up_to(2) == 0 { Wire::Database } else { Wire::Model };
            Fault::Network(wire, mode(random), lasts)
        }
        8 => Fault::Model(behaviour(random), lasts),
        9 => Fault::TruncateSchedule,
        _ => Fault::ExpireLeases,
    }
}

fn mode(random: &mut Random) -> Mode {
    match random.up_to(4) {
        0 => Mode::Delay(random.ms(1..200)),
        1 => Mode::Freeze,
        2 => Mode::DropNew,
        _ => Mode::Cut,
    }
}

fn behaviour(random: &mut Random) -> Behaviour {
    let raw = |status, header: Option<(&'static str, &str)>, body: &str| {
        Behaviour::Raw(
            status,
            header.map(|(name, value)| (name, value.into())).into_iter().collect(),
            body.into(),
        )
    };
    match random.up_to(10) {
        0 => Behaviour::Late(random.ms(1..2000)),
        1 => Behaviour::Say("Das weiß ich nicht.".into()),
        2 => Behaviour::Say(r#"{"summary": "", "steps": [{"toolName": "rm"}]}"#.into()),
        3 => raw(429, Some(("retry-after", "1")), "slow down"),
        4 => raw(503, None, "every provider failed"),
        5 => raw(200, Some(("content-type", "text/html")), "<html>"),
        6 => Behaviour::Flood,
        7 => Behaviour::Drip(random.ms(10..500)),
        8 => Behaviour::Break,
        _ => Behaviour::Hang,
    }
}

#[test]
fn a_seed_is_a_plan_and_plans_differ() {
    assert_eq!(plan_of_faults(1, 50, 3), plan_of_faults(1, 50, 3));
    assert_eq!(plan_of_faults(1, 50, 3), plan_of_faults(1, 80, 3)[..50], "a longer one begins the same");
    assert_ne!(plan_of_faults(1, 50, 3), plan_of_faults(2, 50, 3));
}

#[test]
fn every_kind_comes_up() {
    let plan = plan_of_faults(1, 1000, 3);
    let kinds: std::collections::HashSet<_> =
        plan.iter().map(|(_, fault)| std::mem::discriminant(fault)).collect();
    assert_eq!(kinds.len() as u64, KINDS);
    for replica in 0..3 {
        assert!(plan.iter().any(|(_, fault)| *fault == Fault::KillReplica(replica)));
    }
}

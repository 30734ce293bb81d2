//! Where faults are inflicted: replicas as real processes, a Postgres of their own and the model behind proxies.

use std::process::Command;
use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use nix::sys::signal::Signal;
use sqlx::Executor as _;
use tokio::time::sleep;

use super::checks::{UsersRows, check_invariants};
use super::plan::{Fault, Wire};
use super::postgres::OwnPostgres;
use super::proxy::{Mode, Proxy};
use crate::app::kills::{check_once_each, replica, until_planned};
use crate::app::process::Serving;
use crate::store::leases::expire_leases;
use crate::support::{World, due_mission};

/// Dropped in this order: the replicas go first, the server last.
pub struct Stage {
    pub replicas: Vec<Serving>,
    pub world: World,
    pub database: Proxy,
    pub model: Proxy,
    pub postgres: OwnPostgres,
    vars: Vec<(String, String)>,
}

impl Stage {
    /// Without replicas, until some are started. They get these variables beside those of [`replica`].
    pub async fn new(vars: &[(&str, &str)]) -> Self {
        let (postgres, mut db) = OwnPostgres::new().await;
        let database = Proxy::before(&db.url).await;
        db.url.clone_from(&database.url);
        let world = World::on(db, vars).await;
        let model = Proxy::before(world.llm.url()).await;
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self { replicas: Vec::new(), world, database, model, postgres, vars }
    }

    pub fn command(&self) -> Command {
        let mut command = replica(&self.world);
        command.env("MANA_LLM_URL", &self.model.url).envs(self.vars.iter().cloned());
        command
    }

    /// Adds replicas; returns once they listen.
    pub async fn start(&mut self, replicas: usize) {
        for _ in 0..replicas {
            self.replicas.push(Serving::start(self.command()).await);
        }
    }

    /// Returns when it is over.
    pub async fn inflict(&mut self, fault: &Fault) {
        match fault.clone() {
            Fault::KillReplica(which) => self.replicas[which] = Serving::spawn(self.command()).0,
            Fault::FreezeReplica(which, lasts) => {
                self.replicas[which].signal(Signal::SIGSTOP);
                sleep(lasts).await;
                self.replicas[which].signal(Signal::SIGCONT);
            }
            Fault::StopPostgres(lasts) => {
                self.postgres.stop_fast().await;
                self.start_postgres_after(lasts).await;
            }
            Fault::KillPostgres(lasts) => {
                self.postgres.kill_immediate().await;
                self.start_postgres_after(lasts).await;
            }
            Fault::FreezePostgres(lasts) => {
                self.postgres.freeze();
                sleep(lasts).await;
                self.postgres.thaw();
            }
            Fault::ReadOnly(lasts) => {
                self.postgres.read_only(true).await;
                sleep(lasts).await;
                self.postgres.read_only(false).await;
            }
            Fault::KillBackends => drop(self.postgres.kill_backends().await),
            Fault::Network(wire, mode, lasts) => {
                let proxy = self.proxy(wire);
                proxy.set(mode).await;
                sleep(lasts).await;
                proxy.set(Mode::Pass).await;
            }
            Fault::Model(behaviour, lasts) => {
                self.world.llm.behave(behaviour);
                sleep(lasts).await;
                self.world.llm.behave(Behaviour::Plan);
            }
            Fault::TruncateSchedule => self.sql("TRUNCATE mana_ai.mission_schedule").await,
            Fault::ExpireLeases => expire_leases(&self.world.db).await,
        }
    }

    fn proxy(&self, wire: Wire) -> &Proxy {
        match wire {
            Wire::Database => &self.database,
            Wire::Model => &self.model,
        }
    }

    async fn start_postgres_after(&self, down: Duration) {
        sleep(down).await;
        self.postgres.start().await;
    }

    async fn sql(&self, sql: &'static str) {
        self.postgres.connect().await.execute(sql).await.unwrap();
    }
}

/// Every kind of fault, once and short, under a little load.
#[tokio::test]
async fn the_service_outlives_one_fault_of_each_kind() {
    const SHORT: Duration = Duration::from_millis(100);
    let mut stage = Stage::new(&[("LEASE_MS", "1000"), ("MANA_LLM_TIMEOUT_MS", "900")]).await;
    stage.start(2).await;
    let faults = [
        Fault::KillReplica(0),
        Fault::FreezeReplica(1, SHORT),
        Fault::StopPostgres(SHORT),
        Fault::KillPostgres(SHORT),
        Fault::FreezePostgres(SHORT),
        Fault::ReadOnly(SHORT),
        Fault::KillBackends,
        Fault::Network(Wire::Database, Mode::Cut, SHORT),
        Fault::Network(Wire::Model, Mode::Freeze, SHORT),
        Fault::Model(Behaviour::Break, SHORT),
        Fault::TruncateSchedule,
        Fault::ExpireLeases,
    ];
    for (mission, fault) in faults.iter().enumerate() {
        stage.world.device("alice").create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
        stage.inflict(fault).await;
    }
    let missions = i64::try_from(faults.len()).unwrap();
    let before = UsersRows::of(&stage.world.db).await;
    until_planned(&stage.world, missions).await;
    stage.replicas.clear();
    check_once_each(&stage.world, missions).await;
    check_invariants(&stage.world, &before).await;
}

//! The database taken away in one of five ways, and given back; and what the service says meanwhile.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::proxy::Mode;
use super::stage::Stage;
use crate::app::process::Serving;
use crate::support::soon;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    Stopped,
    Killed,
    Frozen,
    ReadOnly,
    /// The wire is silent in both directions, and nobody is told.
    HalfOpen,
}

impl Stage {
    /// Returns when it is in effect.
    pub async fn take_database(&self, outage: Outage) {
        match outage {
            Outage::Stopped => self.postgres.stop_fast().await,
            Outage::Killed => self.postgres.kill_immediate().await,
            Outage::Frozen => self.postgres.freeze(),
            Outage::ReadOnly => self.postgres.read_only(true).await,
            Outage::HalfOpen => self.database.set(Mode::Freeze).await,
        }
    }

    pub async fn give_database_back(&self, outage: Outage) {
        match outage {
            Outage::Stopped | Outage::Killed => self.postgres.start().await,
            Outage::Frozen => self.postgres.thaw(),
            Outage::ReadOnly => self.postgres.read_only(false).await,
            Outage::HalfOpen => self.database.set(Mode::Pass).await,
        }
    }
}

/// Status and reason of `/ready`.
pub async fn ready(serving: &Serving) -> (u16, String) {
    let client = mana_ai::http_client::builder().build().unwrap();
    let answer = soon(client.get(format!("http://127.0.0.1:{}/ready", serving.port)).send()).await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&soon(answer.text()).await.unwrap()).unwrap();
    (status, body["reason"].as_str().unwrap_or_default().into())
}

/// Until `/ready` has this status; returns the reason.
pub async fn until_ready_is(status: u16, serving: &Serving) -> String {
    soon(async {
        loop {
            match ready(serving).await {
                (now, reason) if now == status => return reason,
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
}

/// Lines of a log with this in them.
pub fn lines(log: &str, what: &str) -> usize {
    log.lines().filter(|line| line.contains(what)).count()
}

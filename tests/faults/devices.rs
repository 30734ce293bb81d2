//! The devices of a soak: two for each of eight users, each with copies of its own. They write missions, edit them, give
//! feedback, stage plans, plan before they pull, go offline, and come back with old lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::ToSpan as _;
use mana_ai::demo::device::Device;
use mana_ai::domain::time::iso;
use mana_ai::store::StoreError;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::random::Random;
use crate::support::{World, due_mission, now};

const USERS: usize = 8;
/// Edits go to the first missions of each user, so that each of them sees many.
const EDITED: usize = 2;
/// For each mission that is written.
const ACTS: usize = 5;
/// Between the faults and the end.
const UNDISTURBED: usize = 400;
/// What a device does not get within this time it gives up: the database may be away.
const PATIENCE: Duration = Duration::from_secs(2);

/// They are at work until they are stopped.
pub struct Devices {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Crowd>,
}

impl Devices {
    pub async fn start(world: &World, seed: u64) -> Self {
        let direct = world.db.admin.connect_options().as_ref().clone();
        let sync: PgPool =
            PgPoolOptions::new().acquire_timeout(Duration::from_secs(1)).connect_with(direct).await.unwrap();
        let first = (0..USERS).map(|user| World::device_on(&sync, &world.store, &format!("user-{user}")));
        let devices = first.map(|device| [device.second(), device]).collect();
        let mut crowd = Crowd { random: Random::new(!seed), devices, created: 0, edits: 0 };
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                sleep(crowd.random.ms(0..250)).await;
                crowd.create().await;
                for _ in 0..ACTS {
                    crowd.act().await;
                }
            }
            crowd
        });
        Self { stop, task }
    }

    pub async fn stop(self) -> Crowd {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// All devices, and what they have done.
pub struct Crowd {
    random: Random,
    devices: Vec<[Device; 2]>,
    pub created: usize,
    /// Edits that were confirmed.
    pub edits: usize,
}

impl Crowd {
    /// Repeated until it is confirmed: the same row twice does no harm.
    async fn create(&mut self) {
        let device = &self.devices[self.created % USERS][self.random.index(2)];
        let (id, data) = (format!("m{}", self.created), due_mission());
        while !matches!(timeout(PATIENCE, device.create_mission(&id, data.clone())).await, Ok(Ok(()))) {
            sleep(Duration::from_millis(50)).await;
        }
        self.created += 1;
    }

    /// One of the users does something with one of the devices.
    async fn act(&mut self) {
        let mission = self.random.index(self.created.min(EDITED * USERS));
        let device = &mut self.devices[mission % USERS][self.random.index(2)];
        let id = format!("m{mission}");
        // An edit that was made offline has an older timestamp than its row.
        let ago = if device.pulls_first { 0 } else { self.random.up_to(2) * self.random.up_to(5000) };
        let at = now() - i64::try_from(ago).unwrap().milliseconds();
        let kind = self.random.up_to(9);
        let done = timeout(PATIENCE, async {
            match kind {
                0..=1 => device.edit_mission(&id, json!({ "title": iso(at) }), at).await?,
                2..=3 => answer(device, &id, at).await?,
                4 if device.pulls_first => drop(device.stage(&id, at).await?),
                5 => plan_in_the_tab(device, &id).await?,
                6 if device.pulls_first => {
                    let due = json!({ "nextRunAt": iso(at - 1.minute()) });
                    device.edit_mission(&id, due, at).await?;
                }
                _ => {
                    device.pulls_first = !device.pulls_first;
                    device.pull(&id).await?;
                }
            }
            Ok::<(), StoreError>(())
        });
        self.edits += usize::from(matches!(done.await, Ok(Ok(()))));
    }

    /// Under faults most of what they do takes long or fails; now nothing is in their way.
    pub async fn act_undisturbed(&mut self) {
        for _ in 0..UNDISTURBED {
            sleep(self.random.ms(0..60)).await;
            self.act().await;
        }
    }

    /// All come back, read what there is, and edit each of these missions once more.
    pub async fn come_back(&mut self) {
        for mission in 0..self.created.min(EDITED * USERS) {
            for device in &mut self.devices[mission % USERS] {
                device.pulls_first = true;
                let id = format!("m{mission}");
                let edit = device.edit_mission(&id, json!({ "title": "zurück" }), now());
                timeout(Duration::from_secs(10), edit).await.unwrap().unwrap();
            }
        }
    }
}

/// Says something of the newest iteration that the device has.
async fn answer(device: &Device, id: &str, at: jiff::Timestamp) -> Result<(), StoreError> {
    if device.pulls_first {
        device.pull(id).await?;
    }
    let mut list = list(&copy(device, id));
    let Some(newest) = list.last_mut() else { return Ok(()) };
    newest["userFeedback"] = json!(format!("{} {}", device.client_id, iso(now())));
    device.edit_mission(id, json!({ "iterations": list }), at).await
}

/// What a tab does that opens on a due mission: it plans before it pulls.
async fn plan_in_the_tab(device: &Device, id: &str) -> Result<(), StoreError> {
    let (copy, at) = (copy(device, id), now());
    if copy.get("nextRunAt").and_then(Value::as_str).is_none_or(|slot| *slot > *iso(at)) {
        return Ok(());
    }
    let mut list = list(&copy);
    list.push(
        json!({ "id": format!("{} {}", device.client_id, iso(at)), "source": "browser", "startedAt": iso(at),
        "overallStatus": "awaiting-review", "plan": [] }),
    );
    let stale = device.clone().stale();
    stale.edit_mission(id, json!({ "iterations": list, "nextRunAt": iso(at + 1.hour()) }), at).await
}

fn copy(device: &Device, id: &str) -> Map<String, Value> {
    device.copies.lock().unwrap().get(id).cloned().unwrap_or_default()
}

fn list(copy: &Map<String, Value>) -> Vec<Value> {
    copy.get("iterations").and_then(Value::as_array).cloned().unwrap_or_default()
}

//! A database per test, a stand-in LLM, a device, and a runner that ticks when told to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use mana_ai::app;
use mana_ai::config::Config;
use mana_ai::demo::database::{SYNC_CHANGES, Server};
use mana_ai::demo::device::Device;
use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::domain::time::iso;
use mana_ai::runner::Runner;
use mana_ai::runner::stats::TickStats;
use mana_ai::store::schedule::claim::{ClaimScope, ClaimTerms, claim};
use mana_ai::store::schedule::claimed::ClaimedMission;
use mana_ai::store::schedule::compare::{Stage, compare};
use mana_ai::store::schedule::refresh::refresh;
use mana_ai::store::schedule::seen::Seen;
use mana_ai::store::{Store, access};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor, PgConnection, PgPool, Row};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

pub const BINARY: &str = env!("CARGO_BIN_EXE_mana-ai");
pub const KEY: &str = "test-service-key";
/// For everything that should happen soon. Nothing waits this long unless it is broken.
pub const SOON: Duration = Duration::from_secs(30);

/// For claims by hand: two missions of one user, for a minute.
pub const TERMS: ClaimTerms =
    ClaimTerms { replica: uuid::Uuid::nil(), per_user: 2, lease: Duration::from_secs(60) };

/// Claims at most eight missions that were due at `at`.
pub async fn claim_due(store: &Store, at: Timestamp) -> Vec<ClaimedMission> {
    claim(store, TERMS, ClaimScope::Due { at, missions: 8, poison_candidate: true }).await.unwrap()
}

/// For refreshes by hand: as long as the service's own.
pub const OVERLAP: Duration = Duration::from_secs(600);

/// A refresh by a process that has seen nothing yet. Returns how many rows of the schedule changed.
pub async fn refreshed(store: &Store) -> u64 {
    let refreshed = refresh(store, &mut Seen::default(), OVERLAP).await.unwrap();
    assert!(!refreshed.elsewhere);
    refreshed.found.changed
}

/// A comparison with the whole log, to its end. Returns how many rows of the schedule were not as the log has them.
pub async fn compared(store: &Store) -> u64 {
    let compared = compare(store, true, SOON).await.unwrap();
    assert_eq!(compared.stage, Stage::Ended);
    compared.found.changed
}

static SERVER: OnceCell<Server> = OnceCell::const_new();
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NAMES: AtomicU32 = AtomicU32::new(0);

pub async fn server() -> &'static Server {
    SERVER.get_or_init(|| async { Server::find(Path::new(BINARY)).await.expect("a Postgres") }).await
}

fn new_name() -> String {
    format!("mana_ai_test_{}_{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

/// mana-sync's table, and everything of ours.
async fn template() -> &'static str {
    TEMPLATE
        .get_or_init(|| async {
            // A fixed name: on a server of DATABASE_URL it is the one thing that stays behind.
            let name = "mana_ai_test_template".to_owned();
            server().await.drop_database(&name).await.unwrap();
            let url = server().await.create_database(&name, None).await.unwrap();
            set_up(&url).await;
            name
        })
        .await
}

async fn set_up(url: &str) {
    let db = PgPoolOptions::new().connect(url).await.unwrap();
    db.execute(SYNC_CHANGES).await.unwrap();
    db.close().await;
    let store = Store::new(url, 2).unwrap();
    access::migrate(&store).await.unwrap();
    access::build_index(&store).await.unwrap();
    store.close();
}

/// A database of its own, dropped at the end where the server outlives the tests.
pub struct TestDb {
    pub name: String,
    pub url: String,
    /// As the login that owns it, a superuser, whom row security does not bind.
    pub admin: PgPool,
    /// On the server of all tests?
    shared: bool,
}

impl TestDb {
    /// With mana-sync's table, set up for mana-ai.
    pub async fn ready() -> Self {
        Self::create(server().await, Some(template().await)).await
    }

    /// As `ready`, on a server of the test's own, whose end is its end.
    pub async fn ready_on(server: &Server) -> Self {
        let name = new_name();
        let url = server.create_database(&name, None).await.unwrap();
        let mut first = PgConnection::connect(&url).await.unwrap();
        // The embedded one commits lazily: a crash would lose what devices believe to be stored.
        first.execute("ALTER ROLE ALL SET synchronous_commit = on").await.unwrap();
        first.close().await.unwrap();
        set_up(&url).await;
        Self::connect(name, url, false).await
    }

    /// With nothing at all, on a server of the test's own.
    pub async fn bare_on(server: &Server) -> Self {
        let name = new_name();
        let url = server.create_database(&name, None).await.unwrap();
        Self::connect(name, url, false).await
    }

    /// With nothing at all.
    pub async fn empty() -> Self {
        Self::create(server().await, None).await
    }

    async fn create(server: &Server, template: Option<&str>) -> Self {
        let name = new_name();
        let url = server.create_database(&name, template).await.unwrap();
        Self::connect(name, url, true).await
    }

    async fn connect(name: String, url: String, shared: bool) -> Self {
        let admin = PgPoolOptions::new().max_connections(4).connect(&url).await.unwrap();
        Self { name, url, admin, shared }
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.admin).await.unwrap()
    }

    /// Asks until the answer fits.
    pub async fn until(&self, sql: &'static str, fits: impl Fn(i64) -> bool) {
        while !fits(self.count(sql).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The rows that the service has written, oldest first.
    pub async fn written(&self) -> Vec<Value> {
        let rows = self
            .admin
            .fetch_all("SELECT to_jsonb(c) FROM sync_changes c WHERE client_id = 'mana-ai-runner' ORDER BY created_at, id")
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let server = SERVER.get().filter(|server| self.shared && !server.is_embedded());
        let Some(server) = server else { return };
        let name = self.name.clone();
        let drop_it = async move { server.drop_database(&name).await };
        // A runtime of its own: the test's may be gone by now.
        let dropped = std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(drop_it));
        let _ = dropped.join();
    }
}

/// A database, a model and a runner. The loop is off: tests tick by hand.
pub struct World {
    pub db: TestDb,
    pub llm: StandIn,
    pub store: Store,
    pub runner: Arc<Runner>,
    pub stop: CancellationToken,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables set.
    pub async fn with(vars: &[(&str, &str)]) -> Self {
        Self::on(TestDb::ready().await, vars).await
    }

    /// On this database. With the URL of a proxy in it, the service goes through the proxy, and `admin` does not.
    pub async fn on(db: TestDb, vars: &[(&str, &str)]) -> Self {
        let llm = StandIn::start(Behaviour::Plan).await.unwrap();
        let stop = CancellationToken::new();
        let (store, runner) = app::runner(&config(&db.url, llm.url(), vars), stop.clone()).unwrap();
        Self { db, llm, store, runner, stop }
    }

    /// Another replica on the same database and model.
    pub fn replica(&self, vars: &[(&str, &str)]) -> Arc<Runner> {
        app::runner(&config(&self.db.url, self.llm.url(), vars), self.stop.clone()).unwrap().1
    }

    pub async fn tick(&self) -> TickStats {
        soon(self.runner.tick(true)).await
    }

    /// Ticks in the background, for tests that do something meanwhile.
    pub fn tick_in_background(&self) -> tokio::task::JoinHandle<TickStats> {
        let runner = Arc::clone(&self.runner);
        tokio::spawn(async move { runner.tick(true).await })
    }

    pub fn device(&self, user_id: &str) -> Device {
        Self::device_on(&self.db.admin, &self.store, user_id)
    }

    pub fn device_on(sync: &PgPool, store: &Store, user_id: &str) -> Device {
        Device::new(sync.clone(), store.clone(), user_id, "web-1")
    }
}

pub fn config(database_url: &str, llm_url: &str, vars: &[(&str, &str)]) -> Config {
    // What fails is tried again in the next tick; the waits have tests of their own.
    let usual = [("MANA_LLM_TIMEOUT_MS", "20000"), ("RETRY_MIN_MS", "0"), ("RETRY_MAX_MS", "0")];
    let needed = [("DATABASE_URL", database_url), ("MANA_SERVICE_KEY", KEY), ("MANA_LLM_URL", llm_url)];
    let all = vars.iter().chain(&needed).chain(&usual);
    Config::from_vars(|name| all.clone().find(|(var, _)| *var == name).map(|(_, value)| (*value).into()))
        .unwrap()
}

/// Waits, but not for ever.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("this should have happened by now")
}

#[expect(clippy::disallowed_methods, reason = "the tests' devices have a clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A mission that is due since a minute, hourly.
pub fn due_mission() -> Value {
    mission(now() - 1.minute())
}

/// An active, hourly mission with this slot.
pub fn mission(next_run_at: Timestamp) -> Value {
    json!({
        "createdAt": iso(now() - 48.hours()),
        "updatedAt": iso(now() - 2.hours()),
        "title": "Garten",
        "conceptMarkdown": "Ein kleiner Garten",
        "objective": "Jeden Monat etwas ernten",
        "inputs": [],
        "cadence": { "kind": "interval", "everyMinutes": 60 },
        "state": "active",
        "nextRunAt": iso(next_run_at),
        "iterations": [],
    })
}

/// `value` with some fields replaced.
pub fn with(mut value: Value, fields: Value) -> Value {
    for (field, replacement) in fields.as_object().unwrap() {
        value[field] = replacement.clone();
    }
    value
}

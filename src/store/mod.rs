//! The database: a pool, and the two doors into it.
//!
//! Every transaction becomes the role `mana_ai`, whoever logged in, so row security binds a superuser
//! too. `SET LOCAL` ends with the transaction, which a transaction-pooling proxy understands.

pub mod access;
pub mod changes;
pub mod refresh;
pub mod schedule;
pub mod write_back;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, PgTransaction};

/// How long a caller waits for a connection before the database counts as gone.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounded waits, so that no lock and no lost peer can hold a transaction for ever. Without compiling
/// queries: ours are short, and after a burst the planner takes them for long ones.
const BEGIN: &str = "BEGIN; SET LOCAL ROLE mana_ai; SET LOCAL jit = off; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// Why the database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Connection or statement.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// Nothing within the time that the asker has.
    #[error("database: no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The versioned migrations.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// mana-sync has not been here yet.
    #[error("the table sync_changes is missing: mana-sync creates it when it starts")]
    NoSyncChanges,
    /// Something of `access.sql` is missing.
    #[error("the database is not set up for mana-ai ({0}): run `mana-ai migrate`")]
    NotSetUp(String),
    /// The login may not do what `access.sql` does.
    #[error(
        "{reason}. Let a login that owns sync_changes and may create roles run the SQL that `mana-ai migrate` prints"
    )]
    MayNot {
        /// What Postgres refused.
        reason: String,
        /// What to run instead.
        sql: String,
    },
    /// A row or request without a user.
    #[error("the user id is empty")]
    EmptyUser,
    /// A row that a later version of the suite wrote.
    #[error("change {id} has schema_version {version}, this service reads up to 1")]
    NewerSchema {
        /// The row.
        id: uuid::Uuid,
        /// Its version.
        version: i32,
    },
    /// A mission that was just claimed has no rows: a policy is missing, for the moment or for good.
    #[error("its rows are not visible: no policy of sync_changes shows them to their user")]
    Invisible,
    /// A device wrote the mission while we did, each time we tried.
    #[error("its user keeps writing it")]
    Busy,
    /// Our own change could not be written as JSON.
    #[error("a change could not be serialized: {0}")]
    Serialize(#[from] serde_json::Error),
}

/// The pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    login: PgConnectOptions,
}

impl Store {
    /// Does not connect yet: the database may come up later than we do.
    pub fn new(url: &str, connections: u32) -> Result<Self, StoreError> {
        let login: PgConnectOptions = url.parse()?;
        let login = login.application_name("mana-ai");
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // `begin_with` finds a dead connection as well, without a round trip for each living one.
            .test_before_acquire(false)
            .connect_lazy_with(login.clone());
        Ok(Self { pool, login })
    }

    /// A transaction that belongs to no user: it sees the schedule and the view, and nothing of
    /// `sync_changes`.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, StoreError> {
        self.begin_with(BEGIN).await
    }

    /// A connection that died in the pool, as all do when the server restarts, shows it at BEGIN, which can
    /// be repeated: at the latest on a new connection.
    async fn begin_with(&self, begin: &'static str) -> Result<PgTransaction<'static>, StoreError> {
        for _ in 0..self.pool.options().get_max_connections() {
            match self.pool.begin_with(begin).await {
                Err(error) if is_dead_connection(&error) => tracing::debug!(%error, "connection dropped"),
                result => return Ok(result?),
            }
        }
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Broken, or ended by the server's shutdown (class 57P).
fn is_dead_connection(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, sqlx::Error::Io(_)) || code.is_some_and(|code| code.starts_with("57P"))
}

/// The only door to a user's rows: a transaction in which row security shows that user's, and lets
/// nobody else's be written.
pub struct UserTx {
    tx: PgTransaction<'static>,
    user_id: String,
    began_at: Timestamp,
}

impl UserTx {
    /// The user is set for this transaction only; a connection that goes back to the pool has none.
    pub async fn begin(store: &Store, user_id: &str) -> Result<Self, StoreError> {
        if user_id.is_empty() {
            return Err(StoreError::EmptyUser);
        }
        let mut tx = store.begin().await?;
        let set_user = "SELECT clock_timestamp() FROM set_config('app.current_user_id', $1, true)";
        let began_at: jiff_sqlx::Timestamp =
            sqlx::query_scalar(set_user).bind(user_id).fetch_one(&mut *tx).await?;
        Ok(Self { tx, user_id: user_id.to_owned(), began_at: began_at.to_jiff() })
    }

    /// The database's clock when it began.
    pub fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// Whose rows these are.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// Makes it last. Without it everything is undone.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

impl Deref for UserTx {
    type Target = PgTransaction<'static>;
    fn deref(&self) -> &Self::Target {
        &self.tx
    }
}

impl DerefMut for UserTx {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.tx
    }
}

/// The database's clock, now: the one that decides what is due, over all replicas.
pub async fn now(tx: &mut PgTransaction<'static>) -> Result<Timestamp, StoreError> {
    let now: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut **tx).await?;
    Ok(now.to_jiff())
}

/// For binding.
fn sql_time(at: Timestamp) -> jiff_sqlx::Timestamp {
    at.to_sqlx()
}

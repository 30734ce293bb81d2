//! The database: a pool, and the two doors into it.
//!
//! Every transaction becomes the role `mana_ai`, whoever logged in, so row security binds a superuser
//! too. `SET LOCAL` ends with the transaction, which a transaction-pooling proxy understands.

pub mod access;
mod error;
pub mod log;
pub mod operations;
pub mod runs;
pub mod schedule;
mod time;
mod tx;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Pool, PoolError, TimeoutType};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

pub use error::{Blame, StoreError};
pub use schedule::progress::Folding;
pub use time::DbTime;
use tx::Connections;
pub use tx::{Tx, UserTx};

/// How long a caller waits for a connection that others use.
const WAIT: Duration = Duration::from_secs(10);
/// For a new connection, and for BEGIN: whoever takes longer is not there.
const ANSWER: Duration = Duration::from_secs(5);
/// For a whole transaction, seen from here. Above the server's own timeouts, which say more.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(30);
/// Bounded waits, so that no lock and no lost peer can hold a transaction for ever. Without compiling
/// queries: ours are short, and after a burst the planner takes them for long ones.
const BEGIN: &str = "BEGIN; SET LOCAL ROLE mana_ai; SET LOCAL jit = off; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL statement_timeout = '25s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// The pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool<Connections>,
    login: PgConnectOptions,
    gone: Arc<AtomicBool>,
    folding: Arc<Folding>,
}

impl Store {
    /// Does not connect yet: the database may come up later than we do.
    pub fn new(url: &str, connections: u32) -> Result<Self, StoreError> {
        let login: PgConnectOptions = url.parse()?;
        let login = login.application_name("mana-ai");
        let pool = Pool::builder(Connections(login.clone()))
            .max_size(connections as usize)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(ANSWER))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is given, which is all that a pool with timeouts asks for");
        Ok(Self { pool, login, gone: Arc::default(), folding: Arc::default() })
    }

    /// A transaction that belongs to no user: it sees the schedule and the view, and nothing of
    /// `sync_changes`.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_with(BEGIN).await
    }

    #[tracing::instrument(name = "begin", level = "debug", skip_all)]
    async fn begin_with(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let begun = self.begin_on_living(begin).await;
        self.notice(begun.as_ref().err());
        begun
    }

    /// A connection that died in the pool, as all do when the server restarts, shows it at BEGIN, which can
    /// be repeated. Then the others in the pool are as dead: each would cost somebody its own failure.
    async fn begin_on_living(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let begun = self.try_begin(begin).await;
        let Err(StoreError::NoAnswer(_) | StoreError::Database(_)) = &begun else { return begun };
        self.pool.retain(|_, _| false);
        match begun {
            Err(StoreError::Database(error)) if is_dead_connection(&error) => {
                tracing::debug!(%error, "connections dropped");
                self.try_begin(begin).await
            }
            begun => begun,
        }
    }

    async fn try_begin(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => StoreError::Database(error),
            PoolError::Timeout(TimeoutType::Wait) => StoreError::NoConnectionFree(WAIT),
            _ => StoreError::NoAnswer(ANSWER),
        })?;
        let begun = async { Ok(Tx::begin(connection, begin).await?) };
        within(ANSWER, begun).await
    }

    /// A connection beside the pool, as the login itself. Says at once why there is none.
    async fn log_in(&self) -> Result<PgConnection, StoreError> {
        within(ANSWER, async { Ok(self.login.connect().await?) }).await
    }

    /// Says once that the database is gone, and once that it is back: not per mission.
    fn notice(&self, error: Option<&StoreError>) {
        match error {
            // Our own pool is too small for what we do; the database may be fine.
            Some(StoreError::NoConnectionFree(_)) => {}
            Some(error) if error.blame() == Blame::Database => {
                if !self.gone.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the database is gone");
                }
            }
            _ => {
                if self.gone.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database is back");
                }
            }
        }
    }

    /// How far a fold of the whole log is.
    pub fn folding(&self) -> &Folding {
        &self.folding
    }

    /// Ends all connections that are not in use.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// Broken, or ended by the server's shutdown (class 57P).
fn is_dead_connection(error: &sqlx::Error) -> bool {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    let broken = matches!(error, sqlx::Error::Io(error) if !refused(error));
    broken || error::code(error).is_some_and(|code| code.starts_with("57P"))
}

/// Bounds a piece of work with the database: a peer that is silent without having gone gives no error.
pub(crate) fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    // On the heap, and before the first await: else each caller's future holds all of it, and they nest.
    let work = tokio::time::timeout(limit, Box::pin(work));
    async move { work.await.unwrap_or(Err(StoreError::NoAnswer(limit))) }
}

/// What a tick begins with.
#[derive(Debug, Clone, Copy)]
pub struct Preflight {
    /// The database's clock. It decides what is due, over all replicas.
    pub now: Timestamp,
    /// Since when an operator wants no mission to be begun.
    pub paused_since: Option<DbTime>,
}

/// The opening of a tick, if what it does could be stored: else no model should be asked.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn preflight(store: &Store) -> Result<Preflight, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let (DbTime(now), paused_since, writable, allowed): (_, _, bool, bool) = sqlx::query_as(
            "SELECT clock_timestamp(), (SELECT paused_at FROM mana_ai.pause),
                 current_setting('transaction_read_only') = 'off',
                 has_table_privilege('sync_changes', 'SELECT') AND has_table_privilege('sync_changes', 'INSERT')",
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        match (writable, allowed) {
            (false, _) => Err(StoreError::ReadOnly),
            (_, false) => Err(StoreError::NotSetUp("role mana_ai may not read and write sync_changes".into())),
            _ => Ok(Preflight { now, paused_since }),
        }
    })
    .await
}

/// For binding.
fn sql_time(at: Timestamp) -> jiff_sqlx::Timestamp {
    at.to_sqlx()
}

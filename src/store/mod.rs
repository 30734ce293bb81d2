//! The database: a pool of connections, and the transactions on it ([`Tx`], [`UserTx`]).
//!
//! Every transaction of the pool becomes the role `mana_ai`, whoever logged in, so row security binds a superuser
//! too. `SET LOCAL` ends with the transaction, which a transaction-pooling proxy understands.

pub mod access;
pub mod budget;
mod calls;
mod error;
pub mod healing;
pub mod limits;
pub mod log;
mod login;
pub mod pause;
pub mod pool;
mod preflight;
pub mod replicas;
pub mod room;
pub mod runs;
pub mod schedule;
mod sqlstate;
mod survey;
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
use log::shape::{APRIL, Shape};
use pool::Connections;
pub use preflight::{Preflight, preflight};
use schedule::progress::RefreshProgress;
pub use time::DbTime;
pub use tx::{Tx, UserTx};

/// How long a caller waits for a connection while others use all of them.
const WAIT: Duration = Duration::from_secs(10);
/// How long a new connection and a BEGIN may take: a server that needs longer counts as gone.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest that a transaction may take by our clock. Above the server's own timeouts, whose errors say more.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(30);
/// A statement finds unqualified names in `pg_catalog` alone. Where others may create in a schema of the path, a function
/// of theirs whose arguments fit better would run in the place of Postgres' own, as the role of the transaction.
/// Set in each transaction: behind a proxy that pools transactions a session's settings would be other clients' too.
macro_rules! pin_search_path {
    () => {
        "SET LOCAL search_path = pg_catalog, pg_temp"
    };
}
use pin_search_path;

/// The text that begins a transaction, with settings of its own. Turns the compiler of queries off: ours are short, and
/// after a burst the planner takes them for long ones.
macro_rules! begin {
    ($($setting:literal),*) => {
        concat!(
            "BEGIN; SET LOCAL ROLE mana_ai; ", $crate::store::pin_search_path!(), "; SET LOCAL jit = off; SET LOCAL lock_timeout = '5s'",
            $("; SET LOCAL ", $setting),*
        )
    };
}
use begin;

/// Bounds every wait, so that no lock and no lost server can hold a transaction for ever.
const BEGIN: &str = begin!("statement_timeout = '25s'", "idle_in_transaction_session_timeout = '30s'");

/// The pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool<Connections>,
    login: PgConnectOptions,
    gone: Arc<AtomicBool>,
    pooled: bool,
    progress: Arc<RefreshProgress>,
    rooms: room::Rooms,
}

impl Store {
    /// Does not connect yet: the database may come up later than we do.
    ///
    /// # Errors
    /// Where `url` is no URL of a Postgres.
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
        let (gone, progress, rooms) = (Arc::default(), Arc::default(), room::Rooms::default());
        Ok(Self { pool, login, gone, pooled: false, progress, rooms })
    }

    /// Leaves no prepared statement behind when a transaction ends, at the cost of a round trip and of parsing each
    /// statement anew. A pooler in transaction mode gives each transaction any of its connections to the server, so
    /// a statement of one client would be found by another one, under the name of one of its own.
    #[must_use]
    pub fn behind_transaction_pooler(self, pooled: bool) -> Self {
        Self { pooled, ..self }
    }

    /// A transaction that belongs to no user: it sees the schedule and the view, and no row of mana-sync's table.
    ///
    /// # Errors
    /// Where no connection is free or can be made, or whatever the database answers.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_with(BEGIN).await
    }

    /// Waits until this process has room for a mission that takes so many bytes.
    pub async fn wait_for_room(&self, bytes: usize) {
        drop(self.rooms.take(bytes).await);
    }

    /// One whole transaction: BEGIN, `work`, COMMIT, in at most [`TRANSACTION`]. Where `work` fails, nothing
    /// is committed, and the connection is closed.
    ///
    /// # Errors
    /// Those of `work`, of BEGIN and of COMMIT; [`StoreError::NoAnswer`] after [`TRANSACTION`].
    pub(crate) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        with_timeout(TRANSACTION, async {
            let mut tx = self.begin().await?;
            let done = work(&mut tx).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }

    #[tracing::instrument(name = "begin", level = "debug", skip_all)]
    async fn begin_with(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let begun = self.begin_on_living(begin).await;
        self.notice(begun.as_ref().err());
        begun
    }

    /// A connection that died in the pool, as all do when the server restarts, fails at BEGIN, which can be
    /// repeated. The others that lie in the pool are as dead, so they are dropped: each would cost another caller
    /// a failure.
    async fn begin_on_living(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let begun = self.try_begin(begin).await;
        let Err(StoreError::NoAnswer(_) | StoreError::Begin(_)) = &begun else { return begun };
        self.pool.retain(|_, _| false);
        match begun {
            Err(StoreError::Begin(error)) if is_dead_connection(&error) => {
                tracing::debug!(error = sqlstate::told(&error), "connections dropped");
                self.try_begin(begin).await
            }
            begun => begun,
        }
    }

    async fn try_begin(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => StoreError::Begin(error),
            PoolError::Timeout(TimeoutType::Wait) => StoreError::NoConnectionFree(WAIT),
            _ => StoreError::NoAnswer(ANSWER),
        })?;
        let begun = async { Tx::begin(connection, begin, self.pooled).await.map_err(StoreError::Begin) };
        with_timeout(ANSWER, begun).await
    }

    /// A connection beside the pool, as the login itself. Says at once why there is none.
    async fn log_in(&self) -> Result<PgConnection, StoreError> {
        with_timeout(ANSWER, async { Ok(self.login.connect().await?) }).await
    }

    /// Logs once that the database is gone, and once that it is back: not per mission.
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
    pub fn refresh_progress(&self) -> &RefreshProgress {
        &self.progress
    }

    /// The shape of mana-sync's table in this database.
    pub fn shape(&self) -> &'static Shape {
        &APRIL
    }

    /// Ends all connections that are not in use.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// Is the connection broken, or ended by the server's shutdown (class 57P)?
fn is_dead_connection(error: &sqlx::Error) -> bool {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    let broken = matches!(error, sqlx::Error::Io(error) if !refused(error));
    broken || sqlstate::code(error).is_some_and(|code| code.starts_with("57P"))
}

/// Bounds `work` with the database: a server that is silent without having closed the connection gives no error.
///
/// # Errors
/// [`StoreError::NoAnswer`] after `limit`, else what `work` fails with.
pub(crate) fn with_timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    // On the heap, and before the first await: else each caller's future contains all of it, and futures nest
    // until a tick's future overflows a thread's stack.
    let work = tokio::time::timeout(limit, Box::pin(work));
    async move { work.await.unwrap_or(Err(StoreError::NoAnswer(limit))) }
}

/// The time as a statement binds it.
fn sql_time(at: Timestamp) -> jiff_sqlx::Timestamp {
    at.to_sqlx()
}

//! Why the database did not do as asked, and who can mend it.

use std::time::Duration;

use sqlx::migrate::MigrateError;

use super::sqlstate;

/// Why the database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The connection broke, or the server refused a statement.
    #[error("database: {}", sqlstate::told(.0))]
    Database(#[from] sqlx::Error),
    /// No transaction could be begun: nothing was asked of any mission's rows yet.
    #[error("database: {}", sqlstate::told(.0))]
    Begin(#[source] sqlx::Error),
    /// The server did not answer within this time.
    #[error("database: no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// Every connection of the pool was in use for that long.
    #[error("database: no connection was free for {} s, DATABASE_POOL_SIZE may be too small", .0.as_secs())]
    NoConnectionFree(Duration),
    /// The server takes no writes: it is a standby, or an operator made it read-only.
    #[error("database: it takes no writes, it is read-only")]
    ReadOnly,
    /// A versioned migration of our own tables failed.
    #[error("migration: {}", told_of_migration(.0))]
    Migrate(#[from] MigrateError),
    /// mana-sync has not created its table yet.
    #[error("the table sync_changes is missing: mana-sync creates it when it starts")]
    NoSyncChanges,
    /// Something that `mana-ai migrate` sets up is missing.
    #[error("the database is not set up for mana-ai {}", with_remedy(.0))]
    NotSetUp(String),
    /// Tables of ours were dropped, while the migrations that made them are recorded as done.
    #[error(
        "{0}, though it was made once. Nothing in the schema mana_ai is anybody's data: DROP SCHEMA mana_ai CASCADE, \
         then `mana-ai migrate` makes all of it anew; the ledger and the retry state begin anew too"
    )]
    TablesGone(String),
    /// The login may not do what `access.sql` does.
    #[error(
        "{reason}. Let a login that owns sync_changes and may create roles run the SQL that `mana-ai migrate` prints{}",
        who_may.as_ref().map(|who| format!(". {who}")).unwrap_or_default()
    )]
    InsufficientPrivilege {
        /// What Postgres refused.
        reason: String,
        /// Who can grant the role here, where not everybody who may create roles can.
        who_may: Option<String>,
        /// What to run instead.
        sql: String,
    },
    /// `mana-ai grant` is to serve a login that does not exist.
    #[error("there is no role {0}: CREATE ROLE … LOGIN makes one")]
    NoSuchLogin(String),
    /// A transaction for a user was asked for with an empty user id.
    #[error("the user id is empty")]
    EmptyUser,
    /// A row that a later version of the suite wrote.
    #[error("change {id} has schema_version {version}, this service reads up to 1")]
    NewerSchema {
        /// The row's id.
        id: uuid::Uuid,
        /// The row's `schema_version`.
        version: i32,
    },
    /// More text than this service reads of one mission.
    #[error(
        "its rows hold {:.1} MB to be read, at most {:.1} MB are: its iterations have to become fewer or shorter",
        megabytes(*.size), megabytes(*.limit)
    )]
    TooLarge {
        /// What would have been read, in bytes; there may be more.
        size: usize,
        /// See [`LIMIT`](super::limits::LIMIT).
        limit: usize,
    },
    /// More memory than one mission may take: it consists of very many short values.
    #[error(
        "its rows would take {:.0} MB of memory to be read, at most {:.0} MB are there: its iterations have to become fewer or simpler",
        megabytes(*.bytes), megabytes(*.limit)
    )]
    TooIntricate {
        /// What it would take, as `src/store/log/held.rs` counts; there may be more.
        bytes: usize,
        /// See [`ROOM`](super::limits::ROOM).
        limit: usize,
    },
    /// Other missions have the memory that this one would take, so many bytes of its rows. Waiting helps.
    #[error("other missions take the memory that its rows need")]
    NoRoom(usize),
    /// More rows than this service reads of one mission.
    #[error("it has more than {} rows", super::limits::MAX_ROWS)]
    TooManyRows,
    /// A mission that was just claimed has no rows: a policy is missing, for the moment or for good.
    #[error(
        "its rows are not visible: no policy of sync_changes shows them to their user, mana-sync makes it when it starts"
    )]
    Invisible,
    /// A device wrote the mission while we did, each time we tried.
    #[error("its user keeps writing it")]
    Busy,
    /// Our own change could not be written as JSON.
    #[error("a change could not be serialized: {0}")]
    Serialize(#[from] serde_json::Error),
}

/// Who can mend an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The database, or who runs it: it is gone, frozen, full, read-only or closed to us. Time helps, or an
    /// operator; the mission at hand has nothing to do with it.
    Database,
    /// Two transactions met. The same once more helps.
    Conflict,
    /// The server refuses the statement: a privilege or a column is missing, or a policy forbids it. An operator
    /// may mend that in a moment, or it may concern this user's rows alone.
    Refusal,
    /// The mission's own data, or a reason that the server names with a code which says nothing of itself: only this
    /// mission fails, and it may fail each time.
    Mission,
    /// Only a new row of the mission helps.
    Row,
}

impl StoreError {
    /// Who can mend it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::EmptyUser
            | Self::NewerSchema { .. }
            | Self::TooLarge { .. }
            | Self::TooIntricate { .. }
            | Self::TooManyRows => Blame::Row,
            Self::Busy | Self::NoRoom(_) => Blame::Conflict,
            Self::Serialize(_) => Blame::Mission,
            Self::Database(error) => sqlstate::blame(error),
            _ => Blame::Database,
        }
    }

    /// Do the rows of the mission make it unreadable?
    pub(super) fn is_of_the_rows(&self) -> bool {
        matches!(
            self,
            Self::NewerSchema { .. } | Self::TooLarge { .. } | Self::TooIntricate { .. } | Self::TooManyRows
        )
    }

    /// Did the server refuse a statement with a code that it gives for faults of its own, on a connection that stood? It
    /// may be out of order, or it may refuse one mission's rows alone: only another statement tells.
    pub fn is_refusal_by_server(&self) -> bool {
        matches!(self, Self::Database(error) if self.blame() == Blame::Database && sqlstate::is_refusal(error))
    }
}

/// What is missing, and `mana-ai migrate` as the remedy, unless it is all mana-sync's: those problems say so themselves.
fn with_remedy(problems: &str) -> String {
    let ours = problems.split("; ").any(|problem| !problem.contains("mana-sync"));
    let remedy = if ours { ": run `mana-ai migrate`" } else { "" };
    format!("({problems}){remedy}")
}

fn told_of_migration(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(cause) => sqlstate::told(cause),
        MigrateError::ExecuteMigration(cause, version) => {
            format!("number {version}: {}", sqlstate::told(cause))
        }
        other => other.to_string(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

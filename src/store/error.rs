//! Why the database did not do as asked, and whose fault that is.

use std::time::Duration;

/// Why the database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Connection or statement.
    #[error("database: {}", without_data(.0))]
    Database(#[from] sqlx::Error),
    /// Nothing within the time that the asker has.
    #[error("database: no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// Every connection of the pool was in use for that long.
    #[error("database: no connection was free for {} s, DATABASE_POOL_SIZE may be too small", .0.as_secs())]
    NoConnectionFree(Duration),
    /// What is read could not be followed by what is written: a standby, or switched so by somebody.
    #[error("database: it takes no writes, it is read-only")]
    ReadOnly,
    /// The versioned migrations.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// mana-sync has not been here yet.
    #[error("the table sync_changes is missing: mana-sync creates it when it starts")]
    NoSyncChanges,
    /// Something of `access.sql` is missing.
    #[error("the database is not set up for mana-ai ({0}): run `mana-ai migrate`")]
    NotSetUp(String),
    /// Somebody dropped tables of ours, and the migrations that made them are recorded as done.
    #[error(
        "{0}, though it was made once. Nothing in the schema mana_ai is anybody's data: DROP SCHEMA mana_ai CASCADE, \
         then `mana-ai migrate` makes all of it anew; the ledger and the retry state begin anew too"
    )]
    TablesGone(String),
    /// The login may not do what `access.sql` does.
    #[error(
        "{reason}. Let a login that owns sync_changes and may create roles run the SQL that `mana-ai migrate` prints"
    )]
    InsufficientPrivilege {
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

/// Whose fault an error is, and so what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The database's, or of who runs it: gone, frozen, full, read-only, closed to us. Time helps, or an
    /// operator; the mission at hand has nothing to do with it.
    Database,
    /// Two met. The same again helps.
    Conflict,
    /// What the server refuses as we ask it: a privilege, a policy, a column that is not there. Whoever runs
    /// it may mend that in a moment, or it may be this user's rows alone.
    Refusal,
    /// The data at hand: only this mission fails, and it may fail for ever.
    Mission,
    /// Nothing but a new row of the mission helps.
    Row,
}

impl StoreError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::EmptyUser | Self::NewerSchema { .. } => Blame::Row,
            Self::Busy => Blame::Conflict,
            Self::Serialize(_) => Blame::Mission,
            Self::Database(error) => blame_of(error),
            _ => Blame::Database,
        }
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn blame_of(error: &sqlx::Error) -> Blame {
    match code(error).as_deref() {
        // Serialization failure, deadlock, lock timeout.
        Some("40001" | "40P01" | "55P03") => Blame::Conflict,
        // The statement timeout: this mission's rows are too many.
        Some("57014") => Blame::Mission,
        // Data exceptions, constraints, limits, and what a trigger of mana-sync raises.
        Some(code) if ["22", "23", "54", "P0"].contains(&&code[..2]) => Blame::Mission,
        Some(code) if ["0A", "42"].contains(&&code[..2]) => Blame::Refusal,
        Some(_) => Blame::Database,
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => {
                Blame::Mission
            }
            _ => Blame::Database,
        },
    }
}

/// What Postgres says of a value repeats the value, and what a trigger says may repeat the row: neither is for
/// a log or the ledger.
fn without_data(error: &sqlx::Error) -> String {
    match code(error) {
        Some(code) if ["22", "P0"].contains(&&code[..2]) => format!("it refused the data (SQLSTATE {code})"),
        _ => error.to_string(),
    }
}

/// SQLSTATE, where the server said one: five ASCII characters.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?.into_owned();
    (code.len() == 5 && code.is_ascii()).then_some(code)
}

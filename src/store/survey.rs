//! Whether the database is set up for the service, and whether the login can do more than it needs.
//!
//! Everything here asks the catalogs, which every login may read: what a login lacks must not keep it from saying so.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, FromRow};

use super::login::{self, is_member};
use super::{Store, StoreError, TRANSACTION, with_timeout};
use crate::store::log::log_oid;
use crate::store::log::setup::{self, INDEX_IS_VALID};

/// What `access.sql` makes: each row names one thing that is not as it should be.
const PROBLEMS: &str = concat!(
    "
WITH own AS (SELECT to_regrole('mana_ai') AS me, to_regrole('mana_ai_reader') AS reader)
SELECT problem FROM own, LATERAL (VALUES
    (me IS NOT NULL AND reader IS NOT NULL, 'the roles mana_ai and mana_ai_reader are missing'),
    (me IS NULL OR ",
    is_member!("session_user", "me"),
    ", format('the login %I is not in role mana_ai', session_user)),
    (NOT EXISTS (SELECT FROM pg_roles WHERE oid IN (me, reader) AND (rolsuper OR rolbypassrls)),
        'the roles bypass row security, take SUPERUSER and BYPASSRLS from them'),
    (me IS NULL OR reader IS NULL OR
     (has_schema_privilege(me, to_regnamespace('public'), 'USAGE')
      AND has_schema_privilege(reader, to_regnamespace('public'), 'USAGE')),
        'the roles mana_ai and mana_ai_reader may not use the schema public'),
    (me IS NULL OR to_regnamespace('mana_ai') IS NULL OR has_schema_privilege(me, to_regnamespace('mana_ai'), 'USAGE'),
        'the role mana_ai may not use the schema mana_ai')
) AS checks (fine, problem) WHERE fine IS NOT TRUE"
);

/// What the migrations make and is not there: tables, and columns that a table of an earlier version lacks.
const MISSING_TABLES: &str = "
SELECT format('the table mana_ai.%s is missing', name)
FROM unnest(ARRAY['mission_schedule', 'refresh_cursor', 'mission_runs', 'replicas', 'pause', 'mission_healing']) AS name
WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = to_regnamespace('mana_ai'))
UNION ALL
SELECT format('the column mana_ai.%s.%s is missing', relname, name)
FROM (VALUES ('mission_runs', 'calls'), ('mission_runs', 'prompt_version'), ('replicas', 'user_concurrency')) AS later (of_table, name)
JOIN pg_class ON relname = of_table AND relnamespace = to_regnamespace('mana_ai')
WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = name AND NOT attisdropped)";

/// How [`PROBLEMS`] ends of a login that may not become the role.
const NOT_A_MEMBER: &str = "is not in role mana_ai";

/// Is everything there that the service needs?
///
/// # Errors
/// [`StoreError::NoSyncChanges`], [`StoreError::NotSetUp`] and [`StoreError::ReadOnly`] say what is missing; else
/// whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn verify(store: &Store) -> Result<(), StoreError> {
    let survey = survey(store).await?;
    survey.access()?;
    if !survey.writable {
        return Err(StoreError::ReadOnly);
    }
    if survey.missing_tables.is_empty() {
        return Ok(());
    }
    Err(StoreError::NotSetUp(survey.missing_tables.join("; ")))
}

/// What is there, and what is not.
#[derive(Debug)]
pub struct Survey {
    /// The server's version, the database's name, and the login.
    pub server: String,
    /// The login's name.
    pub login: String,
    /// What the login can do beyond becoming `mana_ai`. The service works all the same.
    pub excess: Vec<String>,
    /// Does it take writes?
    pub writable: bool,
    /// Is mana-sync's table there?
    pub log: bool,
    /// What of `access.sql` is not as it should be.
    pub problems: Vec<String>,
    /// Which of our own tables are missing.
    pub missing_tables: Vec<String>,
    /// Is the index there, and whole?
    pub index: bool,
}

impl Survey {
    /// What the login can do beyond what the service needs, as a sentence.
    pub fn told_of_excess(&self) -> String {
        format!("{} can do more than mana-ai needs: {}", self.login, self.excess.join("; "))
    }

    /// Is everything as it should be, but that the login is not in the role yet?
    pub(super) fn lacks_membership_alone(&self) -> bool {
        matches!(&self.problems[..], [only] if only.ends_with(NOT_A_MEMBER))
    }

    /// Looks only at what `access.sql` makes.
    pub(super) fn access(&self) -> Result<(), StoreError> {
        if !self.log {
            return Err(StoreError::NoSyncChanges);
        }
        if self.problems.is_empty() { Ok(()) } else { Err(StoreError::NotSetUp(self.problems.join("; "))) }
    }
}

/// Looks at everything.
///
/// # Errors
/// Whatever the database answers; what is missing is no error.
pub async fn survey(store: &Store) -> Result<Survey, StoreError> {
    with_timeout(TRANSACTION, async {
        // As the login itself: before the set-up there is no role to become. On a connection of its own, which
        // says at once why there is none, and takes none from the missions.
        let mut db = store.log_in().await?;
        let survey = survey_on(&mut db).await?;
        db.close().await?;
        Ok(survey)
    })
    .await
}

#[derive(FromRow)]
struct Server {
    server: String,
    login: String,
    writable: bool,
    log: bool,
}

/// The same on a connection of the login itself, in a transaction of its own.
pub(super) async fn survey_on(db: &mut PgConnection) -> Result<Survey, StoreError> {
    let mut tx = login::begin_as_login(db).await?;
    let Server { server, login, writable, log } = sqlx::query_as(concat!(
        "SELECT format('PostgreSQL %s, database %s, as %s', current_setting('server_version'), current_database(),
                 session_user) AS server,
             session_user::text AS login, current_setting('transaction_read_only') = 'off' AS writable, ",
        log_oid!(),
        " IS NOT NULL AS log"
    ))
    .fetch_one(&mut *tx)
    .await?;
    let mut problems: Vec<String> = Vec::new();
    if log {
        problems = sqlx::query_scalar(PROBLEMS).fetch_all(&mut *tx).await?;
        let on_the_log: Vec<String> = sqlx::query_scalar(setup::PROBLEMS).fetch_all(&mut *tx).await?;
        problems.extend(on_the_log);
    }
    let excess = login::excess(&mut tx).await?;
    let index = sqlx::query_scalar(INDEX_IS_VALID).fetch_optional(&mut *tx).await?.unwrap_or(false);
    let missing_tables = sqlx::query_scalar(MISSING_TABLES).fetch_all(&mut *tx).await?;
    login::commit(tx).await?;
    Ok(Survey { server, login, excess, writable, log, problems, missing_tables, index })
}

//! Sets the database up, and tells whether it is: roles and schema (`access.sql`), what we add to mana-sync's
//! table (`log/setup.rs`), and the versioned migrations of our own tables.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::sqlstate::{code, told};
use super::{Store, StoreError, TRANSACTION, with_timeout};
use crate::store::log::log_exists;
use crate::store::log::setup::{self, INDEX};
use crate::store::log::shape::Shape;

/// Two databases of one cluster that are set up at once touch the same roles; Postgres then refuses
/// one of them with a conflict.
const TRIES: u32 = 5;
/// How long the whole set-up may take. Longer than the server's own timeout, whose error says more.
const LONGEST_SETUP: Duration = Duration::from_mins(11);

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name("mana_ai._sqlx_migrations");
    // A newer replica may have been here: its tables are no reason for this one to stop.
    migrator.set_ignore_missing(true);
    migrator
}

/// What `access.sql` makes: each row names one thing that is not as it should be.
const PROBLEMS: &str = "
WITH own AS (SELECT to_regrole('mana_ai') AS me, to_regrole('mana_ai_reader') AS reader)
SELECT problem FROM own, LATERAL (VALUES
    (me IS NOT NULL AND reader IS NOT NULL, 'the roles mana_ai and mana_ai_reader are missing'),
    (pg_has_role(session_user, me, 'MEMBER'), 'the login is not in role mana_ai'),
    ((SELECT bool_and(NOT rolsuper AND NOT rolbypassrls) FROM pg_roles WHERE oid IN (me, reader)),
        'the roles bypass row security, take SUPERUSER and BYPASSRLS from them')
) AS checks (fine, problem) WHERE fine IS NOT TRUE";

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
    /// Looks only at what `access.sql` makes.
    fn access(&self) -> Result<(), StoreError> {
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

async fn survey_on(db: &mut PgConnection) -> Result<Survey, StoreError> {
    let (server, writable, index, log) = sqlx::query_as(concat!(
        "SELECT format('PostgreSQL %s, database %s, as %s', current_setting('server_version'), current_database(), session_user),
             current_setting('transaction_read_only') = 'off',
             coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('mana_ai_mission_changes')), false), ",
        log_exists!()
    ))
    .fetch_one(&mut *db)
    .await?;
    let mut problems: Vec<String> = Vec::new();
    if log {
        problems = sqlx::query_scalar(PROBLEMS).fetch_all(&mut *db).await?;
        let on_the_log: Vec<String> = sqlx::query_scalar(setup::PROBLEMS).fetch_all(&mut *db).await?;
        problems.extend(on_the_log);
    }
    let missing_tables = sqlx::query_scalar(
        "SELECT format('the table mana_ai.%s is missing', name)
         FROM unnest(ARRAY['mission_schedule', 'refresh_cursor', 'mission_runs', 'replicas', 'pause', 'mission_healing']) AS name
         WHERE to_regclass('mana_ai.' || name) IS NULL",
    )
    .fetch_all(db)
    .await?;
    Ok(Survey { server, writable, log, problems, missing_tables, index })
}

/// Sets up whatever is missing, but for the index. May be repeated, also twice at once.
///
/// # Errors
/// [`StoreError::InsufficientPrivilege`] with the SQL to run as another login, [`StoreError::NoSyncChanges`],
/// [`StoreError::TablesGone`], [`StoreError::Migrate`], and whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    with_timeout(LONGEST_SETUP, migrate_all(store)).await
}

async fn migrate_all(store: &Store) -> Result<(), StoreError> {
    let mut db = store.log_in().await?;
    // "already exists, skipping" is what a repetition should find, and no news for a log. Waiting for a busy
    // table is fine, holding up everybody who comes after us is not.
    db.execute("SET client_min_messages = warning; SET lock_timeout = '5s'; SET statement_timeout = '10min'")
        .await?;
    for attempt in 1.. {
        match migrate_on(&mut db, store.shape()).await {
            Err(StoreError::Database(error)) if attempt < TRIES && is_conflict(&error) => {
                tracing::debug!(attempt, error = told(&error), "set-up met another one");
            }
            Ok(()) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(db.close().await?)
}

/// Builds the index on mission changes where it is missing. Apart from [`migrate`], because it waits for
/// every transaction that is open, and the service works without it, only slower.
///
/// # Errors
/// [`StoreError::InsufficientPrivilege`] with the SQL to run as another login, and whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn build_index(store: &Store) -> Result<(), StoreError> {
    let mut db = store.log_in().await?;
    ensure_index(&mut db).await?;
    Ok(db.close().await?)
}

async fn migrate_on(db: &mut PgConnection, shape: &Shape) -> Result<(), StoreError> {
    match survey_on(db).await?.access() {
        Ok(()) => {}
        Err(StoreError::NotSetUp(missing)) => {
            tracing::info!(%missing, "setting up the database");
            grant_access(db, shape).await?;
        }
        Err(error) => return Err(error),
    }
    // Our own tables belong to the role that uses them.
    db.execute("SET ROLE mana_ai").await?;
    // `run` would do the same, but its future over a borrowed connection is not provably Send.
    let migrated = migrator().run_direct(None, &mut *db, false).await;
    db.execute("RESET ROLE").await?;
    migrated?;
    let missing = survey_on(db).await?.missing_tables;
    if missing.is_empty() { Ok(()) } else { Err(StoreError::TablesGone(missing.join("; "))) }
}

async fn grant_access(db: &mut PgConnection, shape: &Shape) -> Result<(), StoreError> {
    let login: String = sqlx::query_scalar("SELECT session_user::text").fetch_one(&mut *db).await?;
    let mut tx = db.begin().await?;
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('mana_ai.access', 0))").await?;
    match tx.execute(AssertSqlSafe(grants(shape))).await {
        Ok(_) => {
            tx.commit().await?;
            survey_on(db).await?.access()
        }
        Err(error) if code(&error).as_deref() == Some("42501") => {
            Err(StoreError::InsufficientPrivilege { reason: told(&error), sql: access_sql(shape, &login) })
        }
        Err(error) => Err(error.into()),
    }
}

/// `access.sql` with what belongs to mana-sync's table in its place.
fn grants(shape: &Shape) -> String {
    include_str!("access.sql").replace("-- {log}\n", &setup::view_sql(shape))
}

/// The whole set-up, for another login to run in `psql`.
fn access_sql(shape: &Shape, login: &str) -> String {
    let login = login.replace('\'', "''");
    let grants = grants(shape);
    format!("BEGIN;\nSET LOCAL mana_ai.login = '{login}';\n\n{grants}\nCOMMIT;\n\n{INDEX}")
}

/// One replica builds the index; the others must not wait for that, since the build itself waits for every older
/// transaction, theirs too.
async fn ensure_index(db: &mut PgConnection) -> Result<(), StoreError> {
    let valid: Option<bool> = sqlx::query_scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('mana_ai_mission_changes')",
    )
    .fetch_optional(&mut *db)
    .await?;
    let lock = "pg_try_advisory_lock(hashtextextended('mana_ai.index', 0))";
    if valid == Some(true)
        || !sqlx::query_scalar(AssertSqlSafe(format!("SELECT {lock}"))).fetch_one(&mut *db).await?
    {
        return Ok(());
    }
    let built = async {
        // What a build that was cut off left behind is never used, but kept up to date at a cost.
        db.execute("DROP INDEX CONCURRENTLY IF EXISTS mana_ai_mission_changes").await?;
        db.execute(INDEX).await
    };
    match built.await {
        Ok(_) => tracing::info!("index mana_ai_mission_changes is built"),
        Err(error) if code(&error).as_deref() == Some("42501") => {
            return Err(StoreError::InsufficientPrivilege { reason: told(&error), sql: INDEX.to_owned() });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Did another set-up run at the same time? A role's row changed under ours, or an object exists since a moment.
fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(
        code(error).as_deref(),
        Some("XX000" | "23505" | "42710" | "42P06" | "42P07" | "40P01" | "40001" | "55P03")
    )
}

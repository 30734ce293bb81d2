//! Sets the database up: roles and schema (`access.sql`), what we add to mana-sync's table (`log/setup.rs`), and the
//! versioned migrations of our own tables. `survey.rs` tells whether it is, `login.rs` what a login needs.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::login::{self, Needed, begin_as_login};
use super::sqlstate::{code, told};
use super::survey::survey_on;
use super::{Store, StoreError, with_timeout};
use crate::store::log::setup::{self, DROP_INDEX, INDEX, INDEX_IS_VALID};
use crate::store::log::shape::Shape;

pub use super::login::grant_to;
pub use super::survey::{Survey, survey, verify};

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
    // Ours is a lock of the transaction, which a proxy that pools transactions keeps apart.
    migrator.set_locking(false);
    migrator
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
    for attempt in 1.. {
        // A connection whose transaction failed is not used again: behind a pooler its statements are elsewhere.
        let mut db = store.log_in().await?;
        match migrate_on(&mut db, store.shape()).await {
            Err(StoreError::Database(error)) if attempt < TRIES && is_conflict(&error) => {
                tracing::debug!(attempt, error = told(&error), "set-up met another one");
            }
            Ok(()) => return Ok(db.close().await?),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Builds the index on mission changes where it is missing. Apart from [`migrate`], because it waits for
/// every transaction that is open, and the service works without it, only slower.
///
/// # Errors
/// [`StoreError::InsufficientPrivilege`] with the SQL to run as another login, and whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn build_index(store: &Store) -> Result<(), StoreError> {
    let mut db = store.log_in().await?;
    // One replica builds the index; the others must not wait for that, since the build itself waits for every older
    // transaction, theirs too. The lock is that of a transaction, which a pooler understands; it has no snapshot while the
    // other connection builds, so the build does not wait for it.
    let mut lock = begin_as_login(&mut db).await?;
    // It idles for as long as the build takes, which an operator may have bounded for all sessions.
    lock.execute("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    let valid: Option<bool> = sqlx::query_scalar(INDEX_IS_VALID).fetch_optional(&mut *lock).await?;
    let is_free = "SELECT pg_try_advisory_xact_lock(hashtextextended('mana_ai.index', 0))";
    if valid != Some(true) && sqlx::query_scalar(is_free).fetch_one(&mut *lock).await? {
        build(&mut store.log_in().await?).await?;
    }
    login::commit(lock).await?;
    Ok(db.close().await?)
}

async fn build(db: &mut PgConnection) -> Result<(), StoreError> {
    let built = async {
        // What a build that was cut off left behind is never used, but kept up to date at a cost.
        db.execute(DROP_INDEX).await?;
        db.execute(INDEX).await
    };
    match built.await {
        Ok(_) => tracing::info!("index mana_ai_mission_changes is built"),
        Err(error) if code(&error).as_deref() == Some("42501") => {
            return Err(StoreError::InsufficientPrivilege {
                reason: login::refusal(&error),
                who_may: None,
                sql: INDEX.to_owned(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn migrate_on(db: &mut PgConnection, shape: &Shape) -> Result<(), StoreError> {
    let mut survey = survey_on(db).await?;
    match survey.access() {
        Ok(()) => {}
        Err(StoreError::NotSetUp(missing)) => {
            grant_access(db, shape, &survey).await?;
            survey = survey_on(db).await?;
            survey.access()?;
            // Said once it is done: a set-up that fails is tried every few seconds.
            tracing::info!(was_missing = %missing, "roles, view, policies and grants are set up");
        }
        Err(error) => return Err(error),
    }
    migrate_tables(db).await?;
    if survey.missing_tables.is_empty() {
        return Ok(());
    }
    let missing = survey_on(db).await?.missing_tables;
    if missing.is_empty() { Ok(()) } else { Err(StoreError::TablesGone(missing.join("; "))) }
}

/// Our own tables, which belong to the role that uses them.
async fn migrate_tables(db: &mut PgConnection) -> Result<(), StoreError> {
    let mut tx = begin_as_login(db).await?;
    tx.execute(
        "SET LOCAL ROLE mana_ai; SELECT pg_advisory_xact_lock(hashtextextended('mana_ai.migrate', 0))",
    )
    .await?;
    // `run` would do the same, but its future over a borrowed connection is not provably Send.
    migrator().run_direct(None, &mut *tx, false).await?;
    Ok(login::commit(tx).await?)
}

/// Runs the whole of `access.sql`, or, where only the login is new, what that one needs.
async fn grant_access(db: &mut PgConnection, shape: &Shape, survey: &Survey) -> Result<(), StoreError> {
    if survey.lacks_membership_alone() {
        return login::grant_on(db, &survey.login).await.map(drop);
    }
    let mut tx = begin_as_login(db).await?;
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('mana_ai.access', 0))").await?;
    let grants = grants(shape, &survey.login, login::needed(&mut tx, &survey.login).await?);
    let who_may = login::who_may(&mut tx).await?;
    match tx.execute(AssertSqlSafe(grants.clone())).await {
        Ok(_) => Ok(login::commit(tx).await?),
        Err(error) if code(&error).as_deref() == Some("42501") => Err(StoreError::InsufficientPrivilege {
            reason: login::refusal(&error),
            sql: format!("BEGIN;\n{grants}\nCOMMIT;\n\n{INDEX}"),
            who_may,
        }),
        Err(error) => Err(error.into()),
    }
}

/// `access.sql` for this login, with what belongs to mana-sync's table in its place. That the login inherits nothing is
/// the wish of whoever granted it the role, and no condition of the set-up.
fn grants(shape: &Shape, login: &str, needed: Needed) -> String {
    let Needed { mut to_serve, to_inherit_nothing, .. } = needed;
    let quote = login::quote_around(login);
    if !to_inherit_nothing.is_empty() {
        to_serve += &format!(
            "DO {quote} BEGIN\n{to_inherit_nothing}\
             EXCEPTION WHEN insufficient_privilege THEN RAISE WARNING '%', SQLERRM; END {quote};\n"
        );
    }
    let login = format!("\"{}\"", login.replace('"', "\"\""));
    let sql = include_str!("access.sql").replace("-- {log}\n", &setup::view_sql(shape));
    // What holds the login's name comes last: a name may look like a place.
    let (before, after) = sql.split_once("-- {to_serve}\n").unwrap_or((&sql, ""));
    before.to_owned() + &to_serve + &after.replace("{quote}", &quote).replace("{login}", &login)
}

/// Did another set-up run at the same time? A role's row changed under ours, or an object exists since a moment.
fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(
        code(error).as_deref(),
        Some("XX000" | "23505" | "42710" | "42P06" | "42P07" | "40P01" | "40001" | "55P03")
    )
}

//! The service's login: what it needs, which is to become `mana_ai`, and what it can do beyond that.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Postgres, Transaction};

use super::sqlstate::code;
use super::{Store, StoreError, TRANSACTION, pin_search_path, with_timeout};
use crate::store::log::log_oid;

/// Can the role `$who` become the role `$role`? From PostgreSQL 16 on that is an option of a membership, which the maker
/// of a role does not have by itself.
macro_rules! is_member {
    ($who:literal, $role:literal) => {
        concat!(
            "pg_has_role(",
            $who,
            ", ",
            $role,
            ", CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)"
        )
    };
}
pub(super) use is_member;

/// Does the login `login` have rights or memberships of its own? Before PostgreSQL 16 its inheritance can be ended only for
/// all of them together, so then it is not.
macro_rules! has_more {
    () => {
        "(EXISTS (SELECT FROM pg_auth_members WHERE member = login.oid AND roleid NOT IN (me, reader))
            OR EXISTS (SELECT FROM pg_class WHERE oid = log AND relowner = login.oid)
            OR EXISTS (SELECT FROM grants WHERE grantee = login.oid))"
    };
}

/// Who has rights on the table `log`, or on a column of it.
macro_rules! grants {
    () => {
        "grants AS (
            SELECT grantee FROM own, pg_class, aclexplode(relacl) WHERE pg_class.oid = log AND grantee <> relowner
            UNION SELECT grantee FROM own, pg_class, pg_attribute, aclexplode(attacl)
            WHERE pg_class.oid = log AND attrelid = log AND NOT attisdropped AND grantee <> relowner)"
    };
}

/// What the session's login can do beyond becoming `mana_ai`.
const EXCESS: &str = concat!(
    "
WITH own AS (SELECT to_regrole('mana_ai') AS me, to_regrole('mana_ai_reader') AS reader, ",
    log_oid!(),
    " AS log, current_setting('server_version_num')::int >= 160000 AS is_16), ",
    grants!(),
    "
SELECT told FROM own, pg_roles AS login, LATERAL (VALUES
    (rolsuper, 'it is a superuser'),
    (rolbypassrls AND NOT rolsuper, 'it bypasses row security'),
    (EXISTS (SELECT FROM pg_class WHERE pg_class.oid = log AND pg_has_role(login.oid, relowner, 'MEMBER')),
        'it owns sync_changes, or is in the role that does'),
    (EXISTS (SELECT FROM grants WHERE grantee NOT IN (0, me, reader) AND pg_has_role(login.oid, grantee, 'MEMBER')),
        'sync_changes is granted to it, not through mana_ai'),
    (EXISTS (SELECT FROM grants WHERE grantee = 0), 'sync_changes is granted to PUBLIC, which is everybody'),
    (EXISTS (SELECT FROM pg_roles AS all_data WHERE rolname IN ('pg_read_all_data', 'pg_write_all_data')
             AND pg_has_role(login.oid, all_data.oid, 'MEMBER')),
        'it is in pg_read_all_data or pg_write_all_data, and so has rights on every table'),
    (pg_has_role(login.oid, me, 'USAGE'),
        CASE WHEN CASE WHEN is_16 THEN EXISTS (SELECT FROM pg_auth_members WHERE roleid = me AND member = login.oid
                                               AND (to_jsonb(pg_auth_members) ->> 'inherit_option')::boolean)
                       ELSE NOT ",
    has_more!(),
    " END
        THEN format('it inherits what mana_ai may: `mana-ai grant --to %s` prints what ends that', rolname)
        ELSE 'it inherits what mana_ai may, and that cannot be ended for mana_ai alone, because it has other memberships or '
             || 'rights: give mana-ai a login of its own' END),
    (pg_has_role(login.oid, reader, 'MEMBER'), 'it is in mana_ai_reader, which sees missions of all users'),
    (rolcreaterole AND NOT is_16, 'it may create roles, and so become any role but a superuser')
) AS checks (excess, told) WHERE rolname = session_user AND excess AND (NOT rolsuper OR told = 'it is a superuser')"
);

/// The statements that let the login `$1` be the service's. None where it lacks nothing. Inheritance ends with an option
/// of the membership from PostgreSQL 16 on, per role that granted it. Before, it ends with an attribute of the login,
/// which counts for all its memberships: so only where it has no other, and no right of its own on the table, as
/// mana-sync's login has.
///
/// The schema's names are for versions before this one, which look them up as the login itself.
const NEEDED: &str = concat!(
    "
WITH own AS (SELECT to_regrole('mana_ai') AS me, to_regrole('mana_ai_reader') AS reader, ",
    log_oid!(),
    " AS log, current_setting('server_version_num')::int >= 160000 AS is_16), ",
    grants!(),
    ",
login AS (SELECT pg_roles.*, rolsuper OR coalesce(",
    is_member!("pg_roles.oid", "me"),
    ", false) AS is_member FROM own, pg_roles WHERE rolname = $1)
SELECT CASE WHEN n IN (1, 3, 5) THEN 'serve' WHEN n IN (2, 4) THEN 'inherit' ELSE 'names' END, statement FROM own, login, LATERAL (
    SELECT 1, format('GRANT mana_ai TO %I WITH INHERIT FALSE, SET TRUE', rolname) WHERE is_16 AND NOT is_member
    UNION ALL
    SELECT 2, format('GRANT mana_ai TO %I WITH INHERIT FALSE GRANTED BY %I', rolname, pg_get_userbyid(grantor))
    FROM pg_auth_members WHERE is_16 AND roleid = me AND member = login.oid AND NOT rolsuper
        AND (to_jsonb(pg_auth_members) ->> 'inherit_option')::boolean
    UNION ALL
    SELECT 3, format('GRANT mana_ai TO %I', rolname) WHERE NOT is_16 AND NOT is_member
    UNION ALL
    SELECT 4, format('ALTER ROLE %I NOINHERIT', rolname)
    WHERE NOT is_16 AND rolinherit AND NOT rolsuper AND NOT ",
    has_more!(),
    "
    UNION ALL
    SELECT 5, format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), rolname)
    WHERE NOT has_database_privilege(login.oid, current_database(), 'CONNECT')
    UNION ALL
    SELECT 6, format('GRANT USAGE ON SCHEMA mana_ai TO %I', rolname)
    FROM pg_namespace WHERE nspname = 'mana_ai' AND nspowner = me
        AND NOT EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = login.oid AND privilege_type = 'USAGE')
        AND NOT rolsuper
) AS needed (n, statement) ORDER BY n"
);

/// Who may grant `mana_ai`, where that is not the session's login, from PostgreSQL 16 on.
const GRANTORS: &str = "
SELECT coalesce(string_agg(DISTINCT quote_ident(rolname), ' or '), 'a superuser')
FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = member
WHERE roleid = to_regrole('mana_ai') AND admin_option
HAVING current_setting('server_version_num')::int >= 160000 AND to_regrole('mana_ai') IS NOT NULL
    AND NOT pg_has_role(session_user, to_regrole('mana_ai'), 'MEMBER WITH ADMIN OPTION')";

/// A transaction of the login itself, for the set-up. Its settings end with it. "already exists, skipping" is what a
/// repetition should find, and no news for a log. Waiting for a busy table is fine, holding up everybody who comes after
/// us is not.
pub(super) async fn begin_as_login(db: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    let mut tx = db.begin().await?;
    tx.execute(concat!(
        pin_search_path!(),
        "; SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10min'"
    ))
    .await?;
    Ok(tx)
}

/// Ends it, and leaves no prepared statement: behind a pooler the next client gets the server's connection.
pub(super) async fn commit(mut tx: Transaction<'_, Postgres>) -> sqlx::Result<()> {
    tx.clear_cached_statements().await?;
    tx.commit().await
}

pub(super) async fn excess(tx: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(EXCESS).fetch_all(tx).await
}

/// What a login needs: statements, each with its semicolon and on its line.
pub(super) struct Needed {
    /// Those without which it cannot be the service's.
    pub to_serve: String,
    /// Those that end its inheritance.
    pub to_inherit_nothing: String,
    /// The one that lets it look names up in our schema.
    pub to_see_names: String,
}

pub(super) async fn needed(tx: &mut PgConnection, login: &str) -> sqlx::Result<Needed> {
    let statements: Vec<(String, String)> = sqlx::query_as(NEEDED).bind(login).fetch_all(tx).await?;
    let those = |wanted: &str| {
        let chosen = statements.iter().filter(|(what, _)| what == wanted);
        chosen.map(|(_, statement)| format!("{statement};\n")).collect()
    };
    Ok(Needed {
        to_serve: those("serve"),
        to_inherit_nothing: those("inherit"),
        to_see_names: as_our_role(&those("names"), login),
    })
}

/// The statements, run as `mana_ai` by whoever may become it. Nobody else is refused for them: this version needs none.
fn as_our_role(statements: &str, login: &str) -> String {
    if statements.is_empty() {
        return String::new();
    }
    let quote = quote_around(login);
    format!(
        "DO {quote} DECLARE admin text := current_user; BEGIN\nSET LOCAL ROLE mana_ai;\n{statements}\
         EXECUTE format('SET LOCAL ROLE %I', admin);\n\
         EXCEPTION WHEN insufficient_privilege THEN RAISE WARNING '%', SQLERRM; END {quote};\n"
    )
}

/// A dollar quote that the text does not end.
pub(super) fn quote_around(text: &str) -> String {
    let mut quotes = (0..).map(|number| format!("$mana_ai_{number}$"));
    quotes.find(|quote| !text.contains(quote.trim_end_matches('$'))).unwrap_or_default()
}

/// What the server said, without the line of its own source that sqlx adds. For statements of the set-up alone, which
/// hold nobody's data.
pub(super) fn refusal(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |answer| answer.message().to_owned())
}

/// Who can run what the session's login was refused, as a comment of SQL.
pub(super) async fn who_may(tx: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let grantors: Option<String> = sqlx::query_scalar(GRANTORS).fetch_optional(tx).await?;
    Ok(grantors.map(|grantors| {
        format!(
            "From PostgreSQL 16 on only a superuser or a login with ADMIN OPTION on mana_ai may grant it; here that is \
             {grantors}. Let that one run: GRANT mana_ai TO x WITH ADMIN OPTION, INHERIT FALSE; GRANT mana_ai_reader TO x WITH INHERIT FALSE; \
             where x is the login that is to run the SQL, and afterwards: REVOKE mana_ai_reader FROM x"
        )
    }))
}

/// Lets `login` be the service's login, and says with which statements; none where it lacks nothing.
///
/// # Errors
/// [`StoreError::NoSuchLogin`]; [`StoreError::NotSetUp`] where there is no role `mana_ai`;
/// [`StoreError::InsufficientPrivilege`] with the statements for another login to run; whatever the database answers.
pub async fn grant_to(store: &Store, login: &str) -> Result<String, StoreError> {
    with_timeout(TRANSACTION, async {
        let mut db = store.log_in().await?;
        let sql = grant_on(&mut db, login).await?;
        db.close().await?;
        Ok(sql)
    })
    .await
}

pub(super) async fn grant_on(db: &mut PgConnection, login: &str) -> Result<String, StoreError> {
    let mut tx = begin_as_login(db).await?;
    let (role, known): (bool, bool) = sqlx::query_as(
        "SELECT to_regrole('mana_ai') IS NOT NULL, EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
    )
    .bind(login)
    .fetch_one(&mut *tx)
    .await?;
    match (role, known) {
        (_, false) => return Err(StoreError::NoSuchLogin(login.to_owned())),
        (false, _) => return Err(StoreError::NotSetUp("the role mana_ai is missing".into())),
        _ => {}
    }
    let needed = needed(&mut tx, login).await?;
    let sql = needed.to_serve + &needed.to_inherit_nothing + &needed.to_see_names;
    let who_may = who_may(&mut tx).await?;
    match tx.execute(AssertSqlSafe(sql.clone())).await {
        Ok(_) => {
            commit(tx).await?;
            Ok(sql)
        }
        Err(error) if code(&error).as_deref() == Some("42501") => {
            Err(StoreError::InsufficientPrivilege { reason: refusal(&error), who_may, sql })
        }
        Err(error) => Err(error.into()),
    }
}

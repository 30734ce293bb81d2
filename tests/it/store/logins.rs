//! Who may be the service's login, what it can do, and who can let it: on a server of the test's own, since roles belong
//! to the whole server, and from PostgreSQL 16 on to whoever made them.

use std::path::Path;
use std::process::{Command, Output};

use mana_ai::demo::database::{SYNC_CHANGES, Server};
use mana_ai::store::{Store, StoreError, access};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use super::access::{check_tick, check_walls, mana_sync_goes_on};
use crate::app::process::{binary, run, text};
use crate::inputs;
use crate::support::{BINARY, TestDb, World, due_mission, soon};

/// A server with a database whose owner, `sync`, may do nothing else, as mana-sync's login; an `admin` who may create
/// roles; and `runner`, who may do nothing at all.
struct Cluster {
    db: TestDb,
    _server: Server,
}

impl Cluster {
    async fn new() -> Self {
        let server = soon(Server::embedded(Path::new(BINARY))).await.unwrap();
        let db = TestDb::bare_on(&server).await;
        let cluster = Self { db, _server: server };
        cluster
            .superuser(&format!(
                "CREATE ROLE sync LOGIN PASSWORD 'pw'; CREATE ROLE admin LOGIN PASSWORD 'pw' CREATEROLE;
                 CREATE ROLE runner LOGIN PASSWORD 'pw'; GRANT sync TO admin;
                 ALTER DATABASE {} OWNER TO sync; ALTER SCHEMA public OWNER TO sync",
                cluster.db.name
            ))
            .await;
        cluster.psql("sync", SYNC_CHANGES).await.unwrap();
        cluster
    }

    /// Set up by `admin` for `runner`.
    async fn ready() -> Self {
        let cluster = Self::new().await;
        let sql = cluster.sql_of_migrate("runner").await;
        cluster.psql("admin", &sql).await.unwrap();
        access::migrate(&cluster.store("runner")).await.unwrap();
        cluster
    }

    fn url(&self, login: &str) -> String {
        let (_, host) = self.db.url.split_once('@').unwrap();
        format!("postgresql://{login}:pw@{host}")
    }

    fn store(&self, login: &str) -> Store {
        Store::new(&self.url(login), 2).unwrap()
    }

    async fn superuser(&self, sql: &str) {
        self.db.admin.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// Statement by statement, as psql runs a file: what stands between BEGIN and COMMIT at once.
    async fn psql(&self, login: &str, sql: &str) -> sqlx::Result<()> {
        let mut db = PgConnection::connect(&self.url(login)).await?;
        let (set_up, index) = sql.split_once("COMMIT;\n").unwrap_or((sql, ""));
        let set_up = if index.is_empty() { set_up.to_owned() } else { format!("{set_up}COMMIT;") };
        db.execute(AssertSqlSafe(set_up)).await?;
        if !index.is_empty() {
            db.execute(AssertSqlSafe(index.to_owned())).await?;
        }
        db.close().await
    }

    async fn sql_of_migrate(&self, login: &str) -> String {
        match access::migrate(&self.store(login)).await {
            Err(StoreError::InsufficientPrivilege { sql, .. }) => sql,
            other => panic!("{login} may not do that: {other:?}"),
        }
    }

    async fn command(&self, login: &str, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(args).env_clear().env("DATABASE_URL", self.url(login));
        command.env("MANA_SERVICE_KEY", "a-key-for-this-test").env("MANA_LLM_URL", "http://127.0.0.1:1");
        run(command).await
    }

    /// What `check` says of the login.
    async fn check_login(&self, login: &str) -> String {
        let told = text(&self.command(login, &["check"]).await.stdout);
        told.lines().find(|line| line.contains(" login ")).unwrap_or_default().to_owned()
    }

    async fn is_16(&self) -> bool {
        self.db.count("SELECT current_setting('server_version_num')::bigint").await >= 160_000
    }

    /// What the login reads of a user's tasks without becoming anybody, and whether it may write one.
    async fn tasks(&self, login: &str) -> (sqlx::Result<i64>, sqlx::Result<()>) {
        let mut db = PgConnection::connect(&self.url(login)).await.unwrap();
        db.execute("SET app.current_user_id = 'alice'").await.unwrap();
        let count = "SELECT count(*) FROM public.sync_changes WHERE app_id = 'todo'";
        let read = sqlx::query_scalar(count).fetch_one(&mut db).await;
        let write =
            "INSERT INTO public.sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
            VALUES ('todo', 'tasks', 't2', 'alice', 'insert', '{}', 'x')";
        let written = db.execute(write).await.map(drop);
        (read, written)
    }

    /// A mission and a task of alice.
    async fn fill(&self) {
        let store = self.store("runner");
        World::device_on(&self.db.admin, &store, "alice").create_mission("m1", due_mission()).await.unwrap();
        self.psql(
            "sync",
            "SET app.current_user_id = 'alice';
             INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
             VALUES ('todo', 'tasks', 't1', 'alice', 'insert', '{\"title\": \"secret\"}', 'web')",
        )
        .await
        .unwrap();
    }
}

fn is_denied<T>(answer: sqlx::Result<T>) -> bool {
    answer.is_err_and(|error| error.to_string().contains("permission denied"))
}

/// Every path works, and without becoming `mana_ai` the login can do nothing.
#[tokio::test]
async fn a_login_inherits_nothing() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    let store = cluster.store("runner");
    access::verify(&store).await.unwrap();
    assert_eq!(access::survey(&store).await.unwrap().excess, Vec::<String>::new());
    assert_eq!(cluster.check_login("runner").await, "", "nothing to warn of");
    let (read, written) = cluster.tasks("runner").await;
    assert!(is_denied(read) && is_denied(written), "of a task");
    for sql in ["SELECT FROM mana_ai.mission_schedule", "SELECT FROM mana_ai.mission_fields"] {
        assert!(is_denied(cluster.psql("runner", sql).await), "{sql}");
    }
    assert!(is_denied(cluster.psql("runner", "SET ROLE mana_ai_reader").await));
    inputs::walls::fill(&PgPool::connect(&cluster.url("sync")).await.unwrap()).await;
    check_walls(&store).await;
    check_tick(&cluster.db, &cluster.url("runner")).await;
    for args in [&["runs"][..], &["inspect", "--user", "alice"], &["inspect", "--quarantined"], &["tick"]] {
        let output = cluster.command("runner", args).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    }
    cluster.superuser("DELETE FROM sync_changes WHERE app_id = 'todo'").await;
    mana_sync_goes_on(&PgPool::connect(&cluster.url("sync")).await.unwrap()).await;
}

/// As a release before this one left it, and as an operator may: then the policy holds, and it is told.
#[tokio::test]
async fn a_login_that_inherits_sees_missions_alone() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    let inherit = if cluster.is_16().await {
        "GRANT mana_ai TO runner WITH INHERIT TRUE"
    } else {
        "ALTER ROLE runner INHERIT"
    };
    cluster.psql("admin", inherit).await.unwrap();
    let (read, written) = cluster.tasks("runner").await;
    assert_eq!(read.unwrap(), 0, "of a task");
    let refused = written.unwrap_err().to_string();
    assert!(refused.contains("mana_ai_missions_only"), "{refused}");
    let told = cluster.check_login("runner").await;
    assert!(told.starts_with("! login") && told.contains("inherits what mana_ai may"), "{told}");
    access::verify(&cluster.store("runner")).await.expect("the service works");

    let output = cluster.command("admin", &["grant", "--to", "runner"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(cluster.check_login("runner").await, "");
    assert!(is_denied(cluster.tasks("runner").await.0));
}

/// mana-sync's login may be ours, whether it owns the table or was granted it: nothing is taken from it.
#[tokio::test]
async fn a_login_with_rights_of_its_own_keeps_them() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    cluster.superuser("CREATE ROLE app LOGIN PASSWORD 'pw'; CREATE ROLE crew; GRANT crew TO app").await;
    cluster.psql("sync", "GRANT SELECT, INSERT ON sync_changes TO crew").await.unwrap();
    cluster.superuser("GRANT mana_ai TO app, sync").await;
    for login in ["app", "sync"] {
        let (read, written) = cluster.tasks(login).await;
        assert!(read.unwrap() >= 1, "{login} sees tasks");
        written.unwrap();
        check_tick_of(&cluster, login).await;
    }
    cluster.psql("sync", "REVOKE INSERT ON sync_changes FROM crew").await.unwrap();
    let (read, written) = cluster.tasks("app").await;
    assert!(read.unwrap() >= 1 && written.is_err(), "a right that it has through mana_ai alone is mana_ai's");
    let told = cluster.check_login("app").await;
    assert!(told.contains("sync_changes is granted to it"), "{told}");
    let told = cluster.check_login("sync").await;
    assert!(told.contains("it owns sync_changes"), "{told}");
}

async fn check_tick_of(cluster: &Cluster, login: &str) {
    let output = cluster.command(login, &["tick"]).await;
    // The model is not there.
    assert!(!text(&output.stdout).contains("database"), "{login}: {}", text(&output.stdout));
}

/// As in a rotation of credentials.
#[tokio::test]
async fn a_new_login_is_let_in() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    cluster.superuser("CREATE ROLE \"runner-3\" LOGIN PASSWORD 'pw'").await;
    let told = access::verify(&cluster.store("runner-3")).await.unwrap_err().to_string();
    assert!(told.contains("the login \"runner-3\" is not in role mana_ai"), "{told}");
    let told = text(&cluster.command("runner-3", &["check"]).await.stdout);
    assert!(told.contains("the login \"runner-3\" is not in role mana_ai: run `mana-ai migrate`"), "{told}");
    // Whoever may not prints what is needed and nothing else; it can be run as it is.
    let by_migrate = cluster.command("runner-3", &["migrate"]).await;
    assert_eq!(by_migrate.status.code(), Some(1));
    let printed = text(&by_migrate.stdout);
    assert!(printed.starts_with("GRANT mana_ai TO \"runner-3\"") && !printed.contains("POLICY"), "{printed}");
    let by_grant = cluster.command("runner", &["grant", "--to", "runner-3"]).await;
    assert_eq!(by_grant.status.code(), Some(1));
    assert_eq!(text(&by_grant.stdout), printed);
    cluster.psql("admin", &printed).await.unwrap();
    access::verify(&cluster.store("runner-3")).await.unwrap();
    check_tick(&cluster.db, &cluster.url("runner-3")).await;

    // Who may runs it.
    cluster.superuser("CREATE ROLE runner4 LOGIN PASSWORD 'pw'").await;
    let granted = cluster.command("admin", &["grant", "--to", "runner4"]).await;
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
    assert!(text(&granted.stdout).starts_with("GRANT mana_ai TO runner4"), "{}", text(&granted.stdout));
    access::verify(&cluster.store("runner4")).await.unwrap();
    let again = cluster.command("runner4", &["grant", "--to", "runner4"]).await;
    assert!(again.status.success() && text(&again.stdout).starts_with("-- "), "it lacks nothing");
    cluster.superuser("DROP OWNED BY runner; DROP ROLE runner").await;
    access::verify(&cluster.store("runner4")).await.expect("the old login is gone, and the new one works");
    let nobody = cluster.command("admin", &["grant", "--to", "nobody"]).await;
    assert!(text(&nobody.stderr).contains("there is no role nobody"), "{}", text(&nobody.stderr));
}

/// From PostgreSQL 16 on the roles are their maker's to grant. The hint names who that is, and what it has to run.
#[tokio::test]
async fn a_second_admin_is_told_who_can_let_it() {
    let cluster = Cluster::ready().await;
    cluster
        .superuser(
            "CREATE ROLE admin2 LOGIN PASSWORD 'pw' CREATEROLE; GRANT sync TO admin2;
             CREATE ROLE runner2 LOGIN PASSWORD 'pw'",
        )
        .await;
    let granted = cluster.command("admin2", &["grant", "--to", "runner2"]).await;
    if !cluster.is_16().await {
        assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
        return access::migrate(&cluster.store("admin2")).await.unwrap();
    }
    let told = text(&granted.stderr);
    assert!(
        granted.status.code() == Some(1) && told.contains("here that is admin. Let that one run"),
        "{told}"
    );
    cluster.psql("sync", "DROP POLICY mana_ai_schedule ON sync_changes").await.unwrap();
    let Err(StoreError::InsufficientPrivilege { who_may: Some(who_may), sql, .. }) =
        access::migrate(&cluster.store("admin2")).await
    else {
        panic!("it may not")
    };
    assert!(who_may.contains("here that is admin"), "{who_may}");
    let advised = "GRANT mana_ai TO admin2 WITH ADMIN OPTION, INHERIT FALSE; GRANT mana_ai_reader TO admin2 WITH INHERIT FALSE";
    assert!(who_may.contains(&advised.replace("admin2", "x")), "{who_may}");
    cluster.psql("admin", advised).await.unwrap();
    cluster.psql("admin2", &sql).await.unwrap();
    cluster.psql("admin", "REVOKE mana_ai_reader FROM admin2").await.unwrap();
    assert!(is_denied(cluster.psql("admin2", "SET ROLE mana_ai_reader").await));
    let left = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'mana_ai_reader'::regrole
        AND member IN ('admin2'::regrole, 'runner'::regrole)";
    assert_eq!(cluster.db.count(left).await, 0, "nothing of the reader is left to it");
    let granted = cluster.command("admin2", &["grant", "--to", "runner2"]).await;
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
    access::verify(&cluster.store("runner2")).await.unwrap();
}

/// Its rows are another application's; its roles are the same.
#[tokio::test]
async fn a_second_database_of_the_server_is_set_up_by_its_own_admin() {
    let cluster = Cluster::ready().await;
    cluster.superuser("CREATE ROLE sync2 LOGIN PASSWORD 'pw' CREATEROLE").await;
    cluster.superuser("CREATE DATABASE second OWNER sync2").await;
    let url = cluster.url("sync2").replace(&cluster.db.name, "second");
    let mut db = PgConnection::connect(&url).await.unwrap();
    db.execute(SYNC_CHANGES).await.unwrap();
    let store = Store::new(&url, 2).unwrap();
    match access::migrate(&store).await {
        Err(StoreError::InsufficientPrivilege { who_may: Some(who_may), .. }) if cluster.is_16().await => {
            assert!(who_may.contains("here that is admin"), "{who_may}");
            let let_it = "GRANT mana_ai TO sync2 WITH ADMIN OPTION, INHERIT FALSE; GRANT mana_ai_reader TO sync2 WITH INHERIT FALSE";
            cluster.psql("admin", let_it).await.unwrap();
            access::migrate(&store).await.unwrap();
        }
        other => other.unwrap(),
    }
    access::verify(&store).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn missing_roles_are_called_missing_and_nothing_else() {
    let cluster = Cluster::new().await;
    let told = access::verify(&cluster.store("runner")).await.unwrap_err().to_string();
    assert!(told.contains("the roles mana_ai and mana_ai_reader are missing"), "{told}");
    assert!(!told.contains("bypass") && !told.contains(';'), "{told}");
}

/// Neither alone: the set-up makes roles, and policies on a table of somebody's.
#[tokio::test]
async fn who_is_no_owner_or_makes_no_roles_is_refused() {
    let cluster = Cluster::new().await;
    let sql = cluster.sql_of_migrate("runner").await;
    let refused = cluster.psql("sync", &sql).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied to create role"), "{refused}");
    cluster.superuser("CREATE ROLE stranger LOGIN PASSWORD 'pw' CREATEROLE").await;
    let refused = cluster.psql("stranger", &sql).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied for database"), "{refused}");
    cluster.superuser("GRANT sync TO stranger").await;
    cluster.psql("stranger", &sql).await.unwrap();
}

/// From PostgreSQL 16 on Postgres itself lets the maker of a role grant it, and only a superuser can end that.
#[tokio::test]
async fn the_maker_of_the_reader_may_grant_it_until_a_superuser_ends_that() {
    let cluster = Cluster::ready().await;
    assert!(is_denied(cluster.psql("admin", "SET ROLE mana_ai_reader").await), "it is not left in the role");
    let may_grant =
        "SELECT count(*) FROM pg_auth_members WHERE roleid = 'mana_ai_reader'::regrole AND admin_option";
    assert_eq!(cluster.db.count(may_grant).await, i64::from(cluster.is_16().await));
    if cluster.is_16().await {
        assert!(cluster.psql("admin", "REVOKE mana_ai_reader FROM admin GRANTED BY postgres").await.is_err());
        cluster.superuser("REVOKE mana_ai_reader FROM admin GRANTED BY postgres").await;
        assert_eq!(cluster.db.count(may_grant).await, 0);
    }
    access::verify(&cluster.store("runner")).await.unwrap();
}

/// What pg_dump does: it asks for an error where row security would leave rows out. With `--enable-row-security` it does
/// not ask, and gets none.
#[tokio::test]
async fn a_dump_needs_a_login_past_row_security() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    let copy = async |login: &str, row_security: &str| -> sqlx::Result<i64> {
        let mut db = PgConnection::connect(&cluster.url(login)).await?;
        db.execute(AssertSqlSafe(format!("SET row_security = {row_security}"))).await?;
        sqlx::query_scalar("SELECT count(*) FROM public.sync_changes").fetch_one(&mut db).await
    };
    let refused = copy("sync", "off").await.unwrap_err().to_string();
    assert!(refused.contains("query would be affected by row-level security policy"), "{refused}");
    assert_eq!(copy("sync", "on").await.unwrap(), 0, "an empty dump, and no error");
    cluster
        .superuser("CREATE ROLE backup LOGIN PASSWORD 'pw' BYPASSRLS; GRANT SELECT ON sync_changes TO backup")
        .await;
    assert_eq!(copy("backup", "off").await.unwrap(), 2, "every row");
}

/// What a right on the table may come from, beside a grant to the login: each is told, and gone when it is taken away.
#[tokio::test]
async fn every_way_to_more_rights_is_told() {
    let cluster = Cluster::ready().await;
    for (grant, revoke, told) in [
        (
            "GRANT SELECT ON sync_changes TO PUBLIC",
            "REVOKE SELECT ON sync_changes FROM PUBLIC",
            "granted to PUBLIC",
        ),
        (
            "GRANT SELECT (data) ON sync_changes TO PUBLIC",
            "REVOKE SELECT (data) ON sync_changes FROM PUBLIC",
            "granted to PUBLIC",
        ),
        (
            "GRANT SELECT (data) ON sync_changes TO runner",
            "REVOKE SELECT (data) ON sync_changes FROM runner",
            "is granted to it",
        ),
        (
            "GRANT pg_read_all_data TO runner",
            "REVOKE pg_read_all_data FROM runner",
            "it is in pg_read_all_data",
        ),
        ("GRANT pg_write_all_data TO runner", "REVOKE pg_write_all_data FROM runner", "or pg_write_all_data"),
    ] {
        cluster.superuser(grant).await;
        let line = cluster.check_login("runner").await;
        assert!(line.starts_with("! login") && line.contains(told), "{grant}: {line}");
        cluster.superuser(revoke).await;
        assert_eq!(cluster.check_login("runner").await, "", "{revoke}");
    }
}

/// `grant --to` is advised only where it has something to say.
#[tokio::test]
async fn the_advice_against_inheritance_helps() {
    let cluster = Cluster::ready().await;
    cluster.superuser("CREATE ROLE crew; GRANT crew TO runner").await;
    let is_16 = cluster.is_16().await;
    let inherit =
        if is_16 { "GRANT mana_ai TO runner WITH INHERIT TRUE" } else { "ALTER ROLE runner INHERIT" };
    cluster.psql("admin", inherit).await.unwrap();
    let told = cluster.check_login("runner").await;
    let advised = told.contains("`mana-ai grant --to runner`");
    let printed = text(&cluster.command("runner", &["grant", "--to", "runner"]).await.stdout);
    assert_eq!(advised, printed.contains("INHERIT"), "{told} {printed}");
    assert_eq!(told.contains("a login of its own"), !is_16, "{told}");
}

/// A version before this one looks names up in our schema as the login itself.
#[tokio::test]
async fn a_login_that_is_let_in_may_look_names_up() {
    let cluster = Cluster::ready().await;
    cluster.superuser("CREATE ROLE runner5 LOGIN PASSWORD 'pw'").await;
    let looked_up = "SELECT to_regclass('mana_ai.mission_schedule')";
    assert!(is_denied(cluster.psql("runner5", looked_up).await));
    let granted = cluster.command("admin", &["grant", "--to", "runner5"]).await;
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
    cluster.psql("runner5", looked_up).await.unwrap();
    assert!(is_denied(cluster.psql("runner5", "SELECT FROM mana_ai.mission_schedule").await));
}

/// A schema that the roles may not use is told, and mended by the set-up.
#[tokio::test]
async fn a_closed_schema_is_told() {
    let cluster = Cluster::ready().await;
    let close = "REVOKE USAGE ON SCHEMA public FROM PUBLIC, mana_ai, mana_ai_reader; GRANT USAGE ON SCHEMA public TO sync, admin";
    cluster.psql("sync", close).await.unwrap();
    let told = access::verify(&cluster.store("runner")).await.unwrap_err().to_string();
    assert!(told.contains("may not use the schema public"), "{told}");
    access::migrate(&cluster.store("admin")).await.unwrap();
    access::verify(&cluster.store("runner")).await.unwrap();
    cluster.superuser("REVOKE USAGE ON SCHEMA mana_ai FROM mana_ai").await;
    let told = access::verify(&cluster.store("runner")).await.unwrap_err().to_string();
    assert!(told.contains("mana_ai may not use the schema mana_ai"), "{told}");
    access::migrate(&cluster.store("admin")).await.unwrap();
    access::verify(&cluster.store("runner")).await.unwrap();
}

/// A name is data: it ends no quote, and names no place of the SQL that it stands in.
#[tokio::test]
async fn a_login_may_have_any_name() {
    let cluster = Cluster::new().await;
    for (at, name) in ["a$$b", "$mana_ai_0$", "{login}", "q\"u'o{quote}te"].into_iter().enumerate() {
        let quoted = name.replace('"', "\"\"");
        cluster.superuser(&format!("CREATE ROLE \"{quoted}\" LOGIN PASSWORD 'pw'")).await;
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let store = Store::new(&cluster.url("runner").replace("runner", &encoded), 2).unwrap();
        if at > 0 {
            cluster.psql("sync", "DROP POLICY mana_ai_schedule ON sync_changes").await.unwrap();
        }
        let Err(StoreError::InsufficientPrivilege { sql, .. }) = access::migrate(&store).await else {
            panic!("{name} may not do that")
        };
        cluster.psql("admin", &sql).await.unwrap();
        access::migrate(&store).await.unwrap();
        access::verify(&store).await.unwrap();
    }
}

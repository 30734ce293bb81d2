//! A server of a test's own, with the logins that an operator has: roles belong to the whole server, and from PostgreSQL 16
//! on to whoever made them.

use std::path::Path;
use std::process::{Command, Output};

use mana_ai::demo::database::{SYNC_CHANGES, Server};
use mana_ai::store::{Store, StoreError, access};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::app::process::{binary, run, text};
use crate::support::{BINARY, TestDb, World, due_mission, soon};

/// A server with a database whose owner, `sync`, may do nothing else, as mana-sync's login; an `admin` who may create
/// roles; and `runner`, who may do nothing at all.
pub struct Cluster {
    pub db: TestDb,
    _server: Server,
}

impl Cluster {
    pub async fn new() -> Self {
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
    pub async fn ready() -> Self {
        let cluster = Self::new().await;
        let sql = cluster.sql_of_migrate("runner").await;
        cluster.psql("admin", &sql).await.unwrap();
        access::migrate(&cluster.store("runner")).await.unwrap();
        cluster
    }

    pub fn url(&self, login: &str) -> String {
        let (_, host) = self.db.url.split_once('@').unwrap();
        format!("postgresql://{login}:pw@{host}")
    }

    pub fn store(&self, login: &str) -> Store {
        Store::new(&self.url(login), 2).unwrap()
    }

    pub async fn superuser(&self, sql: &str) {
        self.db.admin.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// Statement by statement, as psql runs a file: what stands between BEGIN and COMMIT at once.
    pub async fn psql(&self, login: &str, sql: &str) -> sqlx::Result<()> {
        let mut db = PgConnection::connect(&self.url(login)).await?;
        let (set_up, index) = sql.split_once("COMMIT;\n").unwrap_or((sql, ""));
        let set_up = if index.is_empty() { set_up.to_owned() } else { format!("{set_up}COMMIT;") };
        db.execute(AssertSqlSafe(set_up)).await?;
        if !index.is_empty() {
            db.execute(AssertSqlSafe(index.to_owned())).await?;
        }
        db.close().await
    }

    pub async fn sql_of_migrate(&self, login: &str) -> String {
        match access::migrate(&self.store(login)).await {
            Err(StoreError::InsufficientPrivilege { sql, .. }) => sql,
            other => panic!("{login} may not do that: {other:?}"),
        }
    }

    pub async fn command(&self, login: &str, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(args).env_clear().env("DATABASE_URL", self.url(login));
        command.env("MANA_SERVICE_KEY", "a-key-for-this-test").env("MANA_LLM_URL", "http://127.0.0.1:1");
        run(command).await
    }

    /// What `check` says of the login.
    pub async fn check_login(&self, login: &str) -> String {
        let told = text(&self.command(login, &["check"]).await.stdout);
        told.lines().find(|line| line.contains(" login ")).unwrap_or_default().to_owned()
    }

    pub async fn is_16(&self) -> bool {
        self.db.count("SELECT current_setting('server_version_num')::bigint").await >= 160_000
    }

    /// What the login reads of a user's tasks without becoming anybody, and whether it may write one.
    pub async fn tasks(&self, login: &str) -> (sqlx::Result<i64>, sqlx::Result<()>) {
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
    pub async fn fill(&self) {
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

pub fn is_denied<T>(answer: sqlx::Result<T>) -> bool {
    answer.is_err_and(|error| error.to_string().contains("permission denied"))
}

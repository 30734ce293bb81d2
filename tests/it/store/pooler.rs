//! Behind PgBouncer in transaction mode: real processes, the real pooler, four connections to the server.
//!
//! Not for every machine, since PgBouncer has to be there: `bash ops/ci/pgbouncer.sh` finds or fetches it, and
//! `PGBOUNCER=… cargo test --test it -- --ignored pooler` runs this.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

use crate::app::process::{Serving, command, run, text};
use crate::support::{TestDb, World, due_mission, soon};

/// A PgBouncer before one database, killed with its test.
struct Pooler {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Pooler {
    #[expect(clippy::disallowed_methods, reason = "only tests need PgBouncer")]
    async fn start(db: &TestDb) -> Self {
        let program =
            std::env::var("PGBOUNCER").expect("PGBOUNCER names the program: bash ops/ci/pgbouncer.sh");
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = folder.path().join("pgbouncer.ini");
        std::fs::write(&settings, ini(&db.url, port)).unwrap();
        let mut pgbouncer = Command::new(program);
        if Uid::current().is_root() {
            // It refuses to run as root, and reads its settings as this user.
            pgbouncer.args(["-u", "nobody"]);
            std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        }
        let process = pgbouncer.arg(&settings).stderr(Stdio::inherit()).spawn().unwrap();
        let url = format!("postgresql://anybody@127.0.0.1:{port}/pooled");
        let pooler = Self { process, url, _folder: folder };
        soon(async {
            let options: PgConnectOptions = pooler.url.parse().unwrap();
            while options.connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        pooler
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGINT);
        let _ = self.process.wait();
    }
}

/// Whoever connects becomes the login of the test's database.
fn ini(url: &str, port: u16) -> String {
    let url: reqwest::Url = url.parse().unwrap();
    let (host, user) = (url.host_str().unwrap(), url.username());
    let password = url.password().map_or(String::new(), |password| format!(" password={password}"));
    let (server, name) = (url.port().unwrap_or(5432), url.path().trim_start_matches('/'));
    format!(
        "[databases]\npooled = host={host} port={server} dbname={name} user={user}{password}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = 4\nignore_startup_parameters = extra_float_digits\n\
         log_connections = 0\nlog_disconnections = 0\n"
    )
}

#[tokio::test]
#[ignore = "needs PgBouncer: `bash ops/ci/pgbouncer.sh` tells where it is; .ci/run runs it"]
async fn two_replicas_plan_behind_a_pooler() {
    const MISSIONS: usize = 200;
    let world = World::new().await;
    let pooler = Pooler::start(&world.db).await;
    for number in 0..MISSIONS {
        let device = world.device(&format!("user-{number}"));
        device.create_mission("garten", due_mission()).await.unwrap();
    }
    let replica = || {
        let mut replica = command(&world, &["serve"]);
        replica.env("DATABASE_URL", &pooler.url).env("DATABASE_POOLER", "transaction");
        replica.env("TICK_INTERVAL_MS", "500").env("TICK_CONCURRENCY", "16");
        replica
    };
    let (first, second) = (Serving::start(replica()).await, Serving::start(replica()).await);
    let plans = "SELECT count(*) FROM sync_changes WHERE client_id = 'mana-ai-runner'";
    tokio::time::timeout(Duration::from_secs(120), world.db.until(plans, |count| count >= MISSIONS as i64))
        .await
        .expect("all missions are planned");
    for replica in [first, second] {
        replica.signal(Signal::SIGTERM);
        let (code, log) = replica.end().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("SQLSTATE") && !log.contains("ERROR"), "{log}");
    }
    let written = world.db.written().await;
    let missions: BTreeSet<String> = written.iter().map(|row| row["user_id"].to_string()).collect();
    assert_eq!((written.len(), missions.len()), (MISSIONS, MISSIONS), "each once");
}

/// The set-up of an empty database, and what asks about it, through the pooler. Nothing is left on its connections.
#[tokio::test]
#[ignore = "needs PgBouncer: `bash ops/ci/pgbouncer.sh` tells where it is; .ci/run runs it"]
async fn the_set_up_works_behind_a_pooler() {
    let db = TestDb::empty().await;
    db.admin.execute(mana_ai::demo::database::SYNC_CHANGES).await.unwrap();
    let pooler = Pooler::start(&db).await;
    let world = World::on(db, &[]).await;
    for args in [["migrate"], ["migrate"], ["check"]] {
        let mut command = command(&world, &args);
        command.env("DATABASE_URL", &pooler.url).env("DATABASE_POOLER", "transaction");
        let output = run(command).await;
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }
    let options: PgConnectOptions = pooler.url.parse().unwrap();
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = options.connect().await.unwrap();
        other.execute("BEGIN").await.unwrap();
        others.push(other);
    }
    for other in &mut others {
        let left = "SELECT current_user <> session_user OR current_setting('client_min_messages') <> 'notice'
            OR current_setting('lock_timeout') <> '0' OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')";
        let left: bool = sqlx::query_scalar(left).persistent(false).fetch_one(&mut *other).await.unwrap();
        assert!(!left, "a role, a setting or a lock of the set-up is left");
    }
    for other in others {
        other.close().await.unwrap();
    }
}

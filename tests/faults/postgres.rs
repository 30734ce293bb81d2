//! A Postgres of a test's own, which it may stop, kill, freeze and forbid to write.
//!
//! The helper process of the embedded server keeps it: when the test process dies, however suddenly, the helper
//! stops whatever server runs in the data directory, also one that was started again here.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mana_ai::demo::database::Server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};

use super::processes::{children, state};
use crate::app::process::{run, text};
use crate::support::{BINARY, TestDb, World, soon};

/// Its port stays the same when it is started again. Goes when dropped, with its data.
pub struct OwnPostgres {
    /// First: a server that does not run cannot be stopped.
    frozen: Mutex<Option<Frozen>>,
    /// Of its one database, as a superuser.
    url: String,
    data: PathBuf,
    pg_ctl: PathBuf,
    _server: Server,
}

impl OwnPostgres {
    /// With a database that is set up for mana-ai. About a second.
    pub async fn new() -> (Self, TestDb) {
        let server = soon(Server::embedded(Path::new(BINARY))).await.unwrap();
        let db = TestDb::ready_on(&server).await;
        let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&db.admin).await.unwrap();
        let data = PathBuf::from(data);
        let command_line = std::fs::read_to_string(data.join("postmaster.opts")).unwrap();
        let pg_ctl = Path::new(command_line.split_whitespace().next().unwrap()).with_file_name("pg_ctl");
        let url = db.url.clone();
        (Self { frozen: Mutex::default(), url, data, pg_ctl, _server: server }, db)
    }

    /// With a world on that database.
    pub async fn with_world(vars: &[(&str, &str)]) -> (Self, World) {
        let (postgres, db) = Self::new().await;
        (postgres, World::on(db, vars).await)
    }

    /// As an operator does: sessions are ended (57P01), data is written.
    pub async fn stop_fast(&self) {
        self.thaw();
        self.pg_ctl(&["stop", "-m", "fast"]).await.unwrap();
    }

    /// As a crash: all processes at once, nothing written, recovery at the next start.
    pub async fn kill_immediate(&self) {
        self.thaw();
        self.pg_ctl(&["stop", "-m", "immediate"]).await.unwrap();
    }

    /// Again, on the same port; returns when it takes connections.
    pub async fn start(&self) {
        // The port may be somebody's outgoing one for a moment.
        for _ in 0..20 {
            // Not `start`: only `restart` reads the command line of the last time.
            if self.pg_ctl(&["restart", "-l", "start.log"]).await.is_ok() {
                return;
            }
        }
        let log = std::fs::read_to_string(self.data.join("start.log")).unwrap();
        panic!("it does not start again: {log}");
    }

    async fn pg_ctl(&self, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.pg_ctl);
        command.args(args).arg("-w").arg("-D").arg(&self.data).env("LC_ALL", "C").stdin(Stdio::null());
        command.current_dir(&self.data);
        if Uid::effective().is_root() {
            let owner = self.data.metadata().unwrap();
            command.gid(owner.gid()).uid(owner.uid());
        }
        let output = run(command).await;
        if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
    }

    /// No process of it runs any more; connections stay open, new ones are accepted by the kernel alone.
    pub fn freeze(&self) {
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        if frozen.is_none() {
            let pid_file = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
            *frozen = Some(Frozen::new(pid_file.lines().next().unwrap().parse().unwrap()));
        }
    }

    /// Everything goes on. Does nothing to a server that is not frozen.
    pub fn thaw(&self) {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Can transactions only read by default, as on a standby? Also those of sessions that are open.
    pub async fn read_only(&self, on: bool) {
        let mut admin = self.connect().await;
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
        admin.execute(AssertSqlSafe(set)).await.unwrap();
        admin.execute("SELECT pg_reload_conf()").await.unwrap();
        // The postmaster tells all its children before it makes a new one.
        let in_effect = async {
            while self.reads_only().await != on {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(in_effect).await;
    }

    /// As a new session sees it.
    async fn reads_only(&self) -> bool {
        let setting = "SELECT current_setting('default_transaction_read_only')::bool";
        sqlx::query_scalar(setting).fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// Ends the sessions of the service, as an operator does (57P01), and says how many.
    pub async fn kill_backends(&self) -> i64 {
        let kill = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
            WHERE application_name = 'mana-ai'";
        soon(sqlx::query_scalar(kill).fetch_one(&mut self.connect().await)).await.unwrap()
    }

    /// A session of its own, past every pool and proxy.
    pub async fn connect(&self) -> PgConnection {
        let options: sqlx::postgres::PgConnectOptions = self.url.parse().unwrap();
        soon(options.connect()).await.unwrap()
    }
}

/// Stopped processes. They go on when this is dropped, or when the test process dies: else nobody could ever
/// stop the server.
struct Frozen {
    guard: Child,
}

impl Frozen {
    fn new(postmaster: i32) -> Self {
        let mut pids = vec![postmaster];
        stop(postmaster);
        // From here on it makes no more of them.
        pids.extend(children(postmaster));
        pids[1..].iter().copied().for_each(stop);
        let mut guard = Command::new("sh");
        guard.args(["-c", "cat; kill -CONT \"$@\"", "thaw"]).args(pids.iter().map(i32::to_string));
        // Of its own group: Ctrl-C is not for it.
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self { guard: guard.spawn().unwrap() }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Returns when it no longer runs, or is gone.
fn stop(pid: i32) {
    if kill(Pid::from_raw(pid), Signal::SIGSTOP).is_ok() {
        while state(pid).is_some_and(|(state, _)| !matches!(state, 'T' | 'Z' | 'X')) {
            std::thread::yield_now();
        }
    }
}

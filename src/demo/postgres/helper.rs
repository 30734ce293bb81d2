//! The side of the helper process: becomes an ordinary user, runs the server, waits for its end.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use postgresql_embedded::{BOOTSTRAP_DATABASE, PostgreSQL};
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::{PostgresError, account, server};

/// Runs a throw-away Postgres on a free port of 127.0.0.1 and prints its URL as the only line on
/// stdout. When stdin ends or SIGTERM comes, it stops the server and removes the data.
///
/// If called by root, the whole process becomes the account `postgres` or `nobody` for good, and
/// it ignores SIGINT and SIGHUP: nothing else should run in it.
///
/// # Errors
/// No account to give up root for, no server to be found or downloaded (at most 4 minutes), no
/// writable temporary directory, a server that does not start: each says what to do.
pub async fn serve() -> Result<(), PostgresError> {
    account::give_up_root()?;
    let signals = Signals::listen().map_err(PostgresError::io("listen for signals"))?;
    let stdin_ended = stdin_ended();
    let home = make_home()?;
    let mut postgres = PostgreSQL::new(server::settings(home.path())?);
    server::start(&mut postgres).await?;
    announce(&postgres.settings().url(BOOTSTRAP_DATABASE));
    signals.terminated_or(stdin_ended).await;
    let stopped = postgres.stop().await;
    stopped.map_err(|error| server::broken(&postgres, &error.to_string()))?;
    drop(postgres);
    home.close().map_err(PostgresError::io("remove its data"))
}

struct Signals {
    terminate: Signal,
    _ignored: [Signal; 2],
}

impl Signals {
    /// Before the server starts, so that a signal during the start is remembered. Listening to
    /// SIGINT and SIGHUP takes away their default, the sudden end.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            _ignored: [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?],
        })
    }

    async fn terminated_or(mut self, stdin_ended: oneshot::Receiver<()>) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = stdin_ended => {}
        }
    }
}

/// A thread of its own: the runtime would wait for a read of its own when it ends on SIGTERM.
fn stdin_ended() -> oneshot::Receiver<()> {
    let (ended, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        ended.send(())
    });
    receiver
}

/// A directory for all files of this run. The working directory and TMPDIR are the caller's and
/// may be closed to the account that root became.
fn make_home() -> Result<TempDir, PostgresError> {
    let make = |temp: PathBuf| {
        let mut builder = tempfile::Builder::new();
        builder.prefix("mana-ai-postgres-");
        // It holds the password.
        builder.permissions(PermissionsExt::from_mode(0o700));
        let home = builder.tempdir_in(&temp)?;
        std::env::set_current_dir(&temp)?;
        Ok(home)
    };
    make(std::env::temp_dir())
        .or_else(|_| make(PathBuf::from("/tmp")))
        .map_err(PostgresError::io("write to the temporary directory"))
}

/// Not with `println!`, which would panic and leave out the clean end if the reader is gone. Then
/// stdin has ended too.
fn announce(url: &str) {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{url}").and_then(|()| stdout.flush());
}

//! The side of the demo and the tests: starts the helper, holds it, lets go of it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{PostgresError, SUBCOMMAND};

/// Longer than the helper's own limits, so that its sentence arrives first.
const STARTING: Duration = Duration::from_mins(5);
const STOPPING: Duration = Duration::from_secs(10);

/// A running Postgres with an empty data directory.
///
/// Dropping it stops the server and waits for that, at most ten seconds. If it is never dropped
/// (a static, a kill), the server goes a moment after this process.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    helper: Child,
    url: String,
}

impl EmbeddedPostgres {
    /// Starts a server: about a second, or some minutes if it must be downloaded first. `helper`
    /// is the `mana-ai` binary.
    ///
    /// # Errors
    /// [`PostgresError::Helper`] with the sentence in which the helper says why it gave up,
    /// [`PostgresError::Io`] if `helper` cannot be run, [`PostgresError::Silent`] after 5 minutes.
    pub async fn start(helper: &Path) -> Result<Self, PostgresError> {
        let mut child = spawn(helper)?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        // Held from here on, so that a start that fails or is dropped ends the helper too.
        let mut postgres = Self { helper: child, url: String::new() };
        let (said, heard) = oneshot::channel();
        std::thread::spawn(move || said.send(read_url(stdout, stderr)));
        postgres.url = match tokio::time::timeout(STARTING, heard).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) | Err(_) => return Err(PostgresError::Silent(STARTING)),
        };
        Ok(postgres)
    }

    /// `postgresql://postgres:<password>@127.0.0.1:<port>/postgres`: a superuser, who may create
    /// further databases.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        drop(self.helper.stdin.take());
        let end = Instant::now() + STOPPING;
        while Instant::now() < end {
            match self.helper.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // Not killed: it would leave the server behind; with its input closed it goes in time.
        tracing::warn!("the embedded Postgres still runs {STOPPING:?} after it was told to stop");
    }
}

fn spawn(helper: &Path) -> Result<Child, PostgresError> {
    Command::new(helper)
        .arg(SUBCOMMAND)
        // The terminal's Ctrl-C goes to a whole process group. The server is to outlive it until
        // this process has closed its connections.
        .process_group(0)
        // A locale that is always there: initdb fails on one that is not installed, and the sort
        // order of the tests should not depend on the machine.
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Not inherited: a test runner waits until all holders of its own stderr are gone.
        .stderr(Stdio::piped())
        .spawn()
        .map_err(PostgresError::io(format!("run {}", helper.display())))
}

fn read_url(stdout: ChildStdout, mut stderr: ChildStderr) -> Result<String, PostgresError> {
    let mut url = String::new();
    BufReader::new(stdout).read_line(&mut url).map_err(PostgresError::io("read its URL"))?;
    if url.ends_with('\n') {
        return Ok(url.trim_end().to_owned());
    }
    let mut sentence = String::new();
    stderr.read_to_string(&mut sentence).map_err(PostgresError::io("read its error"))?;
    Err(PostgresError::Helper(match sentence.trim() {
        "" => "the embedded Postgres ended without saying why; set DATABASE_URL".to_owned(),
        sentence => sentence.to_owned(),
    }))
}

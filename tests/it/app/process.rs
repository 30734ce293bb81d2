//! The binary as a process: started, signalled, and gone when the test is.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::oneshot;

use crate::support::{BINARY, KEY, World, soon};

/// The one that cargo built for the tests, or the one that `MANA_AI_BIN` names, such as a release build.
pub fn binary() -> OsString {
    std::env::var_os("MANA_AI_BIN").unwrap_or_else(|| BINARY.into())
}

/// With the database and the model of a world, and nothing else of the environment.
pub fn command(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_clear().env("DATABASE_URL", &world.db.url).env("MANA_SERVICE_KEY", KEY);
    command.env("MANA_LLM_URL", world.llm.url());
    command
}

/// On a thread of its own: the stand-in of the test answers meanwhile.
pub async fn run(mut command: Command) -> Output {
    soon(tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running service, killed if the test ends before it does.
pub struct Serving {
    child: Child,
    pub port: u16,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Serving {
    /// On a free port; returns once it listens.
    pub async fn start(command: Command) -> Self {
        let (mut serving, port) = Self::spawn(command);
        serving.port = soon(port).await.unwrap().expect("the log names the port");
        serving
    }

    /// On a free port; returns at once.
    pub fn spawn(mut command: Command) -> (Self, oneshot::Receiver<Option<u16>>) {
        command.env("PORT", "0").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, port) = oneshot::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let (mut told, mut line) = (Some(told), String::new());
            while stdout.read_line(&mut line).unwrap_or(0) > 0 {
                let port = line
                    .split_once("0.0.0.0:")
                    .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
                lines.lock().unwrap().push_str(&std::mem::take(&mut line));
                if let Some(told) = port.is_some().then(|| told.take()).flatten() {
                    let _ = told.send(port);
                }
            }
        });
        (Self { child, port: 0, log, reader: Some(reader) }, port)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Until so many lines of its log hold these words.
    pub async fn until_logged(&self, words: &str, times: usize) {
        soon(async {
            while self.log().matches(words).count() < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Of the process, at this moment.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits for its end: exit code and log.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let waited = tokio::task::spawn_blocking(move || {
            let code = self.child.wait().unwrap().code();
            self.reader.take().unwrap().join().unwrap();
            (code, self.log())
        });
        soon(waited).await.unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the log of {}:\n{}", self.pid(), self.log());
        }
        // Also ends one that is stopped; both do nothing to one that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

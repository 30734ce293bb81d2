//! The server itself: its settings, the download if need be, the start.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use postgresql_embedded::{Error, PostgreSQL, Settings};

use super::{PostgresError, installation};

const DOWNLOAD: Duration = Duration::from_mins(4);
/// For each of the server's programs; they take a second, or some on a loaded machine.
const PROGRAM: Duration = Duration::from_secs(45);

/// The settings for one run whose files are all in `home`.
pub(super) fn settings(home: &Path) -> Result<Settings, PostgresError> {
    // `Settings::new` makes directories there and does not remove them all.
    let _ = tempfile::env::override_temp_dir(home);
    let path = std::env::var_os("PATH");
    let found = installation::find(path.as_deref(), Path::new(installation::DEBIAN));
    let configuration = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        // The tests run side by side, each with a pool of its own.
        ("max_connections", "200"),
        // Nobody needs the data after a crash; the crate turns fsync off by itself.
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
    ];
    Ok(Settings {
        host: "127.0.0.1".to_owned(),
        timeout: Some(PROGRAM),
        configuration: configuration.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        trust_installation_dir: found.is_some(),
        installation_dir: found.map_or_else(|| download_dir(home), Ok)?,
        ..Settings::new()
    })
}

/// Beside `home` and the same one each time, so that the next run need not download again. Its name can be guessed
/// and its programs are run: it must belong to this account alone.
fn download_dir(home: &Path) -> Result<PathBuf, PostgresError> {
    let dir = home.with_file_name(format!("mana-ai-postgres-server-{}", Uid::effective()));
    let meta = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| dir.symlink_metadata())
        .map_err(PostgresError::io(format!("create {}", dir.display())))?;
    let own = meta.uid() == Uid::effective().as_raw() && meta.mode() & 0o022 == 0;
    if own && meta.is_dir() { Ok(dir) } else { Err(PostgresError::ForeignDir(dir)) }
}

/// Downloads the server if none is installed, initialises the data directory, starts.
pub(super) async fn start(postgres: &mut PostgreSQL) -> Result<(), PostgresError> {
    match tokio::time::timeout(DOWNLOAD, postgres.setup()).await {
        Ok(Ok(())) => {}
        Ok(Err(Error::ArchiveError(error))) => {
            let cause = one_line(&error.to_string());
            return Err(PostgresError::NoServer { cause });
        }
        Ok(Err(error)) => return Err(broken(postgres, &error.to_string())),
        Err(_) => {
            let cause = format!("not done within {DOWNLOAD:?}");
            return Err(PostgresError::NoServer { cause });
        }
    }
    let started = postgres.start().await;
    // The server says in its log what is wrong; pg_ctl only points to the log, which goes away.
    started.map_err(|error| match fatal_line(postgres) {
        Some(line) => broken(postgres, &line),
        None => broken(postgres, &error.to_string()),
    })
}

fn fatal_line(postgres: &PostgreSQL) -> Option<String> {
    let log = std::fs::read_to_string(postgres.settings().data_dir.join("start.log")).ok()?;
    let line = log.lines().rev().find(|line| line.contains("FATAL"))?;
    Some(line.to_owned())
}

/// A program of the server failed with `text`.
pub(super) fn broken(postgres: &PostgreSQL, text: &str) -> PostgresError {
    // The crate hands on both outputs of a program; the first one only tells of its progress.
    let words = text.rsplit_once("stderr=").map_or(text, |(_, words)| words);
    PostgresError::Server { dir: postgres.settings().installation_dir.clone(), cause: one_line(words) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

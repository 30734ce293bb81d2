//! A throw-away Postgres for the demo and the tests, so that neither asks for a running server.
//!
//! It lives in a helper process, this very binary with the hidden subcommand
//! [`SUBCOMMAND`]: that one can give up root, which Postgres refuses to run as, and it notices
//! the end of its parent, however sudden, by its standard input and then takes the server along.

mod account;
mod helper;
mod installation;
mod parent;
mod server;

use std::path::PathBuf;
use std::time::Duration;

pub use helper::serve;
pub use parent::EmbeddedPostgres;

/// The subcommand with which [`EmbeddedPostgres::start`] calls the helper, who answers it with
/// [`serve`].
pub const SUBCOMMAND: &str = "embedded-postgres";

/// Why there is no embedded Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Root has no account to become.
    #[error(
        "Postgres does not run as root, and there is no account `postgres` or `nobody` to run it \
         as; run this as an ordinary user or set DATABASE_URL"
    )]
    NoAccount,
    /// The system did not let root become the account.
    #[error(
        "Postgres does not run as root, and becoming the account `{account}` failed ({cause}); \
         run this as an ordinary user or set DATABASE_URL"
    )]
    KeepsRoot {
        /// The account that was to run Postgres.
        account: String,
        /// What the system said.
        cause: nix::Error,
    },
    /// Nothing installed, and the download failed.
    #[error(
        "found no Postgres server, and the download failed ({cause}); install one \
         (`apt-get install postgresql` or `brew install postgresql`) or set DATABASE_URL"
    )]
    NoServer {
        /// Why the download failed.
        cause: String,
    },
    /// Another user could put programs of theirs into the directory of the downloaded server.
    #[error("{0} does not belong to this user alone; remove it or set DATABASE_URL")]
    ForeignDir(PathBuf),
    /// The server's own programs failed.
    #[error("Postgres from {dir} does not work ({cause}); repair it or set DATABASE_URL")]
    Server {
        /// The installation whose programs were called.
        dir: PathBuf,
        /// What they said, on one line.
        cause: String,
    },
    /// The operating system refused something.
    #[error("the embedded Postgres cannot {doing}: {cause}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The helper ended with this sentence instead of a URL.
    #[error("{0}")]
    Helper(String),
    /// The helper neither announced a URL nor ended.
    #[error("the embedded Postgres did not come up within {0:?}; set DATABASE_URL to do without")]
    Silent(Duration),
}

impl PostgresError {
    /// For `map_err`: names what was tried.
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |cause| Self::Io { doing, cause }
    }
}

//! Where the demo and the tests get a Postgres from: the server of `DATABASE_URL` if that is set, else an
//! embedded one. On it they work in databases of their own, never in one that was there before.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::postgres::{EmbeddedPostgres, PostgresError};
use crate::config;

/// mana-sync's table, as it creates it.
pub const SYNC_CHANGES: &str = include_str!("../../tests/contract/sync_changes.sql");

/// A running Postgres.
#[derive(Debug)]
pub struct Server {
    url: String,
    embedded: Option<EmbeddedPostgres>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each is the error of the part that it names")]
pub enum DatabaseError {
    #[error(transparent)]
    Embedded(#[from] PostgresError),
    #[error("the Postgres of DATABASE_URL: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("DATABASE_URL is no URL: {0}")]
    Url(String),
}

impl Server {
    /// `helper` is the `mana-ai` binary.
    pub async fn find(helper: &Path) -> Result<Self, DatabaseError> {
        if let Some(url) = config::var("DATABASE_URL") {
            return Ok(Self { url, embedded: None });
        }
        Self::embedded(helper).await
    }

    /// An embedded one, whatever `DATABASE_URL` says.
    pub async fn embedded(helper: &Path) -> Result<Self, DatabaseError> {
        let embedded = EmbeddedPostgres::start(helper).await?;
        Ok(Self { url: embedded.url().to_owned(), embedded: Some(embedded) })
    }

    /// Is it ours alone, gone with this process?
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Creates a database, as a copy of `template` where given, and returns its URL.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<String, DatabaseError> {
        let template = template.map(|template| format!(" TEMPLATE \"{template}\"")).unwrap_or_default();
        self.execute(format!("CREATE DATABASE \"{name}\"{template}")).await?;
        let mut url =
            reqwest::Url::parse(&self.url).map_err(|error| DatabaseError::Url(error.to_string()))?;
        url.set_path(name);
        Ok(url.into())
    }

    /// Drops one of its databases, with whoever is still connected.
    pub async fn drop_database(&self, name: &str) -> Result<(), DatabaseError> {
        self.execute(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await
    }

    async fn execute(&self, sql: String) -> Result<(), DatabaseError> {
        let options: PgConnectOptions = self.url.parse()?;
        let mut db = options.connect().await?;
        db.execute(AssertSqlSafe(sql)).await?;
        Ok(db.close().await?)
    }
}

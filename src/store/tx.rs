//! Transactions: [`Tx`] for what belongs to no user, [`UserTx`] for a user's rows.

use std::ops::{Deref, DerefMut};

use deadpool::managed::Object;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::log::shape::Shape;
use super::pool::Connections;
use super::room::{Room, Rooms};
use super::{DbTime, Store, StoreError, TRANSACTION, with_timeout};

/// A transaction. One that ends without COMMIT or ROLLBACK, because its future was dropped or the server
/// is silent, takes its connection with it: nobody can tell in which state that is, and waiting for it
/// could take as long as the kernel keeps a dead peer.
#[derive(Debug)]
pub struct Tx {
    /// `None` once the connection has gone back to the pool.
    connection: Option<Object<Connections>>,
    /// Behind a pooler in transaction mode: see [`Store::behind_transaction_pooler`].
    pooled: bool,
}

impl Tx {
    pub(super) async fn begin(
        connection: Object<Connections>,
        begin: &'static str,
        pooled: bool,
    ) -> sqlx::Result<Self> {
        // The Tx owns the connection before BEGIN is sent, so a BEGIN that is cancelled drops it.
        let mut tx = Self { connection: Some(connection), pooled };
        tx.execute(begin).await?;
        Ok(tx)
    }

    /// Commits. A Tx that is dropped without it is undone.
    ///
    /// # Errors
    /// Whatever the database answers. Where no answer comes, nobody knows whether it is committed.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Undoes what it did, and returns the connection to the pool.
    ///
    /// # Errors
    /// Whatever the database answers; it is undone in any case.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(how = how))]
    async fn end(mut self, how: &'static str) -> Result<(), StoreError> {
        if self.pooled {
            // The pooler hands the server's connection to somebody else after COMMIT, and statements are named the same in
            // each of our connections. A transaction that is dropped without this is no danger: the pooler then closes the
            // server's connection.
            self.clear_cached_statements().await?;
        }
        self.execute(how).await?;
        // What a large mission made of them would stay as long as the connection.
        self.shrink_buffers();
        drop(self.connection.take());
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

const WHILE_OPEN: &str = "a transaction has its connection until it ends";

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(WHILE_OPEN)
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(WHILE_OPEN)
    }
}

/// The only door to a user's rows: a transaction in which row security shows that user's, and lets
/// nobody else's be written.
#[derive(Debug)]
pub struct UserTx {
    tx: Tx,
    user_id: String,
    began_at: Timestamp,
    writable: bool,
    shape: &'static Shape,
    rooms: Rooms,
}

impl UserTx {
    /// The user is set for this transaction only; a connection that goes back to the pool has none.
    ///
    /// # Errors
    /// [`StoreError::EmptyUser`], and whatever the database answers.
    pub async fn begin(store: &Store, user_id: &str) -> Result<Self, StoreError> {
        let set_user = "SELECT clock_timestamp(), current_setting('transaction_read_only') = 'off'
            FROM set_config('app.current_user_id', $1, true) WHERE $2 IS NOT NULL";
        Self::begin_by(store, set_user, user_id, "").await
    }

    /// The same, and the mission is locked against every other replica until the transaction ends.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), and where another replica keeps the lock for more than 5 s.
    pub async fn begin_locked(store: &Store, user_id: &str, mission_id: &str) -> Result<Self, StoreError> {
        let set_user_and_lock = "SELECT clock_timestamp(), current_setting('transaction_read_only') = 'off'
            FROM set_config('app.current_user_id', $1, true), pg_advisory_xact_lock(hashtextextended($2, 0))";
        Self::begin_by(store, set_user_and_lock, user_id, &format!("{user_id}\n{mission_id}")).await
    }

    async fn begin_by(
        store: &Store,
        set_user: &'static str,
        user_id: &str,
        lock: &str,
    ) -> Result<Self, StoreError> {
        if user_id.is_empty() {
            return Err(StoreError::EmptyUser);
        }
        let mut tx = store.begin().await?;
        let began = sqlx::query_as(set_user).bind(user_id).bind(lock).fetch_one(&mut *tx).await?;
        let (DbTime(began_at), writable) = began;
        Ok(Self {
            tx,
            user_id: user_id.to_owned(),
            began_at,
            writable,
            shape: store.shape(),
            rooms: store.rooms.clone(),
        })
    }

    /// The database's clock when the transaction began, and had its lock where it takes one.
    pub fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// Does the server take writes? Not where it is a standby.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The shape of the log that it reads and writes.
    pub(super) fn shape(&self) -> &'static Shape {
        self.shape
    }

    /// No room yet for a mission.
    pub fn room(&self) -> Room {
        self.rooms.room()
    }

    /// The room for missions of this process.
    pub(super) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The user whose rows it sees.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// See [`Tx::commit`].
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }

    /// Rolls back in a task of its own: a transaction that only read need not be waited for.
    pub fn leave(self) {
        tokio::spawn(async move {
            if let Err(error) = with_timeout(TRANSACTION, self.tx.rollback()).await {
                tracing::debug!(%error, "connection dropped");
            }
        });
    }

    /// See [`Tx::rollback`].
    ///
    /// # Errors
    /// As [`Tx::rollback`].
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.tx.rollback().await
    }
}

impl Deref for UserTx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for UserTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

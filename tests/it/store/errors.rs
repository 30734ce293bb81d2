//! What is told of the database's answers.

use mana_ai::store::{Store, StoreError};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::TestDb;

/// What is told of the error of `sql`.
async fn told(db: &TestDb, sql: &str) -> String {
    let mut session = PgConnection::connect(&db.url).await.unwrap();
    let error = session.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_err();
    StoreError::from(error).to_string()
}

/// The server's own words, without the line of its sources; nothing at all of what a value or a function may say.
#[tokio::test]
async fn a_message_is_repeated_only_where_it_cannot_hold_a_row() {
    let db = TestDb::ready().await;
    let raise = |code: &str| format!("DO $$ BEGIN RAISE 'Garten' USING ERRCODE = '{code}'; END $$");
    for (sql, expected) in [
        ("SELECT FROM nowhere".to_owned(), r#"database: relation "nowhere" does not exist (SQLSTATE 42P01)"#),
        ("SELECT 'Garten'::int".to_owned(), "database: it refused the data (SQLSTATE 22P02)"),
        (raise("P0001"), "database: it refused the data (SQLSTATE P0001)"),
        (raise("XX000"), "database: it refused the data (SQLSTATE XX000)"),
        (raise("MS001"), "database: it refused the data (SQLSTATE MS001)"),
        // Codes whose message is the server's own, but here a function chose them.
        (raise("42501"), "database: it refused the data (SQLSTATE 42501)"),
        (raise("53100"), "database: it refused the data (SQLSTATE 53100)"),
    ] {
        assert_eq!(told(&db, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_refused_connection_says_why() {
    let db = TestDb::ready().await;
    let elsewhere = db.url.replace(&db.name, "nowhere");
    let error = Store::new(&elsewhere, 2).unwrap().begin().await.unwrap_err();
    assert_eq!(error.to_string(), r#"database: database "nowhere" does not exist (SQLSTATE 3D000)"#);
}

//! The tools of the suite, each shown to do what it says.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};

use super::checks::connections;
use super::postgres::OwnPostgres;
use super::proxy::{Mode, Proxy};
use crate::support::{TestDb, World, soon};

/// How long something is watched that is to hang.
const A_WHILE: Duration = Duration::from_millis(150);

async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    url.parse::<PgConnectOptions>()?.connect().await
}

async fn ask(db: &mut PgConnection) -> sqlx::Result<i32> {
    db.fetch_one("SELECT 1").await.map(|row| row.get(0))
}

async fn hangs<T>(what: impl Future<Output = T>) -> bool {
    tokio::time::timeout(A_WHILE, what).await.is_err()
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

#[tokio::test]
async fn a_server_is_stopped_and_killed_and_keeps_port_and_data() {
    let (postgres, db) = OwnPostgres::new().await;
    let mut session = connect(&db.url).await.unwrap();
    session.execute("CREATE TABLE kept (n int)").await.unwrap();
    for (rows, crash) in [(1, false), (2, true), (3, true)] {
        session.execute("INSERT INTO kept VALUES (1)").await.unwrap();
        if crash {
            postgres.kill_immediate().await
        } else {
            postgres.stop_fast().await
        }
        assert!(soon(ask(&mut session)).await.is_err(), "the session is gone");
        assert!(connect(&db.url).await.is_err(), "and nobody listens");
        postgres.start().await;
        session = soon(connect(&db.url)).await.unwrap();
        assert_eq!(db.count("SELECT count(*) FROM kept").await, rows);
    }
}

#[tokio::test]
async fn a_frozen_server_answers_nobody_and_then_goes_on() {
    let (postgres, db) = OwnPostgres::new().await;
    let mut session = connect(&db.url).await.unwrap();
    postgres.freeze();
    postgres.freeze();
    assert!(hangs(connect(&db.url)).await);
    let mut answer = Box::pin(ask(&mut session));
    assert!(hangs(&mut answer).await);
    postgres.thaw();
    assert_eq!(soon(answer).await.unwrap(), 1);
    postgres.freeze();
    postgres.kill_immediate().await;
    postgres.start().await;
    assert_eq!(ask(&mut soon(connect(&db.url)).await.unwrap()).await.unwrap(), 1);
    // And its end is no harder for being frozen.
    postgres.freeze();
}

#[tokio::test]
async fn a_read_only_server_refuses_open_sessions_too() {
    let (postgres, db) = OwnPostgres::new().await;
    let mut session = connect(&db.url).await.unwrap();
    session.execute("CREATE TABLE t (n int)").await.unwrap();
    let insert = "INSERT INTO t VALUES (1)";
    postgres.read_only(true).await;
    assert_eq!(code(&session.execute(insert).await.unwrap_err()), "25006");
    assert_eq!(ask(&mut session).await.unwrap(), 1);
    postgres.read_only(false).await;
    session.execute(insert).await.unwrap();
}

#[tokio::test]
async fn the_sessions_of_the_service_are_ended_and_no_others() {
    let (postgres, world) = OwnPostgres::with_world(&[]).await;
    world.tick().await;
    let open = connections(&world.db).await;
    assert!(open > 0);
    assert_eq!(postgres.kill_backends().await, open);
    assert_eq!(connections(&world.db).await, 0);
    assert!(world.tick().await.errors.is_empty(), "it connects again");
}

/// A session by way of a proxy before the server of all tests.
async fn proxied() -> (TestDb, Proxy, PgConnection) {
    let db = TestDb::empty().await;
    let proxy = Proxy::before(&db.url).await;
    let session = connect(&proxy.url).await.unwrap();
    (db, proxy, session)
}

#[tokio::test]
async fn a_frozen_wire_hangs_and_loses_nothing() {
    let (_db, proxy, mut session) = proxied().await;
    proxy.set(Mode::Freeze).await;
    let mut fresh = Box::pin(connect(&proxy.url));
    let mut answer = Box::pin(ask(&mut session));
    assert!(hangs(&mut answer).await);
    assert!(hangs(&mut fresh).await);
    proxy.set(Mode::Pass).await;
    assert_eq!(soon(answer).await.unwrap(), 1);
    assert_eq!(ask(&mut soon(fresh).await.unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_cut_wire_is_reset_until_it_passes() {
    let (_db, proxy, mut session) = proxied().await;
    assert_eq!(proxy.open(), 1);
    proxy.set(Mode::Cut).await;
    assert_eq!(proxy.open(), 0);
    assert!(matches!(ask(&mut session).await.unwrap_err(), sqlx::Error::Io(_)));
    assert!(matches!(soon(connect(&proxy.url)).await.unwrap_err(), sqlx::Error::Io(_)));
    proxy.set(Mode::Pass).await;
    assert_eq!(ask(&mut connect(&proxy.url).await.unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_slow_wire_and_one_that_takes_no_new_connections() {
    let (_db, proxy, mut session) = proxied().await;
    proxy.set(Mode::Delay(A_WHILE)).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(ask(&mut session).await.unwrap(), 1);
    assert!(begin.elapsed() >= 2 * A_WHILE, "there and back");
    proxy.set(Mode::Delay(Duration::from_secs(3600))).await;
    let mut answer = Box::pin(ask(&mut session));
    assert!(hangs(&mut answer).await);
    proxy.set(Mode::DropNew).await;
    assert_eq!(soon(answer).await.unwrap(), 1);
    let mut never = Box::pin(connect(&proxy.url));
    assert!(hangs(&mut never).await);
    proxy.set(Mode::Pass).await;
    assert!(hangs(&mut never).await, "not even now");
}

/// What ends in order does so through the proxy, and leaves nothing in it.
#[tokio::test]
async fn a_wire_ends_when_its_sides_do() {
    let (_db, proxy, session) = proxied().await;
    session.close().await.unwrap();
    soon(async {
        while proxy.open() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_model_behind_a_frozen_wire_is_not_reached() {
    let world = World::new().await;
    let proxy = Proxy::before(world.llm.url()).await;
    proxy.set(Mode::Freeze).await;
    let call = mana_ai::http_client::builder().build().unwrap().get(&proxy.url).send();
    let mut call = Box::pin(call);
    assert!(hangs(&mut call).await);
    proxy.set(Mode::Pass).await;
    assert_eq!(soon(call).await.unwrap().status(), 404);
}

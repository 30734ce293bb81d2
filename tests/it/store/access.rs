//! Roles and row security, through a login that is neither a superuser nor past row security, and as a
//! superuser, who becomes the same role.

use mana_ai::app;
use mana_ai::demo::database::SYNC_CHANGES;
use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::store::log::read::fold_mission;
use mana_ai::store::{Store, StoreError, UserTx, access, preflight};
use nix::sys::signal::Signal;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tokio_util::sync::CancellationToken;

use crate::app::process::{Serving, command};
use crate::inputs;
use crate::store::leases;
use crate::support::{TestDb, World, claim_due, compared, config, due_mission, soon};

/// A login that owns the table and may create roles, but is no superuser: what mana-sync has.
async fn plain_login(db: &TestDb, may_create_roles: bool) -> (String, PgPool) {
    let role = format!("{}_login", db.name);
    let createrole = if may_create_roles { "CREATEROLE" } else { "NOCREATEROLE" };
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw' NOSUPERUSER NOBYPASSRLS {createrole};
         ALTER DATABASE {0} OWNER TO {role}; ALTER SCHEMA public OWNER TO {role}",
        db.name
    );
    db.admin.execute(AssertSqlSafe(sql)).await.unwrap();
    let (_, host) = db.url.split_once('@').unwrap();
    let url = format!("postgresql://{role}:pw@{host}");
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    pool.execute(SYNC_CHANGES).await.unwrap();
    (url, pool)
}

/// Whoever may runs what the login may not, statement by statement as psql would.
async fn run_as_admin(db: &TestDb, sql: &str) {
    let (set_up, index) = sql.split_once("COMMIT;\n").unwrap();
    db.admin.execute(AssertSqlSafe(format!("{set_up}COMMIT;"))).await.unwrap();
    db.admin.execute(AssertSqlSafe(index.to_owned())).await.unwrap();
}

async fn drop_login(db: TestDb, pool: PgPool) {
    let role = format!("{}_login", db.name);
    pool.close().await;
    let sql = format!("REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}");
    db.admin.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// What the service may and may not, with one due mission of `alice` in the log, and the rows of [`inputs::walls::fill`].
pub async fn check_walls(store: &Store) {
    compared(store).await;
    let mut tx = store.begin().await.unwrap();
    let count = |sql| sqlx::query_scalar::<_, i64>(sql);
    let seen = count("SELECT count(*) FROM mana_ai.mission_fields").fetch_one(&mut *tx).await.unwrap();
    let leaked = count("SELECT count(*) FROM public.sync_changes").fetch_one(&mut *tx).await.unwrap();
    assert_eq!((seen, leaked), (1, 0), "the view shows dates of all, without a user the table shows nothing");
    tx.rollback().await.unwrap();
    let due_at = preflight(store).await.unwrap().now;

    let claimed = claim_due(store, due_at).await;
    assert_eq!(claimed.len(), 1, "the scan sees the due mission");

    let mut mallory = UserTx::begin(store, "mallory").await.unwrap();
    let (theirs, _) = fold_mission(&mut mallory, "m1").await.unwrap();
    assert!(theirs.record.unwrap().is_none(), "another user sees nothing of it");
    let forged = sqlx::query(
        "INSERT INTO public.sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
         VALUES ('ai', 'aiMissions', 'm1', 'alice', 'update', '{}', 'x')",
    );
    let refused = forged.execute(&mut *mallory).await.unwrap_err();
    assert!(refused.to_string().contains("row-level security"), "{refused}");

    drop(mallory);
    let mut alice = UserTx::begin(store, "alice").await.unwrap();
    let task = "INSERT INTO public.sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
        VALUES ('todo', 'tasks', 't1', 'alice', 'insert', '{}', 'x')";
    let refused = alice.execute(task).await.unwrap_err();
    assert!(refused.to_string().contains("mana_ai_missions_only"), "missions alone: {refused}");
    drop(alice);
    inputs::walls::only_listed_tables_of_the_user_are_seen(store).await;

    for forbidden in ["UPDATE public.sync_changes SET op = 'delete'", "DELETE FROM public.sync_changes"] {
        let mut alice = UserTx::begin(store, "alice").await.unwrap();
        let (hers, _) = fold_mission(&mut alice, "m1").await.unwrap();
        assert!(hers.record.unwrap().is_some());
        let refused = alice.execute(forbidden).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{forbidden}: {refused}");
    }
}

/// The login may be mana-sync's own: what it did before, it can do now, for every app.
pub async fn mana_sync_goes_on(pool: &PgPool) {
    let mut tx = pool.begin().await.unwrap();
    tx.execute("SELECT set_config('app.current_user_id', 'alice', true)").await.unwrap();
    tx.execute(
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
         VALUES ('todo', 'tasks', 't1', 'alice', 'insert', '{}', 'web')",
    )
    .await
    .unwrap();
    let tasks = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM sync_changes WHERE app_id = 'todo' AND record_id = 't1'",
    );
    assert_eq!(tasks.fetch_one(&mut *tx).await.unwrap(), 1);
}

/// The whole way to the written row, with nothing but this login.
pub async fn check_tick(db: &TestDb, url: &str) {
    leases::expire_leases(db).await;
    let llm = StandIn::start(Behaviour::Plan).await.unwrap();
    let (store, runner) = app::runner(&config(url, llm.url(), &[]), CancellationToken::new()).unwrap();
    let stats = soon(runner.tick(true)).await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{stats:?}");
    assert_eq!(db.written().await[0]["user_id"], "alice");
    store.close();
}

#[tokio::test]
async fn walls_hold_for_a_plain_login() {
    let db = TestDb::empty().await;
    let (url, pool) = plain_login(&db, true).await;
    let store = Store::new(&url, 2).unwrap();
    match access::migrate(&store).await {
        // From PostgreSQL 16 on, nobody but their maker grants roles that another database made.
        Err(StoreError::InsufficientPrivilege { sql, .. }) => {
            run_as_admin(&db, &sql).await;
            access::migrate(&store).await.unwrap();
        }
        other => other.unwrap(),
    }
    World::device_on(&pool, &store, "alice").create_mission("m1", due_mission()).await.unwrap();
    inputs::walls::fill(&pool).await;
    check_walls(&store).await;
    check_tick(&db, &url).await;
    mana_sync_goes_on(&pool).await;
    let as_reader = pool.execute("SET ROLE mana_ai_reader").await;
    assert!(as_reader.is_err(), "the login is not left in the role that sees all missions");
    store.close();
    drop_login(db, pool).await;
}

#[tokio::test]
async fn walls_hold_for_a_superuser() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    inputs::walls::fill(&world.db.admin).await;
    check_walls(&world.store).await;
}

#[tokio::test]
async fn a_login_that_may_not_is_given_the_sql() {
    let db = TestDb::empty().await;
    let (url, pool) = plain_login(&db, false).await;
    let store = Store::new(&url, 2).unwrap();
    let refused = access::verify(&store).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotSetUp(_)), "{refused}");
    let Err(StoreError::InsufficientPrivilege { sql, .. }) = access::migrate(&store).await else {
        panic!("the login may not create roles")
    };
    run_as_admin(&db, &sql).await;
    access::migrate(&store).await.unwrap();
    World::device_on(&pool, &store, "alice").create_mission("m1", due_mission()).await.unwrap();
    inputs::walls::fill(&pool).await;
    check_walls(&store).await;
    store.close();
    drop_login(db, pool).await;
}

/// The service tries again every five seconds. Its one warning must not drown in what it does before it fails.
#[tokio::test]
async fn a_set_up_that_fails_is_told_once() {
    let (db, world) = (TestDb::empty().await, World::new().await);
    let (url, pool) = plain_login(&db, false).await;
    let mut serve = command(&world, &["serve"]);
    serve.env("DATABASE_URL", &url);
    let serving = Serving::start(serve).await;
    soon(serving.until_logged("no ticks yet, still trying", 1)).await;
    serving.signal(Signal::SIGTERM);
    let (_, log) = serving.end().await;
    assert!(!log.contains("mana_ai::store"), "{log}");
    drop_login(db, pool).await;
}

#[tokio::test]
async fn migrate_may_run_again_and_twice_at_once() {
    let db = TestDb::empty().await;
    db.admin.execute(SYNC_CHANGES).await.unwrap();
    let (first, second) = (Store::new(&db.url, 2).unwrap(), Store::new(&db.url, 2).unwrap());
    let (one, two) = soon(async { tokio::join!(access::migrate(&first), access::migrate(&second)) }).await;
    one.unwrap();
    two.unwrap();
    access::migrate(&first).await.unwrap();
    access::verify(&first).await.unwrap();
    let (one, two) =
        soon(async { tokio::join!(access::build_index(&first), access::build_index(&second)) }).await;
    one.and(two).unwrap();
    let index = db.count(
        "SELECT count(*) FROM pg_index WHERE indexrelid = 'mana_ai_mission_changes'::regclass AND indisvalid",
    );
    assert_eq!(index.await, 1);
    let elsewhere = db.count(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
         AND relname <> 'sync_changes'",
    );
    assert_eq!(elsewhere.await, 0, "everything of ours is in the schema mana_ai");
}

/// mana-sync drops and re-creates its policy at every start; ours must not go with it.
#[tokio::test]
async fn a_restart_of_mana_sync_changes_nothing() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.db.admin.execute(SYNC_CHANGES).await.unwrap();
    access::verify(&world.store).await.unwrap();
    inputs::walls::fill(&world.db.admin).await;
    check_walls(&world.store).await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_mended() {
    let db = TestDb::ready().await;
    let store = Store::new(&db.url, 2).unwrap();
    access::verify(&store).await.unwrap();
    for (harm, named) in [
        ("DROP POLICY mana_ai_schedule ON sync_changes", "policy"),
        ("DROP VIEW mana_ai.mission_fields", "view"),
        ("REVOKE INSERT ON sync_changes FROM mana_ai", "may not read and write"),
    ] {
        db.admin.execute(harm).await.unwrap();
        let told = access::verify(&store).await.unwrap_err().to_string();
        assert!(told.contains(named), "{harm}: {told}");
        access::migrate(&store).await.unwrap();
        access::verify(&store).await.unwrap();
    }
    db.admin.execute("ALTER TABLE sync_changes DISABLE ROW LEVEL SECURITY").await.unwrap();
    let told = access::verify(&store).await.unwrap_err().to_string();
    assert!(told.contains("row security of sync_changes is off"), "{told}");
}

#[tokio::test]
async fn an_empty_user_id_opens_no_door() {
    let db = TestDb::ready().await;
    let store = Store::new(&db.url, 2).unwrap();
    assert!(matches!(UserTx::begin(&store, "").await, Err(StoreError::EmptyUser)));
}

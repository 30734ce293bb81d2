//! Another role of the database may create in `public`, as everybody could before PostgreSQL 15: nothing that it makes
//! there runs as us.

use mana_ai::store::{Store, UserTx, access, preflight};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{World, compared, due_mission, soon};

/// Functions whose arguments fit better than those of Postgres, as our statements and any others call them, and operators
/// that stand in the place of Postgres' own where a path names `public` before `pg_catalog`. Each notes who ran it, of the
/// sessions that are ours.
const TRAP: &str = "
GRANT CREATE ON SCHEMA public TO mallory;
SET ROLE mallory;
CREATE TABLE public.caught (who text, what text);
GRANT INSERT ON public.caught TO PUBLIC;
CREATE FUNCTION public.note(what text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS
    $$ BEGIN INSERT INTO public.caught SELECT current_user, what WHERE current_setting('application_name') = 'mana-ai'; END $$;
CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('hash'); RETURN 1; END $$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('format'); RETURN ''; END $$;
CREATE FUNCTION public.format(text, text, name, name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('format'); RETURN ''; END $$;
CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('format'); RETURN ''; END $$;
CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('format'); RETURN ''; END $$;
CREATE FUNCTION public.jsonb_text(jsonb, text) RETURNS jsonb LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('operator ->'); RETURN $1 OPERATOR(pg_catalog.->) $2; END $$;
CREATE OPERATOR public.-> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = public.jsonb_text);
CREATE FUNCTION public.is_same(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('operator ='); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.is_same);
RESET ROLE";

#[tokio::test]
async fn functions_of_others_do_not_run_as_us() {
    let world = World::new().await;
    let mallory =
        "DO $$ BEGIN CREATE ROLE mallory NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    world.db.admin.execute(mallory).await.unwrap();
    world.db.admin.execute(TRAP).await.unwrap();
    let public_first = format!("ALTER DATABASE {} SET search_path = public, pg_catalog", world.db.name);
    world.db.admin.execute(AssertSqlSafe(public_first)).await.unwrap();
    let caught = async || -> Vec<(String, String)> {
        let caught =
            sqlx::query_as("SELECT who, what FROM public.caught ORDER BY what OPERATOR(pg_catalog.<) 'x'");
        caught.fetch_all(&world.db.admin).await.unwrap()
    };
    // Each trap works for who asks like everybody.
    let mut everybody = PgConnection::connect(&world.db.url).await.unwrap();
    everybody.execute("SET application_name = 'mana-ai'").await.unwrap();
    for (sql, what) in [
        ("SELECT hashtextextended('x', 0)", "hash"),
        ("SELECT format('%s', 'x'::text)", "format"),
        ("SELECT '{}'::jsonb -> 'a'", "operator ->"),
        ("SELECT 'a'::text = 'b'", "operator ="),
    ] {
        everybody.execute(sql).await.unwrap();
        let springs = caught().await.iter().any(|(_, by)| by == what);
        assert!(springs, "{sql}");
    }
    everybody.close().await.unwrap();
    world.db.admin.execute("TRUNCATE public.caught").await.unwrap();

    // Connections of the pool are older than the path.
    let store = Store::new(&world.db.url, 4).unwrap();
    World::device_on(&world.db.admin, &store, "alice").create_mission("m1", due_mission()).await.unwrap();
    let replica = world.replica(&[]);
    assert_eq!(soon(replica.tick(true)).await.plans_written_back, 1);
    compared(&store).await;
    preflight(&store).await.unwrap();
    drop(UserTx::begin_locked(&store, "alice", "m1").await.unwrap());
    access::verify(&store).await.unwrap();
    access::survey(&store).await.unwrap();
    // The set-up, all of it.
    world.db.admin.execute("DROP SCHEMA mana_ai CASCADE; DROP INDEX mana_ai_mission_changes").await.unwrap();
    access::migrate(&store).await.unwrap();
    access::build_index(&store).await.unwrap();
    access::grant_to(&store, "mallory").await.unwrap();
    soon(replica.tick(true)).await;
    assert_eq!(caught().await, vec![], "nobody's function ran");
    // The trigger of ours runs in an operator's session too.
    let path = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'mana_ai'::regnamespace
        AND proconfig = ARRAY['search_path=pg_catalog, pg_temp']";
    assert_eq!(
        world.db.count(path).await,
        world.db.count("SELECT count(*) FROM pg_proc WHERE pronamespace = 'mana_ai'::regnamespace").await
    );
}

/// An operator may bound how long a session idles in a transaction; the build of the index takes as long as it takes.
#[tokio::test]
async fn a_long_build_of_the_index_is_not_cut_off() {
    let world = World::new().await;
    world.db.admin.execute("DROP INDEX mana_ai_mission_changes").await.unwrap();
    let bound = format!("ALTER DATABASE {} SET idle_in_transaction_session_timeout = '300ms'", world.db.name);
    world.db.admin.execute(AssertSqlSafe(bound)).await.unwrap();
    // The build waits for this transaction, longer than the bound.
    let mut open = world.db.admin.begin().await.unwrap();
    open.execute(
        "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE sync_changes IN ROW EXCLUSIVE MODE",
    )
    .await
    .unwrap();
    let store = Store::new(&world.db.url, 2).unwrap();
    let build = tokio::spawn(async move { access::build_index(&store).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE 'CREATE INDEX%' AND query_start < now() - interval '600 ms'";
    soon(world.db.until(waits, |sessions| sessions > 0)).await;
    open.commit().await.unwrap();
    soon(build).await.unwrap().unwrap();
}

/// Behind a proxy that pools transactions another client's session is next on the connection.
#[tokio::test]
async fn the_path_of_a_session_stays_as_it_is() {
    let world = World::new().await;
    let mut tx = world.store.begin().await.unwrap();
    let path = async |tx: &mut mana_ai::store::Tx| -> String {
        sqlx::query_scalar("SELECT current_setting('search_path')").fetch_one(&mut **tx).await.unwrap()
    };
    assert_eq!(path(&mut tx).await, "pg_catalog, pg_temp");
    tx.execute("ROLLBACK").await.unwrap();
    assert_eq!(path(&mut tx).await, "\"$user\", public");
}

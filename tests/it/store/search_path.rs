//! Another role of the database may create in `public`, as everybody could before PostgreSQL 15: nothing that it makes
//! there runs as us.

use mana_ai::store::{UserTx, access, preflight};
use sqlx::Executor as _;

use crate::support::{World, compared, due_mission};

/// Functions whose arguments fit better than those of Postgres, as our statements and any others call them. Each notes
/// who ran it.
const TRAP: &str = "
GRANT CREATE ON SCHEMA public TO mallory;
SET ROLE mallory;
CREATE TABLE public.caught (who text, what text);
GRANT INSERT ON public.caught TO PUBLIC;
CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'hash'); RETURN 1; END $$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'format'); RETURN ''; END $$;
CREATE FUNCTION public.format(text, text, name, name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'format'); RETURN ''; END $$;
CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'format'); RETURN ''; END $$;
CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'format'); RETURN ''; END $$;
CREATE FUNCTION public.jsonb_text(jsonb, text) RETURNS jsonb LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'operator'); RETURN $1 OPERATOR(pg_catalog.->) $2; END $$;
CREATE FUNCTION public.is_same(varchar, text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.caught VALUES (current_user, 'operator'); RETURN true; END $$;
CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.is_same);
RESET ROLE";

#[tokio::test]
async fn functions_of_others_do_not_run_as_us() {
    let world = World::new().await;
    let mallory =
        "DO $$ BEGIN CREATE ROLE mallory NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    world.db.admin.execute(mallory).await.unwrap();
    world.db.admin.execute(TRAP).await.unwrap();
    let caught = "SELECT count(*) FROM public.caught";
    world.db.admin.execute("SELECT hashtextextended('x', 0)").await.unwrap();
    assert_eq!(world.db.count(caught).await, 1, "the trap works for who asks like everybody");
    world.db.admin.execute("TRUNCATE public.caught").await.unwrap();

    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    compared(&world.store).await;
    preflight(&world.store).await.unwrap();
    drop(UserTx::begin_locked(&world.store, "alice", "m1").await.unwrap());
    access::verify(&world.store).await.unwrap();
    access::survey(&world.store).await.unwrap();
    // The set-up, all of it.
    world.db.admin.execute("DROP SCHEMA mana_ai CASCADE; DROP INDEX mana_ai_mission_changes").await.unwrap();
    access::migrate(&world.store).await.unwrap();
    access::build_index(&world.store).await.unwrap();
    access::grant_to(&world.store, "mallory").await.unwrap();
    world.tick().await;
    let told: Vec<(String, String)> =
        sqlx::query_as("SELECT who, what FROM public.caught").fetch_all(&world.db.admin).await.unwrap();
    assert_eq!(told, vec![], "nobody's function ran");
    // The trigger of ours runs in an operator's session too.
    let path = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'mana_ai'::regnamespace
        AND proconfig = ARRAY['search_path=pg_catalog, pg_temp']";
    assert_eq!(
        world.db.count(path).await,
        world.db.count("SELECT count(*) FROM pg_proc WHERE pronamespace = 'mana_ai'::regnamespace").await
    );
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

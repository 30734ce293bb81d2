//! Who can let a login in, and what is said to whoever cannot.

use mana_ai::demo::database::SYNC_CHANGES;
use mana_ai::store::{Store, StoreError, access};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::access::check_tick;
use super::cluster::{Cluster, is_denied};
use crate::app::process::text;

/// As in a rotation of credentials.
#[tokio::test]
async fn a_new_login_is_let_in() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    cluster.superuser("CREATE ROLE \"runner-3\" LOGIN PASSWORD 'pw'").await;
    let told = access::verify(&cluster.store("runner-3")).await.unwrap_err().to_string();
    assert!(told.contains("the login \"runner-3\" is not in role mana_ai"), "{told}");
    let told = text(&cluster.command("runner-3", &["check"]).await.stdout);
    assert!(told.contains("the login \"runner-3\" is not in role mana_ai: run `mana-ai migrate`"), "{told}");
    // Whoever may not prints what is needed and nothing else; it can be run as it is.
    let by_migrate = cluster.command("runner-3", &["migrate"]).await;
    assert_eq!(by_migrate.status.code(), Some(1));
    let printed = text(&by_migrate.stdout);
    assert!(printed.starts_with("GRANT mana_ai TO \"runner-3\"") && !printed.contains("POLICY"), "{printed}");
    let by_grant = cluster.command("runner", &["grant", "--to", "runner-3"]).await;
    assert_eq!(by_grant.status.code(), Some(1));
    assert_eq!(text(&by_grant.stdout), printed);
    cluster.psql("admin", &printed).await.unwrap();
    access::verify(&cluster.store("runner-3")).await.unwrap();
    check_tick(&cluster.db, &cluster.url("runner-3")).await;

    // Who may runs it.
    cluster.superuser("CREATE ROLE runner4 LOGIN PASSWORD 'pw'").await;
    let granted = cluster.command("admin", &["grant", "--to", "runner4"]).await;
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
    assert!(text(&granted.stdout).starts_with("GRANT mana_ai TO runner4"), "{}", text(&granted.stdout));
    access::verify(&cluster.store("runner4")).await.unwrap();
    let again = cluster.command("runner4", &["grant", "--to", "runner4"]).await;
    assert!(again.status.success() && text(&again.stdout).starts_with("-- "), "it lacks nothing");
    cluster.superuser("DROP OWNED BY runner; DROP ROLE runner").await;
    access::verify(&cluster.store("runner4")).await.expect("the old login is gone, and the new one works");
    let nobody = cluster.command("admin", &["grant", "--to", "nobody"]).await;
    assert!(text(&nobody.stderr).contains("there is no role nobody"), "{}", text(&nobody.stderr));
}

/// From PostgreSQL 16 on the roles are their maker's to grant. The hint names who that is, and what it has to run.
#[tokio::test]
async fn a_second_admin_is_told_who_can_let_it() {
    let cluster = Cluster::ready().await;
    cluster
        .superuser(
            "CREATE ROLE admin2 LOGIN PASSWORD 'pw' CREATEROLE; GRANT sync TO admin2;
             CREATE ROLE runner2 LOGIN PASSWORD 'pw'",
        )
        .await;
    let granted = cluster.command("admin2", &["grant", "--to", "runner2"]).await;
    if !cluster.is_16().await {
        assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
        return access::migrate(&cluster.store("admin2")).await.unwrap();
    }
    let told = text(&granted.stderr);
    assert!(
        granted.status.code() == Some(1) && told.contains("here that is admin. Let that one run"),
        "{told}"
    );
    cluster.psql("sync", "DROP POLICY mana_ai_schedule ON sync_changes").await.unwrap();
    let Err(StoreError::InsufficientPrivilege { who_may: Some(who_may), sql, .. }) =
        access::migrate(&cluster.store("admin2")).await
    else {
        panic!("it may not")
    };
    assert!(who_may.contains("here that is admin"), "{who_may}");
    let advised = "GRANT mana_ai TO admin2 WITH ADMIN OPTION, INHERIT FALSE; GRANT mana_ai_reader TO admin2 WITH INHERIT FALSE";
    assert!(who_may.contains(&advised.replace("admin2", "x")), "{who_may}");
    cluster.psql("admin", advised).await.unwrap();
    cluster.psql("admin2", &sql).await.unwrap();
    cluster.psql("admin", "REVOKE mana_ai_reader FROM admin2").await.unwrap();
    assert!(is_denied(cluster.psql("admin2", "SET ROLE mana_ai_reader").await));
    let left = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'mana_ai_reader'::regrole
        AND member IN ('admin2'::regrole, 'runner'::regrole)";
    assert_eq!(cluster.db.count(left).await, 0, "nothing of the reader is left to it");
    let granted = cluster.command("admin2", &["grant", "--to", "runner2"]).await;
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
    access::verify(&cluster.store("runner2")).await.unwrap();
}

/// Its rows are another application's; its roles are the same.
#[tokio::test]
async fn a_second_database_of_the_server_is_set_up_by_its_own_admin() {
    let cluster = Cluster::ready().await;
    cluster.superuser("CREATE ROLE sync2 LOGIN PASSWORD 'pw' CREATEROLE").await;
    cluster.superuser("CREATE DATABASE second OWNER sync2").await;
    let url = cluster.url("sync2").replace(&cluster.db.name, "second");
    let mut db = PgConnection::connect(&url).await.unwrap();
    db.execute(SYNC_CHANGES).await.unwrap();
    let store = Store::new(&url, 2).unwrap();
    match access::migrate(&store).await {
        Err(StoreError::InsufficientPrivilege { who_may: Some(who_may), .. }) if cluster.is_16().await => {
            assert!(who_may.contains("here that is admin"), "{who_may}");
            let let_it = "GRANT mana_ai TO sync2 WITH ADMIN OPTION, INHERIT FALSE; GRANT mana_ai_reader TO sync2 WITH INHERIT FALSE";
            cluster.psql("admin", let_it).await.unwrap();
            access::migrate(&store).await.unwrap();
        }
        other => other.unwrap(),
    }
    access::verify(&store).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn missing_roles_are_called_missing_and_nothing_else() {
    let cluster = Cluster::new().await;
    let told = access::verify(&cluster.store("runner")).await.unwrap_err().to_string();
    assert!(told.contains("the roles mana_ai and mana_ai_reader are missing"), "{told}");
    assert!(!told.contains("bypass") && !told.contains(';'), "{told}");
}

/// Neither alone: the set-up makes roles, and policies on a table of somebody's.
#[tokio::test]
async fn who_is_no_owner_or_makes_no_roles_is_refused() {
    let cluster = Cluster::new().await;
    let sql = cluster.sql_of_migrate("runner").await;
    let refused = cluster.psql("sync", &sql).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied to create role"), "{refused}");
    cluster.superuser("CREATE ROLE stranger LOGIN PASSWORD 'pw' CREATEROLE").await;
    let refused = cluster.psql("stranger", &sql).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied for database"), "{refused}");
    cluster.superuser("GRANT sync TO stranger").await;
    cluster.psql("stranger", &sql).await.unwrap();
}

/// From PostgreSQL 16 on Postgres itself lets the maker of a role grant it, and only a superuser can end that.
#[tokio::test]
async fn the_maker_of_the_reader_may_grant_it_until_a_superuser_ends_that() {
    let cluster = Cluster::ready().await;
    assert!(is_denied(cluster.psql("admin", "SET ROLE mana_ai_reader").await), "it is not left in the role");
    let may_grant =
        "SELECT count(*) FROM pg_auth_members WHERE roleid = 'mana_ai_reader'::regrole AND admin_option";
    assert_eq!(cluster.db.count(may_grant).await, i64::from(cluster.is_16().await));
    if cluster.is_16().await {
        assert!(cluster.psql("admin", "REVOKE mana_ai_reader FROM admin GRANTED BY postgres").await.is_err());
        cluster.superuser("REVOKE mana_ai_reader FROM admin GRANTED BY postgres").await;
        assert_eq!(cluster.db.count(may_grant).await, 0);
    }
    access::verify(&cluster.store("runner")).await.unwrap();
}

/// A version before this one looks names up in our schema as the login itself.
#[tokio::test]
async fn a_login_that_is_let_in_may_look_names_up() {
    let cluster = Cluster::ready().await;
    cluster.superuser("CREATE ROLE runner5 LOGIN PASSWORD 'pw'").await;
    let looked_up = "SELECT to_regclass('mana_ai.mission_schedule')";
    assert!(is_denied(cluster.psql("runner5", looked_up).await));
    let granted = cluster.command("admin", &["grant", "--to", "runner5"]).await;
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stderr));
    cluster.psql("runner5", looked_up).await.unwrap();
    assert!(is_denied(cluster.psql("runner5", "SELECT FROM mana_ai.mission_schedule").await));
}

/// A schema that the roles may not use is told, and mended by the set-up.
#[tokio::test]
async fn a_closed_schema_is_told() {
    let cluster = Cluster::ready().await;
    let close = "REVOKE USAGE ON SCHEMA public FROM PUBLIC, mana_ai, mana_ai_reader; GRANT USAGE ON SCHEMA public TO sync, admin";
    cluster.psql("sync", close).await.unwrap();
    let told = access::verify(&cluster.store("runner")).await.unwrap_err().to_string();
    assert!(told.contains("may not use the schema public"), "{told}");
    access::migrate(&cluster.store("admin")).await.unwrap();
    access::verify(&cluster.store("runner")).await.unwrap();
    cluster.superuser("REVOKE USAGE ON SCHEMA mana_ai FROM mana_ai").await;
    let told = access::verify(&cluster.store("runner")).await.unwrap_err().to_string();
    assert!(told.contains("mana_ai may not use the schema mana_ai"), "{told}");
    access::migrate(&cluster.store("admin")).await.unwrap();
    access::verify(&cluster.store("runner")).await.unwrap();
}

/// A name is data: it ends no quote, and names no place of the SQL that it stands in.
#[tokio::test]
async fn a_login_may_have_any_name() {
    let cluster = Cluster::new().await;
    for (at, name) in ["a$$b", "$mana_ai_0$", "{login}", "q\"u'o{quote}te"].into_iter().enumerate() {
        let quoted = name.replace('"', "\"\"");
        cluster.superuser(&format!("CREATE ROLE \"{quoted}\" LOGIN PASSWORD 'pw'")).await;
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let store = Store::new(&cluster.url("runner").replace("runner", &encoded), 2).unwrap();
        if at > 0 {
            cluster.psql("sync", "DROP POLICY mana_ai_schedule ON sync_changes").await.unwrap();
        }
        let Err(StoreError::InsufficientPrivilege { sql, .. }) = access::migrate(&store).await else {
            panic!("{name} may not do that")
        };
        cluster.psql("admin", &sql).await.unwrap();
        access::migrate(&store).await.unwrap();
        access::verify(&store).await.unwrap();
    }
}

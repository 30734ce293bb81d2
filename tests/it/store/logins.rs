//! What the service's login can do, and that `check` tells of a login that can do more.

use mana_ai::store::access;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use super::access::{check_tick, check_walls, mana_sync_goes_on};
use super::cluster::{Cluster, is_denied};
use crate::app::process::text;
use crate::inputs;

/// Every path works, and without becoming `mana_ai` the login can do nothing.
#[tokio::test]
async fn a_login_inherits_nothing() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    let store = cluster.store("runner");
    access::verify(&store).await.unwrap();
    assert_eq!(access::survey(&store).await.unwrap().excess, Vec::<String>::new());
    assert_eq!(cluster.check_login("runner").await, "", "nothing to warn of");
    let (read, written) = cluster.tasks("runner").await;
    assert!(is_denied(read) && is_denied(written), "of a task");
    for sql in ["SELECT FROM mana_ai.mission_schedule", "SELECT FROM mana_ai.mission_fields"] {
        assert!(is_denied(cluster.psql("runner", sql).await), "{sql}");
    }
    assert!(is_denied(cluster.psql("runner", "SET ROLE mana_ai_reader").await));
    inputs::walls::fill(&PgPool::connect(&cluster.url("sync")).await.unwrap()).await;
    check_walls(&store).await;
    check_tick(&cluster.db, &cluster.url("runner")).await;
    for args in [&["runs"][..], &["inspect", "--user", "alice"], &["inspect", "--quarantined"], &["tick"]] {
        let output = cluster.command("runner", args).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    }
    cluster.superuser("DELETE FROM sync_changes WHERE app_id = 'todo'").await;
    mana_sync_goes_on(&PgPool::connect(&cluster.url("sync")).await.unwrap()).await;
}

/// As a release before this one left it, and as an operator may: then the policy holds, and it is told.
#[tokio::test]
async fn a_login_that_inherits_sees_missions_alone() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    let inherit = if cluster.is_16().await {
        "GRANT mana_ai TO runner WITH INHERIT TRUE"
    } else {
        "ALTER ROLE runner INHERIT"
    };
    cluster.psql("admin", inherit).await.unwrap();
    let (read, written) = cluster.tasks("runner").await;
    assert_eq!(read.unwrap(), 0, "of a task");
    let refused = written.unwrap_err().to_string();
    assert!(refused.contains("mana_ai_missions_only"), "{refused}");
    let told = cluster.check_login("runner").await;
    assert!(told.starts_with("! login") && told.contains("inherits what mana_ai may"), "{told}");
    access::verify(&cluster.store("runner")).await.expect("the service works");

    let output = cluster.command("admin", &["grant", "--to", "runner"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(cluster.check_login("runner").await, "");
    assert!(is_denied(cluster.tasks("runner").await.0));
}

/// mana-sync's login may be ours, whether it owns the table or was granted it: nothing is taken from it.
#[tokio::test]
async fn a_login_with_rights_of_its_own_keeps_them() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    cluster.superuser("CREATE ROLE app LOGIN PASSWORD 'pw'; CREATE ROLE crew; GRANT crew TO app").await;
    cluster.psql("sync", "GRANT SELECT, INSERT ON sync_changes TO crew").await.unwrap();
    cluster.superuser("GRANT mana_ai TO app, sync").await;
    for login in ["app", "sync"] {
        let (read, written) = cluster.tasks(login).await;
        assert!(read.unwrap() >= 1, "{login} sees tasks");
        written.unwrap();
        check_tick_of(&cluster, login).await;
    }
    cluster.psql("sync", "REVOKE INSERT ON sync_changes FROM crew").await.unwrap();
    let (read, written) = cluster.tasks("app").await;
    assert!(read.unwrap() >= 1 && written.is_err(), "a right that it has through mana_ai alone is mana_ai's");
    let told = cluster.check_login("app").await;
    assert!(told.contains("sync_changes is granted to it"), "{told}");
    let told = cluster.check_login("sync").await;
    assert!(told.contains("it owns sync_changes"), "{told}");
}

async fn check_tick_of(cluster: &Cluster, login: &str) {
    let output = cluster.command(login, &["tick"]).await;
    // The model is not there.
    assert!(!text(&output.stdout).contains("database"), "{login}: {}", text(&output.stdout));
}

/// What pg_dump does: it asks for an error where row security would leave rows out. With `--enable-row-security` it does
/// not ask, and gets none.
#[tokio::test]
async fn a_dump_needs_a_login_past_row_security() {
    let cluster = Cluster::ready().await;
    cluster.fill().await;
    let copy = async |login: &str, row_security: &str| -> sqlx::Result<i64> {
        let mut db = PgConnection::connect(&cluster.url(login)).await?;
        db.execute(AssertSqlSafe(format!("SET row_security = {row_security}"))).await?;
        sqlx::query_scalar("SELECT count(*) FROM public.sync_changes").fetch_one(&mut db).await
    };
    let refused = copy("sync", "off").await.unwrap_err().to_string();
    assert!(refused.contains("query would be affected by row-level security policy"), "{refused}");
    assert_eq!(copy("sync", "on").await.unwrap(), 0, "an empty dump, and no error");
    cluster
        .superuser("CREATE ROLE backup LOGIN PASSWORD 'pw' BYPASSRLS; GRANT SELECT ON sync_changes TO backup")
        .await;
    assert_eq!(copy("backup", "off").await.unwrap(), 2, "every row");
}

/// What a right on the table may come from, beside a grant to the login: each is told, and gone when it is taken away.
#[tokio::test]
async fn every_way_to_more_rights_is_told() {
    let cluster = Cluster::ready().await;
    for (grant, revoke, told) in [
        (
            "GRANT SELECT ON sync_changes TO PUBLIC",
            "REVOKE SELECT ON sync_changes FROM PUBLIC",
            "granted to PUBLIC",
        ),
        (
            "GRANT SELECT (data) ON sync_changes TO PUBLIC",
            "REVOKE SELECT (data) ON sync_changes FROM PUBLIC",
            "granted to PUBLIC",
        ),
        (
            "GRANT SELECT (data) ON sync_changes TO runner",
            "REVOKE SELECT (data) ON sync_changes FROM runner",
            "is granted to it",
        ),
        (
            "GRANT pg_read_all_data TO runner",
            "REVOKE pg_read_all_data FROM runner",
            "it is in pg_read_all_data",
        ),
        ("GRANT pg_write_all_data TO runner", "REVOKE pg_write_all_data FROM runner", "or pg_write_all_data"),
    ] {
        cluster.superuser(grant).await;
        let line = cluster.check_login("runner").await;
        assert!(line.starts_with("! login") && line.contains(told), "{grant}: {line}");
        cluster.superuser(revoke).await;
        assert_eq!(cluster.check_login("runner").await, "", "{revoke}");
    }
}

/// `grant --to` is advised only where it has something to say.
#[tokio::test]
async fn the_advice_against_inheritance_helps() {
    let cluster = Cluster::ready().await;
    cluster.superuser("CREATE ROLE crew; GRANT crew TO runner").await;
    let is_16 = cluster.is_16().await;
    let inherit =
        if is_16 { "GRANT mana_ai TO runner WITH INHERIT TRUE" } else { "ALTER ROLE runner INHERIT" };
    cluster.psql("admin", inherit).await.unwrap();
    let told = cluster.check_login("runner").await;
    let advised = told.contains("`mana-ai grant --to runner`");
    let printed = text(&cluster.command("runner", &["grant", "--to", "runner"]).await.stdout);
    assert_eq!(advised, printed.contains("INHERIT"), "{told} {printed}");
    assert_eq!(told.contains("a login of its own"), !is_16, "{told}");
}

//! The database shows the tables that a mission can link, of the set user, and nothing else.

use std::collections::BTreeSet;

use mana_ai::inputs::modules::tables;
use mana_ai::store::{Store, UserTx};

/// What access number 3 of the policy lets the service see beside missions. A change of the table of modules changes the
/// policy: then its number is raised in `view.sql` and `setup.rs`, and this list follows.
const LISTED: [(&str, &str); 8] = [
    ("calendar", "events"),
    ("companion", "companionGoals"),
    ("journal", "journalEntries"),
    ("kontext", "kontextDoc"),
    ("notes", "notes"),
    ("profile", "userContext"),
    ("timeblocks", "timeBlocks"),
    ("todo", "tasks"),
];

/// Tables that look like listed ones, and are none.
const OTHERS: [(&str, &str); 6] = [
    ("notes", "tasks"),
    ("todo", "notes"),
    ("notes", "notesTags"),
    ("ai", "aiAgents"),
    ("timeblocks", "events"),
    ("contacts", "contacts"),
];

#[test]
fn the_table_of_modules_is_what_the_policy_lists() {
    let known: BTreeSet<_> = tables().map(|table| (table.app, table.name)).collect();
    assert_eq!(known, BTreeSet::from(LISTED));
}

/// Adds a row in each of these tables, of alice and of mallory; the policies bind whoever is in role mana_ai.
pub async fn fill(sync: &sqlx::PgPool) {
    for user in ["alice", "mallory"] {
        let mut tx = sync.begin().await.unwrap();
        let set_user = sqlx::query("SELECT set_config('app.current_user_id', $1, true)").bind(user);
        set_user.execute(&mut *tx).await.unwrap();
        for (app, table) in LISTED.into_iter().chain(OTHERS) {
            let row = sqlx::query(
                "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
                 VALUES ($1, $2, 'wall', $3, 'insert', '{}', 'web')",
            );
            row.bind(app).bind(table).bind(user).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

/// Reads without any condition of its own: the policies alone decide.
pub async fn only_listed_tables_of_the_user_are_seen(store: &Store) {
    let mut alice = UserTx::begin(store, "alice").await.unwrap();
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT user_id, app_id, table_name FROM public.sync_changes WHERE record_id = 'wall'",
    )
    .fetch_all(&mut *alice)
    .await
    .unwrap();
    assert!(rows.iter().all(|(user, ..)| user == "alice"), "{rows:?}");
    let seen: BTreeSet<_> = rows.iter().map(|(_, app, table)| (&**app, &**table)).collect();
    assert_eq!(seen, BTreeSet::from(LISTED));
    for (app, table) in LISTED {
        let row = sqlx::query(
            "INSERT INTO public.sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
             VALUES ($1, $2, 'wall', 'alice', 'update', '{}', 'x')",
        );
        let mut alice = UserTx::begin(store, "alice").await.unwrap();
        let refused = row.bind(app).bind(table).execute(&mut *alice).await.unwrap_err();
        assert!(refused.to_string().contains("mana_ai_missions_only"), "{app}/{table}: {refused}");
    }
}

//! Every statement on mana-sync's table, and nothing else: read a user's missions, append our row, and the view
//! through which the schedule follows the log.

pub mod append;
pub mod read;
mod rounds;
pub mod schedule_fields;
pub mod setup;
pub mod shape;
pub mod view;

/// Is the table there?
macro_rules! log_exists {
    () => {
        "to_regclass('sync_changes') IS NOT NULL"
    };
}

/// May the role of this transaction read the table and append to it?
macro_rules! may_read_and_write {
    () => {
        "has_table_privilege('sync_changes', 'SELECT') AND has_table_privilege('sync_changes', 'INSERT')"
    };
}

pub(in crate::store) use {log_exists, may_read_and_write};

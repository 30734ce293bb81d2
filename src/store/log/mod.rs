//! Every statement on mana-sync's table, and nothing else: read a user's missions and the records that they link,
//! append our row, and the view through which the schedule follows the log.

pub mod append;
mod change_row;
mod held;
pub mod kept;
pub(in crate::store) mod keys;
pub mod linked;
mod older;
mod open;
pub mod read;
mod rounds;
mod row;
pub mod schedule_fields;
pub mod seen;
pub mod setup;
pub mod shape;

/// The oid of the table, or SQL's NULL. From the catalogs, which everybody may read: a name is looked up only for who may
/// use its schema.
macro_rules! log_oid {
    () => {
        "(SELECT oid FROM pg_class WHERE relname = 'sync_changes' AND relnamespace = to_regnamespace('public'))"
    };
}

/// May the role of this transaction read the table and append to it?
macro_rules! may_read_and_write {
    () => {
        "has_table_privilege('public.sync_changes', 'SELECT') AND has_table_privilege('public.sync_changes', 'INSERT')"
    };
}

pub(in crate::store) use {log_oid, may_read_and_write};

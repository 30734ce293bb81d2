//! The shape of mana-sync's table. Its generations name the same content differently, and a database has
//! one of them: what differs is one value, from which the statements are made.

use sqlx::AssertSqlSafe;

use crate::domain::iteration::{Actor, MISSION_RUNNER};

/// What differs between the generations of mana-sync's table.
#[derive(Debug)]
pub struct Shape {
    /// The generation's name, for operators.
    pub name: &'static str,
    /// The column with the clock of each field.
    pub clocks: &'static str,
    /// The `actor` of our row.
    pub actor: Actor,
}

/// The table of April's mana-sync.
pub static APRIL: Shape = Shape { name: "april", clocks: "field_timestamps", actor: MISSION_RUNNER };

impl Shape {
    /// The statement that `template` is for this shape: `{clocks}` becomes the column's name. Only names that
    /// are constants of this file get into it.
    pub(super) fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.text(template))
    }

    /// The same as text, to be printed or to become part of a longer one.
    pub(super) fn text(&self, template: &str) -> String {
        template.replace("{clocks}", self.clocks)
    }
}

//! Which tables a mission can link, and how their records become lines. A row here is all that a module needs.

use super::text::Line::{
    self, Body, Checklist, Done, Inline, Moment, Progress, Section, TimeBlock, Title, Word,
};

/// A table of another app, and what is read of it.
#[derive(Debug)]
pub struct Table {
    /// `app_id` in the log.
    pub app: &'static str,
    /// `table_name` in the log.
    pub name: &'static str,
    /// The fields that are read. [`DELETED_AT`] is always among them.
    pub fields: &'static [&'static str],
}

/// A module as a link names it.
#[derive(Debug)]
pub struct Module {
    /// `module` of the link. Its `table` is the table's name.
    pub name: &'static str,
    /// What one record is called in the prompt.
    pub german: &'static str,
    /// Where its records are.
    pub table: Table,
    /// How a record becomes text, from its first line to its last.
    pub lines: &'static [Line],
}

/// The field of a soft delete.
pub const DELETED_AT: &str = "deletedAt";

/// Every module that can be linked (today's `kontext` has several documents, April's has one, `singleton`).
pub static MODULES: [Module; 7] = [
    Module {
        name: "notes",
        german: "Notiz",
        table: Table { app: "notes", name: "notes", fields: &["title", "content", DELETED_AT] },
        lines: &[Title("title"), Body("content")],
    },
    Module {
        name: "kontext",
        german: "Kontext",
        table: Table { app: "kontext", name: "kontextDoc", fields: &["content", DELETED_AT] },
        lines: &[Body("content")],
    },
    Module {
        name: "goals",
        german: "Ziel",
        table: Table {
            app: "companion",
            name: "companionGoals",
            fields: &["title", "currentValue", "target", "metric", "status", DELETED_AT],
        },
        lines: &[
            Title("title"),
            Progress { current: "currentValue", target: "target" },
            Inline("Gemessen an", "metric"),
            Word("Stand", "status", &GOAL_STATES),
        ],
    },
    Module {
        name: "todo",
        german: "Aufgabe",
        table: Table {
            app: "todo",
            name: "tasks",
            fields: &["title", "description", "dueDate", "isCompleted", "priority", "subtasks", DELETED_AT],
        },
        lines: &[
            Title("title"),
            Done("isCompleted"),
            Moment("Fällig", "dueDate"),
            Word("Priorität", "priority", &PRIORITIES),
            Body("description"),
            Checklist("Teilaufgaben", "subtasks"),
        ],
    },
    Module {
        name: "calendar",
        german: "Termin",
        table: Table {
            app: "calendar",
            name: "events",
            fields: &["title", "description", "location", "timeBlockId", DELETED_AT],
        },
        lines: &[Title("title"), TimeBlock("timeBlockId"), Inline("Ort", "location"), Body("description")],
    },
    Module {
        name: "journal",
        german: "Tagebucheintrag",
        table: Table { app: "journal", name: "journalEntries", fields: &["title", "content", DELETED_AT] },
        lines: &[Title("title"), Body("content")],
    },
    Module {
        name: "profile",
        german: "Profil",
        table: Table {
            app: "profile",
            name: "userContext",
            fields: &[
                "about",
                "interests",
                "routine",
                "nutrition",
                "leisure",
                "goals",
                "social",
                "freeform",
                DELETED_AT,
            ],
        },
        lines: &[
            Section("Über mich", "about"),
            Section("Interessen", "interests"),
            Section("Tagesablauf", "routine"),
            Section("Ernährung", "nutrition"),
            Section("Freizeit", "leisure"),
            Section("Ziele", "goals"),
            Section("Soziales", "social"),
            Body("freeform"),
        ],
    },
];

/// Where an event keeps its times. It is read by the `timeBlockId` of a linked event alone; no link can name it.
pub static TIME_BLOCKS: Table =
    Table { app: "timeblocks", name: "timeBlocks", fields: &["startDate", "endDate", DELETED_AT] };

const GOAL_STATES: [(&str, &str); 4] =
    [("active", "aktiv"), ("paused", "pausiert"), ("completed", "erreicht"), ("abandoned", "aufgegeben")];
const PRIORITIES: [(&str, &str); 4] =
    [("low", "niedrig"), ("medium", "mittel"), ("high", "hoch"), ("urgent", "dringend")];

/// Every table that is read beside the missions: what the policy lets the service see.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    MODULES.iter().map(|module| &module.table).chain([&TIME_BLOCKS])
}

/// The module that a link names.
pub fn find(name: &str, table: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name && module.table.name == table)
}

impl Module {
    /// The field with the id of a record's time block, where its records have one.
    pub fn time_block_field(&self) -> Option<&'static str> {
        self.lines.iter().find_map(|line| if let TimeBlock(field) = line { Some(*field) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_a_line_is_read_and_nothing_else() {
        for Module { name, table, lines, .. } in &MODULES {
            let mut shown: Vec<&str> = lines.iter().flat_map(Line::fields).collect();
            shown.push(DELETED_AT);
            let mut read = table.fields.to_vec();
            shown.sort_unstable();
            read.sort_unstable();
            assert_eq!(shown, read, "{name}");
        }
    }
}

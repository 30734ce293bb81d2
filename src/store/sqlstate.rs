//! What an answer of the server means, by its SQLSTATE: whose fault it is, and which of its words may be repeated.
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html> lists the codes.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::Blame;

/// Classes of codes that the server gives for itself: the connection, a transaction that it ended or that may not write,
/// the login, the database's name, its resources, an operator, its disk, its configuration.
const OF_THE_SERVER: [&str; 8] = ["08", "25", "28", "3D", "53", "57", "58", "F0"];

/// Classes of codes whose message names objects of the schema at most, and never a value: those of the server, and
/// constraints, conflicts, names and privileges, prepared statements, limits, the state of an object, features.
const WITHOUT_DATA: [&str; 16] =
    ["08", "0A", "23", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "F0"];

/// Who can mend what a statement on a mission's rows failed with. A trigger chooses its code freely, so whatever the
/// server is not known to say of itself belongs to the mission: nobody else may wait for it.
pub(super) fn blame(error: &sqlx::Error) -> Blame {
    match code(error).as_deref() {
        // Serialization failure, deadlock, lock timeout.
        Some("40001" | "40P01" | "55P03") => Blame::Conflict,
        Some(code) if is_of_a_pooler(code) => Blame::Database,
        // The statement timeout: this mission's rows are too many.
        Some("57014") => Blame::Mission,
        Some(code) if ["0A", "42"].contains(&&code[..2]) => Blame::Refusal,
        Some(code) if OF_THE_SERVER.contains(&&code[..2]) => Blame::Database,
        Some(_) => Blame::Mission,
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => {
                Blame::Mission
            }
            _ => Blame::Database,
        },
    }
}

/// What somebody may have to set where statements are not those that we prepared.
const POOLER_HINT: &str =
    ": where a pooler in transaction mode stands before the database, set DATABASE_POOLER=transaction";

/// Is a prepared statement there already, or not there? Each connection to the server names its own, so only a pooler
/// that hands them around mixes them up.
fn is_of_a_pooler(code: &str) -> bool {
    matches!(code, "42P05" | "26000")
}

/// Is it an answer to a statement, and not the end of the connection? The code does not tell: a trigger may raise the one
/// of a shutdown, or pass on that of a server which it asks. FATAL and PANIC are the server's own words. So is that it
/// takes no writes, unless a function says it.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let is_read_only = code(error).as_deref() == Some("25006") && !is_of_a_function(error);
    !is_read_only && answer(error).is_some_and(|answer| answer.severity() == PgSeverity::Error)
}

/// The error as it may be logged and stored: with the server's words where they cannot hold anything of a row, else with
/// the code alone.
pub(super) fn told(error: &sqlx::Error) -> String {
    match (error.as_database_error(), code(error)) {
        (Some(answer), Some(code)) if WITHOUT_DATA.contains(&&code[..2]) && !is_of_a_function(error) => {
            let hint = if is_of_a_pooler(&code) { POOLER_HINT } else { "" };
            format!("{} (SQLSTATE {code}){hint}", answer.message())
        }
        (Some(_), Some(code)) => format!("it refused the data (SQLSTATE {code})"),
        (Some(_), None) => "it refused the data (no SQLSTATE)".to_owned(),
        (None, _) => error.to_string(),
    }
}

/// Did a function raise it, such as a trigger? It chooses the message as freely as the code. Postgres translates the
/// context, but not the names of the languages: PL/pgSQL, PL/Python, PL/Perl.
fn is_of_a_function(error: &sqlx::Error) -> bool {
    answer(error).and_then(PgDatabaseError::r#where).is_some_and(|context| context.contains("PL/"))
}

fn answer(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// The SQLSTATE of the server's answer, where there is one: five ASCII characters.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?.into_owned();
    (code.len() == 5 && code.is_ascii()).then_some(code)
}

//! Printing the answer of a command.
//!
//! `println!` panics where nobody reads any more, as in `mana-ai check | head -1`. Here a closed pipe is no error: its
//! reader has seen what it wanted. Any other failure, such as a full disk, is one.

use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;

use super::Failure;

/// Prints to standard output, with a line's end.
pub fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints indented JSON to standard output.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    Ok(line(&serde_json::to_string_pretty(value)?)?)
}

/// Prints a list as indented JSON, element by element, so that never two are held.
pub struct List {
    printed: usize,
    failure: Option<Failure>,
}

impl List {
    /// Before the first element. Prints nothing yet.
    pub fn begin() -> Self {
        Self { printed: 0, failure: None }
    }

    /// Prints the next element.
    pub fn item(&mut self, value: &impl Serialize) {
        if self.failure.is_none() {
            self.failure = self.print(value).err();
        }
    }

    fn print(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)?.replace('\n', "\n  ");
        bytes(if self.printed == 0 { "[\n  " } else { ",\n  " }.as_bytes())?;
        self.printed += 1;
        Ok(bytes(text.as_bytes())?)
    }

    /// Was there no element?
    pub fn is_empty(&self) -> bool {
        self.printed == 0 && self.failure.is_none()
    }

    /// Prints the end of the list.
    pub fn end(self) -> Result<(), Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(line(if self.printed == 0 { "[]" } else { "\n]" })?),
        }
    }
}

/// Prints to standard output as it is.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a line to standard error. That nobody reads it changes nothing for the caller.
pub fn error_line(text: &str) {
    let _ = writeln!(io::stderr(), "mana-ai: {text}");
}

//! How the demo speaks: numbered steps, in colour where a person is watching.

use std::io::Write as _;

use owo_colors::OwoColorize as _;
use serde_json::Value;

/// As `println!`, which panics where nobody reads any more, as in `mana-ai demo | head -1`.
macro_rules! println {
    ($($text:tt)*) => {
        let _ = writeln!(anstream::stdout(), $($text)*);
    };
}

pub(super) fn title(text: &str) {
    println!("{}", text.bold());
}

pub(super) fn step(number: u32, text: &str) {
    println!("\n{} {}", format!("{number}.").cyan().bold(), text.bold());
}

pub(super) fn fact(text: &str) {
    println!("   {text}");
}

pub(super) fn detail(text: &str) {
    println!("   {}", text.dimmed());
}

pub(super) fn quote(text: &str, lines: usize) {
    for line in text.lines().take(lines) {
        println!("   {} {}", "│".dimmed(), line.dimmed());
    }
    let more = text.lines().count().saturating_sub(lines);
    if more > 0 {
        detail(&format!("│ … {more} more lines"));
    }
}

pub(super) fn json(label: &str, value: &Value) {
    println!("   {label} {}", format!("{value:#}").replace('\n', "\n   ").yellow());
}

pub(super) fn done(text: &str) {
    println!("\n{}", text.green().bold());
}

pub(super) fn keep(address: &str, database_url: &str) {
    println!("\nService and database stay up until Ctrl-C. Try in another terminal:");
    fact(&format!(
        "export MANA_SERVICE_KEY=${{MANA_SERVICE_KEY:-{}}} DATABASE_URL='{database_url}'",
        super::SERVICE_KEY
    ));
    fact(&format!("curl -s {address}/health"));
    fact(&format!("curl -s {address}/ready"));
    fact(&format!("curl -s -X POST -H \"X-Service-Key: $MANA_SERVICE_KEY\" {address}/internal/tick"));
    fact("psql \"$DATABASE_URL\" -c 'SELECT * FROM mana_ai.mission_schedule'");
    fact(&format!("cargo run -q -- inspect --user {}", super::USER));
}

pub(super) fn page(url: &str) {
    println!("\n{} {}", "The inbox, as a device of this demo's user:".green().bold(), url.bold());
    detail("another user's device: ?user=name; a second device of the same user: a private window");
}

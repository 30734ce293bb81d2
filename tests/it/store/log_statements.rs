//! Every statement on mana-sync's table stands in `src/store/log/`: one place to change for another shape of it.

use std::path::{Path, PathBuf};

/// What stands before or around the table's name in SQL; in a sentence for an operator none of them does.
const IN_SQL: [&str; 7] = [
    "from sync_changes",
    "into sync_changes",
    "join sync_changes",
    "update sync_changes",
    "on sync_changes",
    "exists sync_changes",
    "'sync_changes'",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "sql") {
            found.push(path);
        }
    }
}

/// Lines that are statements on the table, whether they name its schema or not.
fn statements(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.trim_start().starts_with("--"));
    let words = |line: &str| line.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let found = code.map(words).filter(|line| is_statement(&line.replace("public.", "")));
    found.collect()
}

fn is_statement(line: &str) -> bool {
    IN_SQL.iter().any(|sql| line.contains(sql))
}

#[test]
fn the_log_is_read_and_written_in_one_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut inside, mut outside, mut unqualified) = (0, Vec::new(), Vec::new());
    for file in files {
        let found = statements(&std::fs::read_to_string(&file).unwrap());
        let path = file.strip_prefix(&root).unwrap();
        if path.starts_with("store/log") {
            inside += found.len();
            // The search path of our transactions finds the catalogs alone. A name of the catalogs is in quotes.
            let bare = found.into_iter().filter(|line| is_statement(&line.replace("'sync_changes'", "")));
            unqualified.extend(bare.map(|line| format!("{}: {line}", path.display())));
        } else if !path.starts_with("demo") {
            // The demo plays the device and mana-sync, whose table it is.
            outside.extend(found.into_iter().map(|line| format!("{}: {line}", path.display())));
        }
    }
    assert!(inside >= 8, "the search finds those that there are: {inside}");
    assert_eq!(outside, Vec::<String>::new());
    assert_eq!(unqualified, Vec::<String>::new());
}

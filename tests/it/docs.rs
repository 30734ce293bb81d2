//! The texts name files, tests and variables that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A path in a text is one if it begins with one of these.
const FOLDERS: [&str; 9] =
    ["src/", "tests/", "docs/", "ops/", "benches/", "fuzz/", "migrations/", "web/", ".ci/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, CLAUDE.md and docs/*.md.
fn texts() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    [root().join("README.md"), root().join("CLAUDE.md")].into_iter().chain(docs).collect()
}

/// All files below a folder of the repository, without what a build puts there.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            found.push(path);
        } else if !["target", "node_modules", "corpus"].iter().any(|built| path.ends_with(built)) {
            found.extend(files(path.strip_prefix(root()).unwrap().to_str().unwrap()));
        }
    }
    found
}

/// What stands between backticks on one line; blocks of code are left out.
fn code_spans(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !fence && !in_block
    });
    prose.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Words that look like a path of this repository. Patterns, such as `docs/*.md`, are none.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || "`()[]\"',;:|<>=$#".contains(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    words.filter(|word| {
        FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '{', '…'])
    })
}

/// Targets of links to files, without the part behind `#`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// `room::file::name`: a function. A type has a capital.
fn is_function_path(span: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    span.contains("::") && span.split("::").all(is_name)
}

/// `MAX_ATTEMPTS`: a variable or a constant.
fn is_variable(span: &str) -> bool {
    span.contains('_') && span.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Every test of `src/` and `tests/` as `::room::file::name`, which is how `cargo test` names it. In `proptest!` too a
/// test has `#[test]`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in ["src", "tests"]
        .into_iter()
        .flat_map(files)
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
    {
        let file = path.strip_prefix(root()).unwrap().with_extension("");
        let rooms: Vec<_> = file.iter().map(|room| room.to_str().unwrap()).collect();
        let rooms = rooms.iter().filter(|room| !["src", "tests", "it", "mod"].contains(room));
        let rooms: String = rooms.map(|room| format!("::{room}")).collect();
        let text = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, signature)) =
                line.split_once("fn ").filter(|_| std::mem::take(&mut is_test))
            {
                let name: String =
                    signature.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.insert(format!("{rooms}::{name}"));
            }
        }
    }
    found
}

/// All that a variable could be named in.
fn code() -> String {
    let folders = ["src", "tests", "benches", "ops", ".ci"].into_iter().flat_map(files);
    let beside = [".env.example", "Dockerfile"].map(|name| root().join(name));
    folders.chain(beside).filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// A rename that forgets the texts fails here.
#[test]
fn what_the_texts_name_exists() {
    let (tests, code) = (tests(), code());
    let mut missing = Vec::new();
    for file in texts() {
        let text = fs::read_to_string(&file).unwrap();
        let mut expect = |exists: bool, name: &str| {
            if !exists {
                missing.push(format!("{}: {name}", file.file_name().unwrap().display()));
            }
        };
        paths(&text).for_each(|path| expect(root().join(path).exists(), path));
        links(&text).for_each(|target| expect(file.parent().unwrap().join(target).exists(), target));
        for span in code_spans(&text) {
            let is_known = |known: &String| known.ends_with(&format!("::{span}"));
            expect(!is_function_path(span) || tests.iter().any(is_known), span);
            expect(!is_variable(span) || code.contains(span), span);
        }
    }
    assert_eq!(missing, [""; 0]);
}

/// So that the test above can fail.
#[test]
fn names_in_a_text_are_found() {
    let text = "See `src/gone.rs`, [page](gone.md#part) and `leases::gone`, with `GONE_MS` for docs/*.md.\n\
        ```sh\ncat `not::a_test`\n```\nThen docs/gone.md.";
    assert_eq!(paths(text).collect::<Vec<_>>(), ["src/gone.rs", "docs/gone.md"]);
    assert_eq!(links(text).collect::<Vec<_>>(), ["gone.md"]);
    let spans = code_spans(text);
    assert_eq!(spans, ["src/gone.rs", "leases::gone", "GONE_MS"]);
    assert_eq!(spans.iter().map(|span| is_function_path(span)).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(spans.iter().map(|span| is_variable(span)).collect::<Vec<_>>(), [false, false, true]);
    assert!(!is_function_path("Store::transaction") && !is_function_path("kills::"));
    let tests = tests();
    assert!(tests.contains("::docs::names_in_a_text_are_found") && !tests.contains("::docs::code"));
}

/// Compose fills in every variable of a file, also those of services that it is not to start: one that must be set keeps
/// all of them down. And it prefixes the name of a network, unless the file names it.
#[test]
fn mana_ai_starts_alone_on_the_network_of_the_readme() {
    let read = |path| std::fs::read_to_string(root().join(path)).unwrap();
    let compose = read("ops/compose.yaml");
    assert!(compose.contains("\n  mana-ai:\n") && !compose.contains(":?"), "{compose}");
    assert!(compose.contains("\n  mana: { name: mana }\n") && read("README.md").contains("--network mana "));
}

//! The order of the rooms: which room of `src/` may import which, and no circle among files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may import. A room may only name rooms above it, so there is no circle among rooms.
/// `demo` and the binary (`main.rs`, `cli/`) stand outside: they use what they like, and nothing imports them.
const ROOMS: [(&str, &[&str]); 14] = [
    ("domain", &[]),
    ("http_client", &[]),
    ("inputs", &["domain"]),
    ("planner", &["domain", "inputs"]),
    ("config", &[]),
    ("telemetry", &["config", "http_client"]),
    ("store", &["domain", "inputs"]),
    ("metrics", &["domain", "store"]),
    ("llm", &["domain", "planner", "http_client", "config", "telemetry", "metrics"]),
    ("attempt", &["domain", "inputs", "planner", "telemetry", "store", "metrics", "llm"]),
    ("runner", &["domain", "telemetry", "store", "metrics", "llm", "attempt"]),
    ("ops", &["domain", "inputs", "planner", "config", "store", "llm"]),
    ("http", &["domain", "telemetry", "store", "metrics", "runner", "ops"]),
    ("app", &["config", "telemetry", "store", "metrics", "llm", "attempt", "runner", "http"]),
];
const OUTSIDE: [&str; 4] = ["demo", "main", "lib", "cli"];

/// Module path of a file, such as `["store", "log", "read"]`, and what it imports, of this crate alone.
struct File {
    module: Vec<String>,
    imports: Vec<Vec<String>>,
}

fn files() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut folders) = (Vec::new(), vec![src.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&src, &path));
            }
        }
    }
    assert!(found.len() > 50, "this reads src/");
    found
}

fn read(src: &Path, path: &Path) -> File {
    let inner: PathBuf = path.strip_prefix(src).unwrap().with_extension("");
    let mut module: Vec<String> = inner.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| last == "mod");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let imports = imports(&code.join(" "), &module);
    File { module, imports }
}

/// The crate's own paths in `use …;` and in the code, without the leading `crate`.
fn imports(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (keyword, paths) in [("use ", true), ("crate::", false)] {
        for (at, _) in code.match_indices(keyword) {
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
            {
                continue;
            }
            let rest = &code[at + if paths { keyword.len() } else { 0 }..];
            let end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
            let path = if paths { rest.split(';').next() } else { rest.split(end).next() };
            flatten(path.unwrap(), &mut Vec::new(), &mut found);
        }
    }
    found.into_iter().filter_map(|path| absolute(path, module)).collect()
}

/// `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn flatten(tree: &str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (head, group) = tree.split_once('{').map_or((tree, None), |(head, rest)| {
        (head, Some(rest.rsplit_once('}').map_or(rest, |(inner, _)| inner)))
    });
    let head = head.split(" as ").next().unwrap();
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let before = prefix.len();
    prefix.extend(parts);
    match group {
        None => found.push(prefix.clone()),
        Some(group) => members(group).into_iter().for_each(|member| flatten(member, prefix, found)),
    }
    prefix.truncate(before);
}

/// Splits at the commas that are in no braces.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&group[start..]);
    all.into_iter().filter(|member| !member.trim().is_empty()).collect()
}

fn absolute(path: Vec<String>, module: &[String]) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" | "self" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let rest = path.iter().skip_while(|part| *part == "super" || *part == "self").cloned();
            Some(module[..module.len().checked_sub(up)?].iter().cloned().chain(rest).collect())
        }
        _ => None,
    }
}

#[test]
fn a_room_imports_only_rooms_before_it() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    for (place, (room, imports)) in ROOMS.iter().enumerate() {
        for import in *imports {
            assert!(ROOMS[..place].iter().any(|(before, _)| before == import), "{room} names {import}");
        }
    }
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for file in files() {
        let room = file.module[0].as_str();
        let Some(allowed) = allowed.get(room) else {
            assert!(OUTSIDE.contains(&room), "src/{room} has no place in ROOMS");
            continue;
        };
        for import in file.imports {
            let Some(target) = import.first().map(String::as_str) else { continue };
            if target != room && !allowed.contains(&target) {
                faults.push(format!("{} imports {}", file.module.join("::"), import.join("::")));
            }
            used.insert((room.to_owned(), target.to_owned()));
        }
    }
    for (room, imports) in ROOMS {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(
            src.join(room).is_dir() || src.join(room).with_extension("rs").is_file(),
            "src/{room} is no room"
        );
        let unused =
            imports.iter().filter(|import| !used.contains(&(room.to_owned(), (**import).to_owned())));
        faults.extend(unused.map(|import| format!("{room} may import {import}, and nothing in it does")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A module and those inside it count as one here: a child may use what its parent defines.
#[test]
fn files_import_in_no_circle() {
    let files = files();
    let known: BTreeSet<&[String]> = files.iter().map(|file| file.module.as_slice()).collect();
    let owner = |path: &[String]| {
        (1..=path.len()).rev().map(|n| &path[..n]).find(|path| known.contains(path)).map(<[_]>::to_vec)
    };
    let mut graph: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.module[0] != "main") {
        let targets = file.imports.iter().filter_map(|path| owner(path));
        let apart =
            |target: &Vec<String>| !target.starts_with(&file.module) && !file.module.starts_with(target);
        graph.insert(file.module.clone(), targets.filter(apart).collect());
    }
    assert!(graph.values().any(|targets| !targets.is_empty()), "this finds imports");
    // Takes away files that import none of those left, or that none of those left imports, until nothing changes. Such
    // a file is in no circle.
    loop {
        let imported: BTreeSet<Vec<String>> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|file, targets| !targets.is_empty() && imported.contains(file));
        let left: BTreeSet<Vec<String>> = graph.keys().cloned().collect();
        graph.values_mut().for_each(|targets| targets.retain(|target| left.contains(target)));
        if graph.len() == before {
            break;
        }
    }
    let left: Vec<String> = graph
        .iter()
        .map(|(file, targets)| {
            let targets: Vec<String> = targets.iter().map(|target| target.join("::")).collect();
            format!("{} imports {}", file.join("::"), targets.join(", "))
        })
        .collect();
    assert!(left.is_empty(), "a circle among:\n{}", left.join("\n"));
}

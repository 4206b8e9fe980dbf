//! Who may import whom, read off the sources.

use std::{fs, path::Path};

/// Each room, and the rooms that it may import.
///
/// `telemetry` is open to whoever has something to count: it imports nothing, so nothing is reached by it.
const ROOMS: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("sandbox", &[]),
    ("zia", &["model", "telemetry"]),
    ("store", &["model"]),
    ("directory", &["zia", "store", "model"]),
    ("lifecycle", &["zia", "directory", "store", "model", "telemetry"]),
    ("mcp", &["lifecycle", "model", "telemetry"]),
    ("http", &["mcp", "lifecycle", "model", "private_file", "telemetry"]),
    ("config", &["zia", "store", "lifecycle", "http", "model", "telemetry", "private_file"]),
    ("telemetry", &[]),
    ("private_file", &[]),
];

/// Every top-level module, so that a new one cannot stand outside the table.
const OUTSIDE: [&str; 3] = ["cli", "lib", "main"];

fn sources(room: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join(format!("{room}.rs"))];
    let mut folders = vec![src.join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.into_iter().map(|p| (p.display().to_string(), fs::read_to_string(p).unwrap())).collect()
}

/// The rooms that a source names: `crate::room` and the rooms of a `use crate::{…}`.
fn imports(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut name, mut fresh) = (0, String::new(), true);
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.extend((!name.is_empty()).then(|| std::mem::take(&mut name)));
                        fresh = true;
                    }
                    c if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') => name.push(c),
                    _ if !name.is_empty() => {
                        found.push(std::mem::take(&mut name));
                        fresh = false;
                    }
                    _ => {}
                }
            }
            found.extend((!name.is_empty()).then_some(name));
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

#[test]
fn every_room_imports_only_what_its_place_allows() {
    let rooms: Vec<_> = ROOMS.iter().map(|(r, _)| *r).collect();
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        for (path, source) in sources(room) {
            for import in imports(&source) {
                let other = rooms.contains(&import.as_str()) || import == "cli";
                if other && import != room && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{path} imports {import}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_top_level_module_has_a_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let known = ROOMS.iter().any(|(r, _)| *r == name) || OUTSIDE.contains(&name.as_str());
        assert!(known, "src/{name} is in no room");
    }
}

#[test]
fn only_the_store_mints_a_permit_to_send() {
    for (room, _) in ROOMS {
        for (path, source) in sources(room) {
            let mints = source.contains("SendPermit for");
            let test_only = source.find("SendPermit for") > source.find("#[cfg(test)]")
                && source.contains("#[cfg(test)]");
            assert!(!mints || room == "store" || test_only, "{path} implements SendPermit");
        }
    }
}

#[test]
fn only_three_files_send() {
    for (room, _) in ROOMS.iter().filter(|(r, _)| !matches!(*r, "sandbox")) {
        for (path, source) in sources(room) {
            let sends = source.contains("disallowed_methods") && source.contains("reqwest");
            let allowed = ["zia/send.rs", "http/fetch.rs", "telemetry/collector.rs"]
                .iter()
                .any(|file| path.ends_with(file));
            assert!(!sends || allowed, "{path} may send");
        }
    }
}

#[test]
fn the_import_reader_sees_nested_lists() {
    let source =
        "use crate::{\n    model::{A, B},\n    zia,\n    store::{self, C},\n};\nfn f() { crate::http::g() }";
    assert_eq!(imports(source), ["model", "zia", "store", "http"]);
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    for (room, _) in ROOMS.iter().chain(&[("cli", &[] as &[&str]), ("main", &[]), ("lib", &[])]) {
        for (path, source) in sources(room) {
            let lines = source.lines().count();
            assert!(lines <= 400, "{path} has {lines} lines");
        }
    }
}

//! The rules of the house that a compiler cannot express: which crate may know which, what a
//! crate without the standard library may depend on, and how files look.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates that hold one family of protocols: synchronous machines that never meet each other.
const FAMILIES: &[&str] = &["bittorrent", "compute", "dht", "freenet", "ledger", "search", "voice"];

/// Arrows between crates that are not families; `*` stands for every family.
const ARROWS: &[(&str, &[&str])] = &[
    ("machine", &[]),
    ("codec", &[]),
    ("hash", &[]),
    ("net", &["hash", "machine", "codec", "*"]),
    ("sim", &["machine"]),
    ("lab", &["sim", "machine", "codec", "*"]),
    ("node", &["net", "lab", "hash", "machine", "codec", "*"]),
    ("shoal", &["node", "lab", "net", "machine", "codec", "*"]),
];

/// What every family may know of the workspace.
const FAMILY_ARROWS: &[&str] = &["machine", "codec"];

/// Dependencies from outside that a `no_std` crate may have, because they are `no_std` too.
const NO_STD_DEPENDENCIES: &[&str] = &[
    "crc32fast",
    "crypto-bigint",
    "ed25519-dalek",
    "hashbrown",
    "icu_normalizer",
    "idna",
    "miniz_oxide",
    "sha1",
    "sha2",
    "thiserror",
];

/// What no program text may hold, and why. Split in two so that this file may.
const BANNED: &[(&str, &str, &str)] = &[
    ("todo", "!(", "finish it, or do not begin it"),
    ("unimplemented", "!(", "finish it, or do not begin it"),
    ("thread::", "sleep", "wait for the event instead"),
];

const LINES_MAX: usize = 700;

/// One entry of a manifest's dependency tables.
struct Dependency {
    name: String,
    /// Whether it is only for tests and benchmarks.
    dev: bool,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The workspace's crates by the names of their folders.
fn crates() -> BTreeMap<String, PathBuf> {
    let crates: BTreeMap<_, _> = fs::read_dir(workspace().join("crates"))
        .expect("the crates")
        .map(|entry| entry.expect("an entry of the folder"))
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| (entry.file_name().into_string().expect("a plain name"), entry.path()))
        .collect();
    assert!(crates.len() >= 5, "found only {:?}", crates.keys());
    crates
}

/// The dependencies of a manifest, build and target ones included.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut table = String::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut table);
            if let Some((kind, name)) = table.split_once("dependencies.") {
                found.push(Dependency { name: name.to_owned(), dev: kind.contains("dev-") });
            }
        } else if table.ends_with("dependencies") && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
            found.push(Dependency { name: name.to_owned(), dev: table.contains("dev-") });
        }
    }
    found
}

/// What `name` may depend on within the workspace.
fn allowed(name: &str) -> Vec<&'static str> {
    if FAMILIES.contains(&name) {
        return FAMILY_ARROWS.to_vec();
    }
    let (_, arrows) = ARROWS
        .iter()
        .find(|(from, _)| *from == name)
        .unwrap_or_else(|| panic!("{name} has no place in the table of arrows: give it one"));
    let named = arrows.iter().copied().filter(|to| *to != "*");
    let families = FAMILIES.iter().copied().filter(|_| arrows.contains(&"*"));
    named.chain(families).collect()
}

#[test]
fn crates_know_only_those_below_them() {
    let crates = crates();
    let mut wrong = Vec::new();
    for (name, folder) in &crates {
        let allowed = allowed(name);
        for dependency in dependencies(&read(&folder.join("Cargo.toml"))) {
            let to = dependency.name.strip_prefix("shoal-").unwrap_or(&dependency.name);
            // Tests of a machine may run it in the simulator.
            let tested = dependency.dev && to == "sim";
            if crates.contains_key(to) && !allowed.contains(&to) && !tested {
                wrong.push(format!("{name} -> {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the design does not have: {wrong:?}");
}

#[test]
fn machines_do_without_the_standard_library() {
    let manifest = read(&workspace().join("Cargo.toml"));
    let mut wrong = Vec::new();
    for (name, folder) in crates() {
        if name != "machine" && name != "codec" && !FAMILIES.contains(&name.as_str()) {
            continue;
        }
        let root = read(&folder.join("src/lib.rs"));
        if !root.lines().any(|line| line == "#![no_std]") {
            wrong.push(format!("{name} does not declare no_std"));
        }
        for Dependency { name: to, .. } in
            dependencies(&read(&folder.join("Cargo.toml"))).iter().filter(|to| !to.dev)
        {
            if allowed(&name).contains(&to.as_str()) {
                continue;
            }
            let declared = manifest.lines().find(|line| line.starts_with(&format!("{to} =")));
            let bare = declared.is_some_and(|line| {
                line.contains("default-features = false") && !line.contains("\"std\"")
            });
            if !NO_STD_DEPENDENCIES.contains(&to.as_str()) || !bare {
                wrong.push(format!("{name} -> {to}, which may need std"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every Rust file of the workspace with its text, fuzz targets included.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![workspace().join("crates"), workspace().join("fuzz")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = read(&path);
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 20, "found only {} files", files.len());
    files.sort();
    files
}

#[test]
fn files_say_what_lives_in_them_and_stay_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//! ") {
            wrong.push(format!("{}: does not open with `//! `", path.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, above {LINES_MAX}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn programs_hold_no_banned_words() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !path.components().any(|part| part.as_os_str() == "src") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (head, tail, why) in BANNED {
                if line.contains(&[*head, *tail].concat()) {
                    wrong.push(format!("{}:{}: {head}{tail}: {why}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn dependency_tables_are_read_in_every_spelling() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = \"1\"\n\
                    # c = \"1\"\n[target.'cfg(unix)'.dependencies]\nd = { path = \"d\" }\n\
                    [dependencies.e]\nversion = \"1\"\n[dev-dependencies]\nf = \"1\"\n";
    let found: Vec<_> =
        dependencies(manifest).into_iter().map(|entry| (entry.name, entry.dev)).collect();
    let expected = [("a", false), ("b", false), ("d", false), ("e", false), ("f", true)];
    assert_eq!(found, expected.map(|(name, dev)| (name.to_owned(), dev)));
}

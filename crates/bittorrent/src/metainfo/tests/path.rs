//! Names on disk.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use proptest::prelude::*;

use super::super::path::{MAX_ELEMENT_LEN, MAX_PATH_LEN, assign, sanitize};
use super::*;

/// The places that files with these paths get in a folder `f`.
fn places(paths: &[&[&str]]) -> Vec<String> {
    let path = |path: &&[&str]| path.iter().map(ToString::to_string).collect();
    let mut files: Vec<_> = paths.iter().map(|p| File::new(path(p), 0, 1)).collect();
    assign(&mut files, Some("f"), "_");
    files.iter().map(|file| file.disk_path.join("/")).collect()
}

#[test]
fn odd_names_become_safe_ones() {
    let table = [
        ("plain.txt", "plain.txt"),
        ("ünï çødé 日本", "ünï çødé 日本"),
        (" leading", " leading"),
        (".hidden", ".hidden"),
        ("a/b\\c", "a_b_c"),
        ("nul\0byte", "nul_byte"),
        ("line\nbreak\u{7f}\u{85}", "line_break__"),
        ("trailing. . ", "trailing"),
        ("C:", "C_"),
        ("C:\\x", "C__x"),
        ("c:.", "c_"),
        ("\u{202e}c:\\", "c__"),
        ("M: the film", "M: the film"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("aux.c", "_aux.c"),
        ("Com1", "_Com1"),
        ("LPT².x", "_LPT².x"),
        ("nul .txt", "_nul .txt"),
        ("console", "console"),
        ("com10", "com10"),
        ("com", "com"),
        ("gpj\u{202e}exe.scr", "gpjexe.scr"),
        ("CON\u{200f}", "_CON"),
        ("\u{202e}", "x"),
        ("..\u{202e}", "x"),
        ("", "x"),
        (".", "x"),
        ("..", "x"),
        ("...", "x"),
        (" ", "x"),
    ];
    for (name, expected) in table {
        let expected = if cfg!(windows) { expected.replace("M:", "M_") } else { expected.into() };
        assert_eq!(sanitize(name, "x"), expected, "{name:?}");
    }
}

#[test]
fn to_05_long_names_are_cut_at_a_character_and_keep_their_extension() {
    let name = format!("{}.tar.zst", "ä".repeat(2500));
    let cut = sanitize(&name, "x");
    assert!(cut.len() <= MAX_ELEMENT_LEN && cut.len() > MAX_ELEMENT_LEN - 2);
    assert!(cut.ends_with("ä.zst") || cut.ends_with(".tar.zst"));
    let long = "y".repeat(5000);
    assert_eq!(sanitize(&long, "x").len(), MAX_ELEMENT_LEN);
    assert_eq!(sanitize(&format!("a.{long}"), "x").len(), MAX_ELEMENT_LEN);

    // What cutting uncovers is made safe as well.
    let spaces = " ".repeat(300);
    assert_eq!(sanitize(&format!("con{spaces}x"), "x"), "_con");
    assert_eq!(sanitize(&format!("c:{spaces}x"), "x"), "c_");
    assert_eq!(sanitize(&format!("con.{long}"), "x").len(), MAX_ELEMENT_LEN);

    let paths = places(&[&[&long], &[&long], &[&format!("{long}z")]]);
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), 3);

    let folders = vec![long.as_str(); 100];
    let paths = places(&[&folders, &folders]);
    assert!(paths.iter().all(|path| path.len() <= MAX_PATH_LEN), "{}", paths[0].len());
    assert_ne!(paths[0], paths[1]);
    let folders = vec!["d"; 100_000];
    assert!(places(&[&folders])[0].len() <= MAX_PATH_LEN);
}

#[test]
fn names_that_collide_are_told_apart() {
    assert_eq!(
        places(&[&["a.txt"], &["A.TXT"], &["a.txt"], &["a (2).txt"], &["b"], &["a.txt", "x"]]),
        ["f/a.txt", "f/A (2).TXT", "f/a (3).txt", "f/a (2) (2).txt", "f/b", "f/a (4).txt/x"]
    );
    assert_eq!(
        places(&[&["d", "x"], &["d"], &["D", "y"], &["d", "X"], &["d", "..", "z"]]),
        ["f/d/x", "f/d (2)", "f/d/y", "f/d/X (2)", "f/d/z"]
    );
    assert_eq!(places(&[&["é"], &["e\u{301}"]]), ["f/é", "f/e\u{301} (2)"]);
    assert_eq!(places(&[&["a:"], &["a_"], &["a?"]]).len(), 3);
}

#[test]
fn many_equal_names_take_linear_time() {
    let paths: Vec<&[&str]> = vec![&["same.txt"]; 50_000];
    let places = places(&paths);
    assert_eq!(places[49_999], "f/same (50000).txt");
}

proptest! {
    #[test]
    fn every_place_is_safe_and_distinct(
        paths in prop::collection::vec(
            prop::collection::vec("(\\PC{0,4}|[./\\\\: ]{0,3}|[aA]|con|.{0,300})", 0..5), 1..20),
    ) {
        let mut files: Vec<_> = paths.into_iter().map(|path| File::new(path, 0, 1)).collect();
        assign(&mut files, Some("f"), "_");
        let mut seen = BTreeSet::new();
        let mut folders = BTreeSet::new();
        for file in &files {
            prop_assert_eq!(&file.disk_path[0], "f");
            for element in &file.disk_path {
                prop_assert!(!element.is_empty() && element != "." && element != "..");
                prop_assert!(element.len() <= 255);
                prop_assert!(!element.contains(['/', '\\', '\0', '\n']));
                prop_assert!(!element.ends_with(['.', ' ']));
            }
            let path = file.disk_path.join("/");
            prop_assert!(path.len() <= MAX_PATH_LEN);
            for length in 1..file.disk_path.len() {
                folders.insert(file.disk_path[..length].join("/").to_lowercase());
            }
            prop_assert!(seen.insert(path.to_lowercase()), "{path}");
        }
        prop_assert!(seen.is_disjoint(&folders));
    }
}

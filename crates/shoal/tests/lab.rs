//! `shoal lab` as users run it: what it prints, what it writes, and its exit codes.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shoal"))
        .arg("lab")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_claim_is_measured_and_printed_in_every_form() {
    let claim = "distribution.copies_and_chain";
    let output = lab(&["run", claim, "--small", "--json", "--seed", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(record["claim"], claim);
    assert_eq!(record["seed"], 5);
    assert_eq!(record["verdict"], "reproduced");
    assert_eq!(record["params"]["nodes"], "8");
    assert_eq!(record["command"], format!("shoal lab run {claim} --small --seed 5"));
    let chain = &record["checks"][1];
    assert_eq!(chain["expected"], 1_656.0);
    assert_eq!(chain["tolerance"]["relative"], 0.001);

    let output = lab(&["run", claim, "--small", "--csv"]);
    assert!(
        text(&output.stdout).starts_with("claim,part,name,x,value,expected,tolerance,verdict\n")
    );
    let output = lab(&["run", claim, "--small"]);
    assert!(text(&output.stdout).contains("chain of blocks, seconds"), "{output:?}");
}

#[test]
fn a_claim_that_is_not_reproduced_ends_with_1() {
    // A file this small is all beginning and end: no swarm comes near to a fluid.
    let run = ["run", "distribution.copies_and_chain", "--small", "--param", "file=10"];
    let output = lab(&run);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("<- departs"), "{output:?}");
}

#[test]
fn what_cannot_be_run_ends_with_2_and_says_why() {
    for (args, why) in [
        (&["run", "chord.nothing"][..], "no claim `chord.nothing`"),
        (&["run", "chord.path_length.mean", "--nodes", "1"], "nodes=1: whole numbers from 2"),
        (&["run", "chord.path_length.mean", "--nodes", "many"], "nodes=many"),
        (&["run", "chord.path_length.mean", "--param", "riders=0.5"], "no parameter `riders`"),
        (&["run", "chord.path_length.mean", "--param", "nodes"], "NAME=VALUE"),
        (&["run", "distribution.free_riders", "--lookups", "9"], "no parameter `lookups`"),
        (&["run", "distribution.free_riders", "--param", "riders=1.5"], "from 0 to 0.99"),
        (
            &["run", "distribution.copies_and_chain", "--param", "block=999"],
            "the file must be made of whole blocks",
        ),
        (&["report", "nothing"], "no claim `nothing`"),
    ] {
        let output = lab(args);
        assert_eq!(output.status.code(), Some(2), "{args:?} {output:?}");
        assert!(text(&output.stderr).contains(why), "{args:?} {output:?}");
        assert!(output.stdout.is_empty(), "{args:?} {output:?}");
    }
}

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let (page, tables) = (dir.path().join("lab.html"), dir.path().join("tables"));
    let (out, folder) = (page.to_str().expect("UTF-8"), tables.to_str().expect("UTF-8"));
    let output = lab(&["report", "distribution", "--small", "--output", out, "--tables", folder]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let html = fs::read_to_string(&page).expect("the page");
    for wanted in ["<svg", "prefers-color-scheme: dark", "shoal lab run distribution.free_riders"] {
        assert!(html.contains(wanted), "{wanted}");
    }
    for unwanted in ["<script", "http:", "https:", "src=", "@import", "url("] {
        assert!(!html.contains(unwanted), "{unwanted}");
    }
    assert_eq!(fs::read_dir(&tables).expect("the tables").count(), 5);
}

#[test]
fn every_claim_is_listed_with_its_parameters() {
    let output = lab(&["list", "--json"]);
    let claims: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(claims.len() > 20, "{}", claims.len());
    for claim in claims {
        assert!(claim["params"].as_array().is_some_and(|params| !params.is_empty()), "{claim}");
    }
}

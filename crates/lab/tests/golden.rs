//! Every claim at small size, compared with the tables in `docs/results`, to the last digit: runs
//! follow from their seeds, so that whatever differs was changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use lab::{Record, Settings, Size, csv, run_all};

fn tables() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results")
}

fn measure(threads: usize) -> Vec<Record> {
    let settings = Settings { size: Size::Small, threads, ..Settings::default() };
    run_all(lab::all(), &settings, &|_, _| ()).expect("defaults are acceptable")
}

#[test]
fn claims_at_small_size_give_the_recorded_tables() {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut wrong = Vec::new();
    for record in measure(threads) {
        let id = record.claim.id;
        let recorded = fs::read_to_string(tables().join(format!("{id}.csv"))).unwrap_or_default();
        let measured = csv([&record]);
        if recorded != measured {
            let differs = recorded.lines().zip(measured.lines()).find(|(was, is)| was != is);
            wrong.push(format!("{id}: {differs:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong:#?}\nif that is meant: shoal lab report --small --tables docs/results"
    );
}

#[test]
fn every_table_belongs_to_a_claim() {
    let ids: Vec<_> = lab::all().iter().map(|claim| format!("{}.csv", claim.id)).collect();
    for entry in fs::read_dir(tables()).expect("docs/results") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        assert!(name == "README.md" || ids.contains(&name), "{name} is the table of no claim");
    }
}

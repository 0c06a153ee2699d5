//! Many seeds: each a run of its own, and of those that fail the command that runs them again.

use core::fmt::Display;
use core::ops::Range;
use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

/// The environment variable that makes a campaign run one seed only.
pub const SEED_VARIABLE: &str = "SHOAL_SEED";

/// Seeds that failed.
const FAILURES_MAX: usize = 3;

/// Runs `run` with each of `seeds`; a panic fails its seed as an error does. If
/// [`SEED_VARIABLE`] is set, only that seed is run.
///
/// # Panics
/// If seeds fail, with what went wrong in the first of them and the commands that replay it. After
/// three failures the rest is not run.
pub fn campaign<E: Display>(seeds: Range<u64>, run: impl Fn(u64) -> Result<(), E>) {
    let only = env::var(SEED_VARIABLE).ok().and_then(|seed| seed.trim().parse::<u64>().ok());
    let seeds = only.map_or(seeds, |seed| seed..seed.saturating_add(1));
    let failures = failures(seeds, run);
    if !failures.is_empty() {
        panic!("{}", failures.join("\n"));
    }
}

fn failures<E: Display>(seeds: Range<u64>, run: impl Fn(u64) -> Result<(), E>) -> Vec<String> {
    seeds
        .filter_map(|seed| {
            let what = match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => message(&*panic),
            };
            Some(format!("seed {seed}: {what}\nreplay with: {}", replay_command(seed)))
        })
        .take(FAILURES_MAX)
        .collect()
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// The command that runs the current test, or else the current program, with `seed` alone.
#[must_use]
pub fn replay_command(seed: u64) -> String {
    let thread = thread::current();
    match (env::var("CARGO_PKG_NAME"), thread.name().filter(|name| *name != "main")) {
        (Ok(package), Some(test)) => {
            let target = env::current_exe().ok();
            let target = target.as_deref().map(|path| target_flag(path, &package));
            let target = target.unwrap_or_default();
            let exact = "-- --exact --nocapture";
            format!("{SEED_VARIABLE}={seed} cargo test -p {package}{target} {test} {exact}")
        }
        _ => {
            let arguments: Vec<_> = env::args().collect();
            format!("{SEED_VARIABLE}={seed} {}", arguments.join(" "))
        }
    }
}

/// Which target of a package a test program is built from, as a flag for cargo; its name ends in a
/// hash. A library's is not told from an integration test's of the same name.
fn target_flag(program: &Path, package: &str) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    let library = package.rsplit_once('-').map_or(package, |(_, name)| name);
    if name == library || name == package.replace('-', "_") {
        " --lib".to_owned()
    } else {
        format!(" --test {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_seeds_are_named_with_the_command_that_replays_them() {
        let failures = failures(0..100, |seed| match seed {
            7 => Err("lost a key"),
            9 => panic!("out of {}", "bounds"),
            10..20 => Err("more"),
            _ => Ok(()),
        });
        assert_eq!(failures.len(), FAILURES_MAX);
        let name = "campaign::tests::failing_seeds_are_named_with_the_command_that_replays_them";
        let command = format!("cargo test -p shoal-sim --lib {name} -- --exact --nocapture");
        assert_eq!(failures[0], format!("seed 7: lost a key\nreplay with: SHOAL_SEED=7 {command}"));
        assert!(failures[1].starts_with("seed 9: out of bounds\n"), "{}", failures[1]);
    }

    #[test]
    fn targets_are_told_from_the_names_of_programs() {
        let flag = |path: &str| target_flag(Path::new(path), "shoal-dht");
        assert_eq!(flag("/t/debug/deps/dht-0123456789abcdef"), " --lib");
        assert_eq!(flag("/t/debug/deps/chord_sim-0123456789abcdef"), " --test chord_sim");
    }
}

//! `shoal lab`: claims of lectures and papers, measured again in the simulator.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use ::lab::{Claim, Param, Record, Settings, Size, Verdict};
use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::progress;
use crate::report::say_json;

/// Steps of a claim's bar.
const STEPS: u64 = 1_000;

/// Where the report goes if nothing else is said.
const REPORT: &str = "shoal-lab.html";

/// Options of `shoal lab`.
#[derive(Args, Debug)]
pub struct LabArgs {
    /// What to do
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// List the claims and their parameters
    List(ListArgs),
    /// Measure one claim, or all whose names begin with NAME and a dot
    Run(RunArgs),
    /// Measure claims and draw them beside the published figures, on one HTML page
    Report(ReportArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// How to run.
#[derive(Args, Debug)]
struct HowArgs {
    /// What all randomness follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; results do not depend on it [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Begin from parameters that are small enough for a test
    #[arg(long)]
    small: bool,
}

#[derive(Args, Debug)]
struct RunArgs {
    /// The claim, as `shoal lab list` shows it
    name: String,
    #[command(flatten)]
    how: HowArgs,
    /// The same as --param nodes=N
    #[arg(long, value_name = "N")]
    nodes: Option<String>,
    /// The same as --param lookups=N
    #[arg(long, value_name = "N")]
    lookups: Option<String>,
    /// A parameter of the claim, as in nodes=4096, nodes=2^12 or nodes=8,16,100-110
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,
    /// Print one JSON object a claim
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print every number and every point of every curve as CSV
    #[arg(long)]
    csv: bool,
}

#[derive(Args, Debug)]
struct ReportArgs {
    /// Only these claims, or those whose names begin so
    names: Vec<String>,
    #[command(flatten)]
    how: HowArgs,
    /// Where to write the page
    #[arg(short, long, value_name = "FILE", default_value = REPORT)]
    output: PathBuf,
    /// Show it in the browser
    #[arg(long)]
    open: bool,
    /// Write each claim's numbers as CSV into this folder, too
    #[arg(long, value_name = "DIR")]
    tables: Option<PathBuf>,
    /// Print one JSON object a claim
    #[arg(long)]
    json: bool,
}

fn parse_param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the lab.
///
/// # Errors
/// When a claim or parameter is not known or acceptable, or a file cannot be written.
pub fn run(args: &LabArgs) -> Result<Exit, Failure> {
    match &args.command {
        LabCommand::List(args) => list(args),
        LabCommand::Run(args) => run_claims(args),
        LabCommand::Report(args) => report(args),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    claim: &'a str,
    title: &'a str,
    says: &'a str,
    source: &'a str,
    params: Vec<ListedParam<'a>>,
}

#[derive(Serialize)]
struct ListedParam<'a> {
    name: &'a str,
    what: &'a str,
    accepts: String,
    default: &'a str,
    small: &'a str,
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    for claim in lab::all() {
        if args.json {
            let param = |param: &'static Param| ListedParam {
                name: param.name,
                what: param.what,
                accepts: param.wanted(),
                default: param.paper,
                small: param.small,
            };
            let Claim { id, title, says, source, params, .. } = *claim;
            let params = params.iter().map(param).collect();
            say_json(&Listed { claim: id, title, says, source, params })?;
            continue;
        }
        say(format!("{}\n    {}", claim.id, claim.title))?;
        for param in claim.params {
            say(format!("    {}={}  {}", param.name, param.paper, param.what))?;
        }
    }
    Ok(Exit::Done)
}

fn settings(how: &HowArgs, given: Vec<(String, String)>) -> Settings {
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Settings {
        size: if how.small { Size::Small } else { Size::Paper },
        given,
        seed: how.seed,
        threads: how.threads.map_or_else(cores, NonZeroUsize::get),
    }
}

fn find(name: &str) -> Result<Vec<&'static Claim>, Failure> {
    let claims = lab::find(name);
    if claims.is_empty() {
        return Err(bad_input(format!("there is no claim `{name}`; `shoal lab list` shows them")));
    }
    Ok(claims)
}

fn run_claims(args: &RunArgs) -> Result<Exit, Failure> {
    let claims = find(&args.name)?;
    let mut given = args.params.clone();
    let common = [("nodes", &args.nodes), ("lookups", &args.lookups)];
    given.extend(
        common.into_iter().filter_map(|(name, value)| {
            value.as_ref().map(|value| (name.to_owned(), value.clone()))
        }),
    );
    let records = measure(&claims, &settings(&args.how, given))?;
    if args.csv {
        say(lab::csv(&records).trim_end())?;
    }
    for record in &records {
        match (args.json, args.csv) {
            (true, _) => say_json(record)?,
            (_, true) => {}
            _ => say(lab::human(record))?,
        }
    }
    let departs = records.iter().any(|record| record.verdict() == Verdict::Departs);
    Ok(if departs { Exit::Failed } else { Exit::Done })
}

fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let mut claims = Vec::new();
    for name in &args.names {
        claims.extend(find(name)?);
    }
    if args.names.is_empty() {
        claims.extend(lab::all());
    }
    let records = measure(&claims, &settings(&args.how, Vec::new()))?;
    write(&args.output, &lab::report::page(&records))?;
    if let Some(folder) = &args.tables {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for record in &records {
            write(&folder.join(format!("{}.csv", record.claim.id)), &lab::csv([record]))?;
        }
    }
    for record in &records {
        if args.json {
            say_json(record)?;
        } else {
            let took = record.took.as_secs_f64();
            say(format!("{:<34} {:<10} {took:>7.1} s", record.claim.id, record.verdict().word()))?;
        }
    }
    if !args.json {
        say(format!("written to {}", args.output.display()))?;
    }
    if args.open {
        open(&args.output)?;
    }
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Shows a page in whatever shows pages here.
fn open(page: &Path) -> Result<(), Failure> {
    let mut command = Command::new("xdg-open");
    command.arg(page).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().context("cannot run xdg-open")?;
    if status.success() {
        Ok(())
    } else {
        Err(anyhow::anyhow!("xdg-open could not show {}", page.display()).into())
    }
}

/// Runs claims, with a bar for each that is under way.
fn measure(claims: &[&'static Claim], settings: &Settings) -> Result<Vec<Record>, Failure> {
    let bars: Mutex<BTreeMap<&str, ProgressBar>> = Mutex::default();
    let tell = |claim: &'static Claim, share: f64| {
        let Ok(mut bars) = bars.lock() else { return };
        let bar = bars.entry(claim.id).or_insert_with(|| progress::bar(claim.id, STEPS));
        bar.set_position((share * STEPS as f64) as u64);
        if share >= 1.0 {
            progress::remove(bar);
        }
    };
    let records = lab::run_all(claims, settings, &tell);
    bars.lock().iter().flat_map(|bars| bars.values()).for_each(progress::remove);
    records.bad_input()
}

//! The program `shoal`: the command line around the crates that do the work. Arguments, bars,
//! output and exit codes live here; no protocol, no socket and no payload does.

mod args;
mod cli;
mod client;
mod config;
mod demo;
mod dht;
mod exit;
mod fetch;
mod handover;
mod index;
mod inspect;
mod interrupt;
mod lab;
mod library;
mod locate;
mod manual;
mod networks;
mod progress;
mod publish;
mod report;
mod rows;
mod search;
mod select;
mod source;
mod status;
mod text;
mod tracker;
mod transfer;
mod units;
mod up;
mod verify;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use node::LogBuffer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::{Cli, Command, LogFormat};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match log(&cli).and_then(|log| run(&cli.command, log)) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough.
        Err(failure) if failure.is_closed_pipe() => Exit::Done.into(),
        Err(failure) => {
            eprintln!("shoal: {:#}", failure.error);
            failure.exit.into()
        }
    }
}

fn run(command: &Command, log: Arc<LogBuffer>) -> Result<Exit, Failure> {
    interrupt::install()?;
    match command {
        Command::Up(args) => up::run(args, log),
        Command::Status(args) => status::run(args),
        Command::Library(args) => library::run(args),
        Command::Search(args) => search::run(args),
        Command::Networks(args) => networks::list(args),
        Command::Join(args) => networks::join(args),
        Command::Leave(args) => networks::leave(args),
        Command::Publish(args) => publish::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Tracker(args) => tracker::run(args),
        Command::Index(args) => index::run(args),
        Command::Dht(args) => dht::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Lab(args) => lab::run(args),
        Command::Config(command) => config::run(command),
        Command::Completions(args) => manual::completions(args.shell),
        Command::Man(args) => manual::man(args),
    }
}

/// Logs to standard error, as far as `-v`, `SHOAL_LOG` or the node's configuration asks for it.
/// What the node shows of its log is kept besides.
fn log(cli: &Cli) -> Result<Arc<LogBuffer>, Failure> {
    let level = match (cli.verbose, &cli.command) {
        (0, Command::Up(args)) => args.layers()?.config().log.level,
        (0, _) => "warn".to_owned(),
        (1, _) => "info".to_owned(),
        (2, _) => "debug".to_owned(),
        (_, _) => "trace".to_owned(),
    };
    let directives = env::var("SHOAL_LOG").unwrap_or(level);
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| exit::bad_input(format!("log {directives}: {error}")))?;
    let kept = LogBuffer::new();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(progress::visible() && env::var_os("NO_COLOR").is_none())
        .with_writer(|| progress::LogWriter);
    let lines = match cli.log {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).with(kept.layer()).init();
    Ok(kept)
}

//! The program `shoal`: the command line around the crates that do the work. Arguments, bars,
//! output and exit codes live here; no protocol, no socket and no payload does.

mod args;
mod cli;
mod demo;
mod dht;
mod exit;
mod fetch;
mod inspect;
mod interrupt;
mod lab;
mod locate;
mod manual;
mod progress;
mod publish;
mod report;
mod select;
mod source;
mod text;
mod tracker;
mod transfer;
mod units;
mod verify;

use std::env;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match log(cli.verbose).and_then(|()| run(&cli.command)) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough.
        Err(failure) if failure.is_closed_pipe() => Exit::Done.into(),
        Err(failure) => {
            eprintln!("shoal: {:#}", failure.error);
            failure.exit.into()
        }
    }
}

fn run(command: &Command) -> Result<Exit, Failure> {
    interrupt::install()?;
    match command {
        Command::Publish(args) => publish::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Tracker(args) => tracker::run(args),
        Command::Dht(args) => dht::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Lab(args) => lab::run(args),
        Command::Completions(args) => manual::completions(args.shell),
        Command::Man(args) => manual::man(args),
    }
}

/// Logs to standard error, as far as `-v` or `SHOAL_LOG` asks for it.
fn log(verbose: u8) -> Result<(), Failure> {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = match env::var("SHOAL_LOG") {
        Ok(directives) => EnvFilter::try_new(&directives)
            .map_err(|error| exit::bad_input(format!("SHOAL_LOG={directives}: {error}")))?,
        Err(_) => EnvFilter::new(level),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(progress::visible() && env::var_os("NO_COLOR").is_none())
        .with_writer(|| progress::LogWriter)
        .init();
    Ok(())
}

//! The command line: one definition, from which help, completions and manual pages are made.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::ConfigCommand;
use crate::demo::DemoArgs;
use crate::dht::DhtArgs;
use crate::exit::EXIT_CODES_HELP;
use crate::fetch::FetchArgs;
use crate::index::IndexArgs;
use crate::inspect::InspectArgs;
use crate::lab::LabArgs;
use crate::library::LibraryArgs;
use crate::manual::ManArgs;
use crate::networks::{JoinArgs, LeaveArgs, NetworksArgs};
use crate::publish::PublishArgs;
use crate::search::SearchArgs;
use crate::status::StatusArgs;
use crate::tracker::TrackerArgs;
use crate::up::UpArgs;
use crate::verify::VerifyArgs;

/// Share files with no server in the middle.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, after_help = EXIT_CODES_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more on standard error: -v what happens, -vv why, -vvv everything. SHOAL_LOG chooses by
    /// module, as in SHOAL_LOG=net=debug
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// How to write the log
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value = "text")]
    pub log: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node, with its page and its interfaces for programs, until Ctrl-C
    #[command(after_help = EXIT_CODES_HELP)]
    Up(UpArgs),
    /// Show how the node that runs is
    #[command(after_help = EXIT_CODES_HELP)]
    Status(StatusArgs),
    /// Say which folders are shared, and look at their files
    #[command(after_help = EXIT_CODES_HELP)]
    Library(LibraryArgs),
    /// Search the library, the transfers and the networks
    #[command(after_help = EXIT_CODES_HELP)]
    Search(SearchArgs),
    /// Show the networks that the node which runs knows, and how it stands with each
    #[command(after_help = EXIT_CODES_HELP)]
    Networks(NetworksArgs),
    /// Have the node that runs join a network
    #[command(after_help = EXIT_CODES_HELP)]
    Join(JoinArgs),
    /// Have the node that runs leave a network
    #[command(after_help = EXIT_CODES_HELP)]
    Leave(LeaveArgs),
    /// Share a file or a folder: with the node that runs, or else until Ctrl-C
    #[command(after_help = EXIT_CODES_HELP)]
    Publish(Box<PublishArgs>),
    /// Fetch what a .torrent file or a magnet link names
    #[command(after_help = EXIT_CODES_HELP)]
    Fetch(Box<FetchArgs>),
    /// Show what a .torrent file or a magnet link says
    Inspect(InspectArgs),
    /// Hash files on disk and compare them with a .torrent file
    #[command(after_help = EXIT_CODES_HELP)]
    Verify(VerifyArgs),
    /// Run a tracker, over HTTP and UDP
    Tracker(TrackerArgs),
    /// Run a server of Napster, that knows who has which files
    Index(Box<IndexArgs>),
    /// Take part in a distributed hash table, and store and find values in it
    #[command(after_help = EXIT_CODES_HELP)]
    Dht(DhtArgs),
    /// Run a small swarm on this machine, and watch it
    #[command(after_help = EXIT_CODES_HELP)]
    Demo(DemoArgs),
    /// Measure what lectures and papers claim, in the simulator
    #[command(after_help = EXIT_CODES_HELP)]
    Lab(LabArgs),
    /// Look at the configuration of the node
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// Options of `shoal completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_line_of_the_readme_is_understood() {
        let readme = include_str!("../../../README.md");
        let blocks = readme.split("```").skip(1).step_by(2);
        let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("shoal "));
        let mut count = 0;
        for line in lines {
            // A comment, or where the output goes.
            let line = line.split(['#', '>']).next().unwrap_or_default();
            let words = line.split_whitespace().map(|word| word.trim_matches('\''));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}\n{error}");
            }
            count += 1;
        }
        assert!(count > 10, "only {count} command lines");
    }
}

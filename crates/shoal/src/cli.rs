//! The command line: one definition, from which help, completions and manual pages are made.

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::EXIT_CODES_HELP;
use crate::inspect::InspectArgs;
use crate::manual::ManArgs;
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
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a .torrent file or a magnet link says
    Inspect(InspectArgs),
    /// Hash files on disk and compare them with a .torrent file
    #[command(after_help = EXIT_CODES_HELP)]
    Verify(VerifyArgs),
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
}

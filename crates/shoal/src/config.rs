//! `shoal config`: looking at the node's configuration, and setting its password.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use node::{Origin, SETTINGS};
use serde_json::json;

use crate::exit::{Exit, Failure, bad_input, say};
use crate::report::say_json;
use crate::up::load;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration is good, and if not, where
    Check(ConfigArgs),
    /// Show every setting, and where its value comes from
    Show(ShowArgs),
    /// Set the password of the page; it is read from standard input
    Password(ConfigArgs),
}

/// Which configuration.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// The file [default: ~/.config/shoal/config.toml, if it is there]
    file: Option<PathBuf>,
}

/// How to show a configuration.
#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
}

/// Looks at the configuration.
///
/// # Errors
/// When it is malformed, or a password cannot be set.
pub fn run(command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check(args) => {
            let layers = load(args.file.as_ref())?;
            match &layers.file {
                Some(file) => say(format_args!("{}: good", file.display()))?,
                None => say("there is no configuration file: everything is as by default")?,
            }
        }
        ConfigCommand::Show(args) => show(args)?,
        ConfigCommand::Password(args) => set_password(args)?,
    }
    Ok(Exit::Done)
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let layers = load(args.config.file.as_ref())?;
    let mut section = "";
    for setting in SETTINGS {
        let Some((value, origin)) = layers.value(setting.name) else { continue };
        if args.json {
            let name = setting.name;
            say_json(
                &json!({"name": name, "value": value, "source": origin, "what": setting.what}),
            )?;
            continue;
        }
        let (of, key) = setting.name.split_once('.').unwrap_or(("", setting.name));
        if of != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            say(format_args!("{gap}[{of}]"))?;
            section = of;
        }
        let from = match origin {
            Origin::Default => "",
            Origin::File => ", from the file",
            Origin::Runtime => ", changed while it ran",
            Origin::Environment => ", from the environment",
        };
        say(format_args!("{key} = {value}  # {}{from}", setting.what))?;
    }
    Ok(())
}

fn set_password(args: &ConfigArgs) -> Result<(), Failure> {
    let folder = load(args.file.as_ref())?.config().node.state_dir;
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        eprint!("New password (it is shown as you type): ");
        io::stderr().flush().context("standard error")?;
    }
    let mut line = String::new();
    input.read_line(&mut line).context("standard input")?;
    let set = node::api::set_password(&folder, line.trim_end_matches(['\r', '\n']));
    set.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => bad_input(error),
        _ => anyhow::Error::new(error).context(folder.display().to_string()).into(),
    })?;
    say("set; a node that runs takes it at its next start")
}

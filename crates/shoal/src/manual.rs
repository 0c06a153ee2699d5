//! `shoal man` and `shoal completions`: what is made from the definition of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Options of `shoal man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write the pages of all commands into this folder instead
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints the manual page, or writes all of them.
///
/// # Errors
/// When they cannot be written.
pub fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &args.output else {
        return print(|out| Man::new(command).render(out));
    };
    let pages: Vec<_> = command.get_subcommands().cloned().chain([command.clone()]).collect();
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for page in pages {
        let man = Man::new(page);
        let path = folder.join(man.get_filename());
        let mut text = Vec::new();
        man.render(&mut text).context("cannot write a manual page")?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(Exit::Done)
}

/// Prints a completion script.
///
/// # Errors
/// When it cannot be written.
pub fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shoal", &mut script);
    print(|out| out.write_all(&script))
}

fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    write(&mut text).context("cannot write a page")?;
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).context("cannot write to standard output")?;
    Ok(Exit::Done)
}

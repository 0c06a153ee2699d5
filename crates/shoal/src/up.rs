//! `shoal up`: the node that people keep running, with its page.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use node::api::{Api, Listen};
use node::{ConfigError, Layers, LogBuffer, Node, NodeError};
use sd_notify::NotifyState;
use serde_json::json;

use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::interrupt;
use crate::report::say_json;

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Options of `shoal up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Where the page and the interfaces for programs are: ADDR:PORT, a port alone, or unix:/path
    /// [default: 127.0.0.1:7680, or api.listen of the configuration]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    api: Option<Listen>,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
    /// The configuration [default: ~/.config/shoal/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one line of JSON when it is up
    #[arg(long)]
    json: bool,
    /// Stop when standard input ends, as after a signal: for programs that start this one
    #[arg(long)]
    stop_at_eof: bool,
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    Listen::parse(text).ok_or_else(|| format!("`{text}` is neither ADDR:PORT nor unix:/path"))
}

impl UpArgs {
    /// The configuration.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn layers(&self) -> Result<Layers, Failure> {
        load(self.config.as_ref())
    }
}

/// Reads the configuration in `file`, or at the usual place, and the environment.
///
/// # Errors
/// When it is malformed.
pub fn load(file: Option<&PathBuf>) -> Result<Layers, Failure> {
    // Variables that are no UTF-8 are none of ours.
    let variables = env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    Layers::load(file.map(PathBuf::as_path), variables)
        .map_err(|error| match error {
            ConfigError::Unreadable { .. } => anyhow::Error::new(error),
            malformed => anyhow::anyhow!("{malformed}"),
        })
        .bad_input()
}

/// Runs the node until a signal.
///
/// # Errors
/// When it cannot start.
pub fn run(args: &UpArgs, log: Arc<LogBuffer>) -> Result<Exit, Failure> {
    if args.stop_at_eof {
        interrupt::heed_end_of_input()?;
    }
    let layers = args.layers()?;
    let configured = Listen::parse(&layers.config().api.listen);
    let listen = args.api.clone().or(configured).ok_or_else(|| bad_input("api.listen"))?;
    interrupt::heed();
    let node = Node::start(layers, Some(log)).map_err(|error| match error {
        NodeError::Config(error) => bad_input(error),
        error => anyhow::Error::new(error).context("cannot start").into(),
    })?;
    let ended = serve(args, &node, listen);
    node.shutdown();
    ended
}

fn serve(args: &UpArgs, node: &Arc<Node>, listen: Listen) -> Result<Exit, Failure> {
    let api = Api::start(node.clone(), listen).context("cannot start")?;
    let link = api.login_link().context("cannot make a login")?;
    if args.json {
        let (api, addresses) = (api.place(), node.addresses());
        say_json(&json!({"event": "up", "api": api, "link": link, "addresses": addresses}))?;
    } else {
        say(format_args!("Page    {link}"))?;
        say("        (the link logs one browser in, within five minutes)")?;
        for address in node.addresses() {
            say(format_args!("Peers   {address}"))?;
        }
    }
    // Under systemd (`Type=notify`) this is what makes the unit active.
    tell_manager(NotifyState::Ready);
    if args.open
        && let Err(error) = open_link(&link)
    {
        tracing::warn!(%error, "no browser can be opened");
    }
    while !interrupt::wanted() {
        std::thread::park_timeout(TICK);
    }
    tracing::info!("ending");
    tell_manager(NotifyState::Stopping);
    drop(api);
    Ok(Exit::Done)
}

/// Tells the service manager, if one asked to be told.
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager is not told");
    }
}

/// Opens a link in the user's browser.
///
/// # Errors
/// When there is no program to open it with.
pub fn open_link(link: &str) -> std::io::Result<()> {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(opener);
    command.arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(|_child| ())
}

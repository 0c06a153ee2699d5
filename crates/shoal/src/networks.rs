//! `shoal networks`, `join` and `leave`: what the node that runs is part of.

use std::fmt::Write;
use std::net::SocketAddr;

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, NodeArgs};
use crate::exit::{Exit, Failure, say};
use crate::report::say_json;
use crate::text;

/// Options of `shoal networks`.
#[derive(Args, Debug)]
pub struct NetworksArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// Options of `shoal join`.
#[derive(Args, Debug)]
pub struct JoinArgs {
    /// The network, as `shoal networks` names it
    network: String,
    /// Begin with this node, as HOST:PORT; may be repeated [default: those of the configuration, or
    /// for Chord a ring of one's own]
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
    /// Where the node is in this network, if that is not where it is in all
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Options of `shoal leave`.
#[derive(Args, Debug)]
pub struct LeaveArgs {
    /// The network, as `shoal networks` names it
    network: String,
    #[command(flatten)]
    node: NodeArgs,
}

/// Lists the networks.
///
/// # Errors
/// When no node runs.
pub fn list(args: &NetworksArgs) -> Result<Exit, Failure> {
    let answer: Value = node(&args.node)?.get("/api/v1/networks")?;
    let networks = answer["networks"].as_array();
    networks.into_iter().flatten().try_for_each(|network| tell(network, args.node.json))?;
    Ok(Exit::Done)
}

/// Has the node join a network.
///
/// # Errors
/// When no node runs, or it cannot join.
pub fn join(args: &JoinArgs) -> Result<Exit, Failure> {
    let wish = json!({"peers": args.peers, "listen": args.listen});
    change(&args.node, &args.network, "join", Some(wish))
}

/// Has the node leave a network.
///
/// # Errors
/// When no node runs, or it cannot leave.
pub fn leave(args: &LeaveArgs) -> Result<Exit, Failure> {
    change(&args.node, &args.network, "leave", None)
}

fn change(
    args: &NodeArgs,
    network: &str,
    verb: &str,
    body: Option<Value>,
) -> Result<Exit, Failure> {
    let mut path = "/api/v1/networks/".to_owned();
    path.extend(url::form_urlencoded::byte_serialize(network.as_bytes()));
    let network: Value = node(args)?.post(&format!("{path}/{verb}"), body)?;
    tell(&network, args.json)?;
    Ok(Exit::Done)
}

fn node(args: &NodeArgs) -> Result<Client, Failure> {
    let missing = || {
        anyhow!(
            "no node is running: `shoal up` starts one; `shoal dht join` takes part in a \
             distributed hash table without one"
        )
    };
    Ok(args.client()?.ok_or_else(missing)?)
}

fn tell(network: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(network);
    }
    let word = |key: &str| network[key].as_str().unwrap_or_default();
    let mut line = format!("{:12} {:9}", text::plain(word("name")), word("state"));
    let peers = network["peers"].as_u64().unwrap_or_default();
    // Writing to a string does not fail.
    let _ = write!(line, "{peers:>6} known");
    let verbs = network["verbs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let _ = write!(line, "  {:22}", verbs.collect::<Vec<_>>().join(" "));
    for address in network["addresses"].as_array().into_iter().flatten() {
        let _ = write!(line, "  {}", address.as_str().unwrap_or_default());
    }
    if let Some(error) = network["error"].as_str() {
        let _ = write!(line, "  {}", text::plain(error));
    }
    say(line)
}

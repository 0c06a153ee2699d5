//! `shoal status`: how the node that runs is.

use anyhow::anyhow;
use clap::Args;
use node::LibraryStatus;
use serde_json::{Value, json};

use crate::client::NodeArgs;
use crate::exit::{Exit, Failure, say};
use crate::report::say_json;
use crate::text;
use crate::units::{rate, size};

/// Options of `shoal status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// Asks the node, and prints what it says.
///
/// # Errors
/// When no node runs.
pub fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    let Some(client) = args.node.client()? else {
        if args.node.json {
            say_json(&json!({"running": false}))?;
            return Ok(Exit::Failed);
        }
        return Err(anyhow!("no node is running: `shoal up` starts one").into());
    };
    let mut status: Value = client.get("/api/v1/status")?;
    let library: LibraryStatus = client.get("/api/v1/library")?;
    if args.node.json {
        status["running"] = true.into();
        status["library"] = serde_json::to_value(&library).map_err(anyhow::Error::from)?;
        say_json(&status)?;
        return Ok(Exit::Done);
    }
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let list = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(text::plain).collect()
    };
    say(format_args!("Version      {}", status["version"].as_str().unwrap_or_default()))?;
    say(format_args!("Peers at     {}", list(&status["addresses"]).join(", ")))?;
    let (down, up) = (rate(number("download_rate")), rate(number("upload_rate")));
    say(format_args!("Moving       ↓ {down} ↑ {up}, {} peers", number("peers_connected")))?;
    let (got, sent) = (size(number("downloaded")), size(number("uploaded")));
    say(format_args!("This run     ↓ {got} ↑ {sent}"))?;
    let counts = status["transfers"].as_object().into_iter().flatten();
    let counts = counts.filter(|(_, count)| count.as_u64() != Some(0));
    let counts: Vec<_> = counts.map(|(state, count)| format!("{count} {state}")).collect();
    let transfers = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    say(format_args!("Transfers    {transfers}"))?;
    let (hashed, bytes, files) = (library.bytes_hashed, library.bytes, library.files);
    say(format_args!("Library      {files} files, {} of {} hashed", size(hashed), size(bytes)))?;
    for network in status["networks"].as_array().into_iter().flatten() {
        let text = |key: &str| network[key].as_str().unwrap_or_default();
        say(format_args!("{:12} {}", text("name"), text("state")))?;
    }
    Ok(Exit::Done)
}

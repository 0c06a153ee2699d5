//! `shoal search`: asks everything that the node can ask, or the library alone if no node runs.

use anyhow::anyhow;
use clap::Args;
use node::{Asked, SearchQuery, SearchResult};
use serde::Deserialize;
use url::form_urlencoded;

use crate::client::NodeArgs;
use crate::exit::{Exit, Failure, say};
use crate::library::Shelf;
use crate::report::say_json;
use crate::text;
use crate::units::size;

/// Options of `shoal search`.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Words that names begin with; type:video, size:>1G and (after --) -word narrow it
    #[arg(required = true)]
    words: Vec<String>,
    /// Results that are enough
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    node: NodeArgs,
}

/// What the node answers.
#[derive(Deserialize)]
struct Answer {
    results: Vec<SearchResult>,
    networks: Vec<Asked>,
}

/// Searches, and prints results as they come.
///
/// # Errors
/// When nothing can be asked.
pub fn run(args: &SearchArgs) -> Result<Exit, Failure> {
    let query = SearchQuery { words: args.words.join(" "), limit: args.limit };
    let json = args.node.json;
    let (count, asked) = match Shelf::open(&args.node)? {
        Shelf::Running(client) => {
            let mut parameters = form_urlencoded::Serializer::new(String::new());
            parameters.append_pair("q", &query.words);
            parameters.append_pair("limit", &query.limit.to_string());
            let path = format!("/api/v1/search?{}", parameters.finish());
            let Answer { results, networks } = client.get(&path)?;
            results.iter().try_for_each(|result| say_result(result, json))?;
            (results.len(), networks)
        }
        Shelf::Own(library) => {
            let mut said = Ok(());
            let (results, networks) = node::search(&[&*library], &query, &mut |result| {
                if said.is_ok() {
                    said = say_result(result, json);
                }
            });
            said?;
            (results.len(), networks)
        }
    };
    for failed in asked.iter().filter(|asked| asked.error.is_some()) {
        let why = failed.error.as_deref().unwrap_or_default();
        eprintln!("shoal: {}: {}", failed.name, text::plain(why));
    }
    if asked.iter().all(|asked| asked.error.is_some()) {
        return Err(anyhow!("nothing could be searched").into());
    }
    if count == 0 && !json {
        say("nothing was found")?;
    }
    Ok(Exit::Done)
}

fn say_result(result: &SearchResult, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(result);
    }
    let places: Vec<_> =
        result.found.iter().map(|found| format!("{} {}", found.network, found.id)).collect();
    let (name, places) = (text::plain(&result.name), text::plain(&places.join(", ")));
    say(format_args!("{:>10}  {name}  ({places})", size(result.length)))
}

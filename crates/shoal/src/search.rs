//! `shoal search`: asks everything that the node can ask, or the library alone if no node runs.

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use node::{Asked, Finder, SearchQuery, SearchResult, Told};
use serde::Deserialize;
use url::form_urlencoded;

use crate::client::{Client, NodeArgs};
use crate::exit::{Exit, Failure, say};
use crate::interrupt;
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
    /// Results of each network that are enough
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Have the node that runs fetch the result with this number
    #[arg(long, value_name = "NUMBER")]
    fetch: Option<usize>,
    #[command(flatten)]
    node: NodeArgs,
}

/// A result, by whose number a later one takes its place.
#[derive(Deserialize)]
struct Numbered {
    number: usize,
    #[serde(flatten)]
    result: SearchResult,
}

/// Searches, and prints results as they come. With `--json` a result that is found in more places
/// later is printed again.
///
/// # Errors
/// When nothing can be asked.
pub fn run(args: &SearchArgs) -> Result<Exit, Failure> {
    let query = SearchQuery { words: args.words.join(" "), limit: args.limit };
    let mut printer = Printer {
        json: args.node.json,
        wanted: args.fetch,
        chosen: None,
        count: 0,
        asked: Vec::new(),
    };
    match Shelf::open(&args.node)? {
        Shelf::Running(client) => {
            if !ask(&client, &query, &mut printer)? {
                return Ok(Exit::Interrupted);
            }
            if let Some(number) = args.fetch {
                return fetch(&client, printer.chosen.as_ref(), number, args.node.json);
            }
        }
        Shelf::Own(_) if args.fetch.is_some() => {
            return Err(anyhow!("no node is running to fetch it: `shoal up` starts one").into());
        }
        Shelf::Own(library) => {
            let library: Arc<dyn Finder> = library;
            let mut said = Ok(());
            node::search(&[library], &query, &mut |told| {
                match told {
                    Told::Result(number, result) => said = printer.result(number, result),
                    Told::Asked(asked) => printer.asked.push(asked.clone()),
                }
                if said.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            said?;
        }
    }
    printer.end()
}

/// Has the node fetch what was found.
fn fetch(
    client: &Client,
    chosen: Option<&SearchResult>,
    number: usize,
    json: bool,
) -> Result<Exit, Failure> {
    let result = chosen.ok_or_else(|| anyhow!("there is no result {number}"))?;
    let body = serde_json::json!({"result": result});
    let begun: serde_json::Value = client.post("/api/v1/search/fetch", Some(body))?;
    if json {
        say_json(&begun)?;
    } else {
        say(format_args!("{} is being fetched", text::plain(&result.name)))?;
    }
    Ok(Exit::Done)
}

/// Asks the node that runs; says whether it said all it had to say before a signal came.
fn ask(client: &Client, query: &SearchQuery, printer: &mut Printer) -> Result<bool, Failure> {
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    parameters.append_pair("q", &query.words);
    parameters.append_pair("limit", &query.limit.to_string());
    parameters.append_pair("stream", "true");
    interrupt::heed();
    let done = client.stream(&format!("/api/v1/search?{}", parameters.finish()), |name, data| {
        let strange = "the node's answer cannot be understood";
        match name {
            "result" => {
                let Numbered { number, result } = serde_json::from_str(data).context(strange)?;
                printer.result(number, &result)?;
            }
            "network" => printer.asked.push(serde_json::from_str(data).context(strange)?),
            "done" => return Ok(ControlFlow::Break(())),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    });
    Ok(done?.is_some())
}

/// Prints what is found.
struct Printer {
    json: bool,
    /// The number of the result that is to be fetched, and that result.
    wanted: Option<usize>,
    chosen: Option<SearchResult>,
    /// Results so far.
    count: usize,
    /// Networks that have nothing more to say.
    asked: Vec<Asked>,
}

impl Printer {
    fn result(&mut self, number: usize, result: &SearchResult) -> Result<(), Failure> {
        let is_new = number >= self.count;
        self.count = self.count.max(number + 1);
        if self.wanted == Some(number + 1) {
            self.chosen = Some(result.clone());
        }
        if is_new || self.json { say_result(number + 1, result, self.json) } else { Ok(()) }
    }

    fn end(self) -> Result<Exit, Failure> {
        for failed in self.asked.iter().filter(|asked| asked.error.is_some()) {
            let why = failed.error.as_deref().unwrap_or_default();
            eprintln!("shoal: {}: {}", failed.name, text::plain(why));
        }
        if self.asked.iter().all(|asked| asked.error.is_some()) {
            return Err(anyhow!("nothing could be searched").into());
        }
        if self.count == 0 && !self.json {
            say("nothing was found")?;
        }
        Ok(Exit::Done)
    }
}

fn say_result(number: usize, result: &SearchResult, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(result);
    }
    let places: Vec<_> =
        result.found.iter().map(|found| format!("{} {}", found.network, found.id)).collect();
    let (name, places) = (text::plain(&result.name), text::plain(&places.join(", ")));
    say(format_args!("{number:>4}  {:>10}  {name}  ({places})", size(result.length)))
}

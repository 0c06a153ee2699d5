//! `shoal search`: asks everything that the node can ask, or the library alone if no node runs, and
//! keeps searches that go on watching.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use hyper::Method;
use node::{Asked, Finder, SavedSearch, SearchQuery, SearchResult, Told};
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

use crate::client::{Client, NodeArgs};
use crate::exit::{Exit, Failure, say};
use crate::interrupt;
use crate::library::Shelf;
use crate::report::say_json;
use crate::rows;
use crate::text;
use crate::units::{parse_size, size};

/// Options of `shoal search`.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Words that names begin with; type:video, size:>1G, network:NAME, sources:N and (after --)
    /// -word narrow it
    #[arg(required_unless_present_any = ["saved", "list", "remove"])]
    words: Vec<String>,
    /// Only what this network finds; may be repeated
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// Only this kind: audio, video, image, document, archive, program, the end of a name, or a MIME
    /// type; may be repeated
    #[arg(long = "type", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only what is as long as this: 1M..1G, 1M.. or ..1G
    #[arg(long, value_name = "RANGE", value_parser = parse_range)]
    size: Option<String>,
    /// Only what so many have
    #[arg(long, value_name = "N")]
    min_sources: Option<u64>,
    /// Have the node that runs keep watching for it, under this name
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Ask the saved search of this name for what has not been seen yet
    #[arg(long, value_name = "NAME", conflicts_with_all = ["words", "save"])]
    saved: Option<String>,
    /// With --saved, show what has been seen, too
    #[arg(long, requires = "saved")]
    all: bool,
    /// List saved searches, and how much is new
    #[arg(long, conflicts_with_all = ["words", "save", "saved"])]
    list: bool,
    /// Watch for the saved search of this name no longer
    #[arg(long, value_name = "NAME", conflicts_with_all = ["words", "save", "saved", "list"])]
    remove: Option<String>,
    /// Results of each network that are enough
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Have the node that runs fetch the result with this number
    #[arg(long, value_name = "NUMBER")]
    fetch: Option<usize>,
    #[command(flatten)]
    node: NodeArgs,
}

fn parse_range(text: &str) -> Result<String, String> {
    let is_end = |end: &str| end.is_empty() || parse_size(end).is_ok();
    match text.split_once("..") {
        Some((least, most)) if text != ".." && is_end(least) && is_end(most) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not a range such as 1M..1G")),
    }
}

impl SearchArgs {
    /// Words and what narrows them, as they are typed in one line.
    fn text(&self) -> String {
        let narrow = |name: &'static str, values: &[String]| {
            values.iter().map(|value| format!("{name}:{value}")).collect::<Vec<_>>()
        };
        let mut parts = self.words.clone();
        parts.extend(narrow("network", &self.network));
        parts.extend(narrow("type", &self.kinds));
        parts.extend(self.size.as_ref().map(|range| format!("size:{range}")));
        parts.extend(self.min_sources.map(|least| format!("sources:{least}")));
        parts.join(" ")
    }
}

/// A result, by whose number a later one takes its place.
#[derive(Deserialize)]
struct Numbered {
    number: usize,
    #[serde(flatten)]
    result: SearchResult,
}

/// A result that turned out to be another.
#[derive(Deserialize)]
struct Same {
    number: usize,
}

/// Searches, and prints results as they come. With `--json` a result that is found in more places
/// later is printed again.
///
/// # Errors
/// When nothing can be asked.
pub fn run(args: &SearchArgs) -> Result<Exit, Failure> {
    let query = SearchQuery { words: args.text(), limit: args.limit };
    let mut printer = Printer { json: args.node.json, rows: BTreeMap::new(), asked: Vec::new() };
    if args.list || args.remove.is_some() {
        let client = args.node.client()?.ok_or_else(no_node)?;
        return match &args.remove {
            Some(name) => client.delete(&saved_path(name)).map(|()| Exit::Done),
            None => list(&client, args.node.json),
        };
    }
    match Shelf::open(&args.node)? {
        Shelf::Running(client) => {
            if let Some(name) = &args.save {
                let body = json!({"words": query.words});
                client.send_json(Method::PUT, &saved_path(name), body)?.read::<SavedSearch>()?;
            }
            let saved = args.save.as_ref().or(args.saved.as_ref());
            let unseen = args.saved.is_some() && !args.all;
            if !ask(&client, &query, saved, unseen, &mut printer)? {
                return Ok(Exit::Interrupted);
            }
            rows::keep(&args.node.config()?, &printer.rows);
            if let Some(number) = args.fetch {
                let chosen = number.checked_sub(1).and_then(|number| printer.rows.get(&number));
                return fetch(&client, chosen, number, args.node.json);
            }
        }
        Shelf::Own(_) if args.fetch.is_some() || args.save.is_some() || args.saved.is_some() => {
            return Err(no_node());
        }
        Shelf::Own(library) => {
            let library: Arc<dyn Finder> = library;
            let mut said = Ok(());
            node::search(&[library], &query, &mut |told| {
                match told {
                    Told::Result(number, result) => said = printer.result(number, result),
                    // One network finds nothing twice.
                    Told::Same(gone, _) => drop(printer.rows.remove(&gone)),
                    Told::Asked(asked) => printer.asked.push(asked.clone()),
                }
                if said.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            said?;
        }
    }
    printer.end()
}

fn no_node() -> Failure {
    anyhow!("no node is running to do that: `shoal up` starts one").into()
}

/// Where a saved search is to be asked for.
fn saved_path(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // In a path a blank is not written as in a form.
    format!("/api/v1/searches/{}", name.replace('+', "%20"))
}

fn list(client: &Client, json: bool) -> Result<Exit, Failure> {
    let saved: Vec<SavedSearch> = client.get("/api/v1/searches")?;
    for one in &saved {
        if json {
            say_json(one)?;
        } else {
            let (name, words) = (text::plain(&one.name), text::plain(&one.words));
            say(format_args!("{name}: {words} ({} new)", one.fresh))?;
        }
    }
    if saved.is_empty() && !json {
        say("no searches are saved")?;
    }
    Ok(Exit::Done)
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
fn ask(
    client: &Client,
    query: &SearchQuery,
    saved: Option<&String>,
    unseen: bool,
    printer: &mut Printer,
) -> Result<bool, Failure> {
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    match saved {
        Some(name) => {
            parameters.append_pair("saved", name);
            parameters.append_pair("unseen", if unseen { "true" } else { "false" });
        }
        None => drop(parameters.append_pair("q", &query.words)),
    }
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
            "same" => {
                let Same { number } = serde_json::from_str(data).context(strange)?;
                printer.rows.remove(&number);
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
    /// Results so far, by their numbers.
    rows: BTreeMap<usize, SearchResult>,
    /// Networks that have nothing more to say.
    asked: Vec<Asked>,
}

impl Printer {
    fn result(&mut self, number: usize, result: &SearchResult) -> Result<(), Failure> {
        let is_new = self.rows.insert(number, result.clone()).is_none();
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
        if self.rows.is_empty() && !self.json {
            say("nothing was found")?;
        }
        Ok(Exit::Done)
    }
}

fn say_result(number: usize, result: &SearchResult, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(result);
    }
    let places = result.found.iter().map(|found| format!("{} {}", found.network, found.id));
    // What the library knows is what a torrent of its file would be.
    let is_ours = result.found.iter().any(|found| found.network == "library");
    let has_torrent = result.content.infohash_v1.is_some() && !is_ours;
    let places: Vec<_> = places.chain(has_torrent.then(|| "its torrent".to_owned())).collect();
    let (name, places) = (text::plain(&result.name), text::plain(&places.join(", ")));
    let odd = if result.odd.is_empty() { "" } else { "  [suspicious]" };
    say(format_args!("{number:>4}  {:>10}  {name}  ({places}){odd}", size(result.length)))
}

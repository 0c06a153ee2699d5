//! Methods about transfers.

mod fields;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Answer, Arguments, Failure, KILO, flag, text};
use crate::node::{AddRequest, AddSource, Change, Node, NodeError, parse_source};
use crate::record::{Bandwidth, Priority};
use crate::view::Transfer;

/// The limit of who asks for one and names none, in bytes per second.
const RATE: u64 = 100 * KILO;
/// What `seedRatioMode` and `seedIdleMode` say.
const MODE_GLOBAL: u64 = 0;
const MODE_SINGLE: u64 = 1;

/// The transfers that `ids` names, in the order of the queue; without it, all.
fn chosen(node: &Node, arguments: &Arguments) -> Result<Vec<Transfer>, Failure> {
    let mut all = node.transfers();
    all.retain(|transfer| transfer.infohash_v1.is_some() || transfer.infohash_v2.is_some());
    let is = |transfer: &Transfer, id: &Value| match id {
        Value::Number(number) => number.as_u64() == Some(transfer.number),
        Value::String(hash) => transfer.id.eq_ignore_ascii_case(hash),
        _ => false,
    };
    match arguments.get("ids") {
        None | Some(Value::Null) => {}
        Some(Value::String(words)) if words == "recently-active" => {
            let lately: BTreeSet<u64> = node.changed_lately().into_iter().collect();
            all.retain(|transfer| lately.contains(&transfer.number));
        }
        Some(Value::Array(ids)) => all.retain(|transfer| ids.iter().any(|id| is(transfer, id))),
        Some(id @ (Value::Number(_) | Value::String(_))) => all.retain(|transfer| is(transfer, id)),
        Some(_) => return Err("ids are numbers, hashes, a list of them, or recently-active".into()),
    }
    Ok(all)
}

pub(super) fn get(node: &Node, arguments: &Arguments) -> Answer {
    let wanted = arguments.get("fields").and_then(Value::as_array).ok_or("no fields specified")?;
    let wanted: Vec<&str> = wanted.iter().filter_map(Value::as_str).collect();
    let chosen = chosen(node, arguments)?;
    let mut torrents = Vec::with_capacity(chosen.len());
    for transfer in &chosen {
        torrents.push(fields::of(node, transfer, &wanted)?);
    }
    let table = text(arguments, &["format"]) == Some("table");
    let torrents: Vec<Value> = if table {
        let known: Vec<_> = match torrents.first() {
            Some(first) => wanted.iter().filter(|name| first.contains_key(**name)).collect(),
            None => wanted.iter().collect(),
        };
        let row = |mut torrent: Map<String, Value>| {
            let cell = |name: &&&str| torrent.remove(**name).unwrap_or_default();
            known.iter().map(cell).collect()
        };
        let head = json!(known);
        std::iter::once(head).chain(torrents.into_iter().map(row)).collect()
    } else {
        torrents.into_iter().map(Value::Object).collect()
    };
    let mut answer = json!({"torrents": torrents});
    if arguments.get("ids").and_then(Value::as_str) == Some("recently-active") {
        answer["removed"] = json!(node.removed_lately());
    }
    Ok(answer)
}

fn short(transfer: &Transfer) -> Value {
    let name = transfer.name.as_deref().unwrap_or(&transfer.id);
    json!({"id": transfer.number, "name": name, "hashString": transfer.id})
}

pub(super) fn add(node: &Arc<Node>, arguments: &Arguments) -> Answer {
    let source = match (text(arguments, &["metainfo"]), text(arguments, &["filename"])) {
        (Some(metainfo), _) => {
            let bytes =
                STANDARD.decode(metainfo.as_bytes()).map_err(|_| "metainfo is no base64")?;
            AddSource::from_bytes(&bytes).map_err(|error| Failure(error.to_string()))?
        }
        (None, Some(url)) if url.starts_with("http://") || url.starts_with("https://") => {
            let bytes = node.download(url)?;
            AddSource::from_bytes(&bytes).map_err(|error| Failure(error.to_string()))?
        }
        // A path on this machine is not read: the caller reads it and sends what is in it.
        (None, Some(link)) => parse_source(link).map_err(|error| Failure(error.to_string()))?,
        (None, None) => return Err("no filename or metainfo specified".into()),
    };
    let request = AddRequest {
        dir: text(arguments, &["download-dir", "download_dir"]).map(PathBuf::from),
        paused: flag(arguments, "paused").unwrap_or(!node.config().transfers.start_added),
        sequential: flag(arguments, "sequentialDownload").unwrap_or(false),
        labels: texts(arguments.get("labels")).unwrap_or_default(),
        ..AddRequest::new(source)
    };
    let shares = shares(arguments)?;
    let added = match node.add(request) {
        Ok(added) => added,
        Err(NodeError::Duplicate(id)) => {
            return Ok(json!({"torrent-duplicate": short(&node.get(&id)?)}));
        }
        Err(error) => return Err(error.into()),
    };
    let change = Change { files: priorities(node, &added.id, arguments)?, ..shares };
    if change != Change::default() {
        node.change(&added.id, change)?;
    }
    Ok(json!({"torrent-added": short(&added)}))
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    let all = value?.as_array()?.iter();
    Some(all.filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

/// What is asked of files. They are counted without padding here; an empty list means all.
fn priorities(
    node: &Node,
    id: &str,
    arguments: &Arguments,
) -> Result<Vec<(usize, Priority)>, Failure> {
    let mut changes = Vec::new();
    let mut indices: Option<Vec<(usize, Priority)>> = None;
    for (name, priority) in [
        ("files-unwanted", Priority::Skip),
        ("files-wanted", Priority::Normal),
        ("priority-low", Priority::Low),
        ("priority-normal", Priority::Normal),
        ("priority-high", Priority::High),
    ] {
        let Some(list) = arguments.get(name) else { continue };
        let list = list.as_array().ok_or_else(|| Failure(format!("{name} is a list")))?;
        let known = match &mut indices {
            Some(known) => known,
            none => {
                let files = node.files(id)?;
                none.insert(files.iter().map(|file| (file.index, file.priority)).collect())
            }
        };
        let places: Vec<usize> = if list.is_empty() {
            (0..known.len()).collect()
        } else {
            list.iter().filter_map(|at| usize::try_from(at.as_u64()?).ok()).collect()
        };
        for place in places {
            let (index, now) = known.get_mut(place).ok_or("there is no such file")?;
            // Wanting again keeps how much, and a priority alone does not want what is not wanted.
            let keeps = match name {
                "files-wanted" => *now != Priority::Skip,
                "files-unwanted" => false,
                _ => *now == Priority::Skip,
            };
            if !keeps {
                *now = priority;
                changes.push((*index, priority));
            }
        }
    }
    Ok(changes)
}

/// The trackers that are asked for instead of those there are: all of them by `trackerList`, or some
/// by their numbers.
fn trackers(node: &Node, id: &str, arguments: &Arguments) -> Result<Option<Vec<String>>, Failure> {
    if let Some(list) = text(arguments, &["trackerList"]) {
        let urls = list.lines().map(str::trim).filter(|line| !line.is_empty());
        return Ok(Some(urls.map(str::to_owned).collect()));
    }
    let list = |name: &str| arguments.get(name).and_then(Value::as_array);
    let (replace, remove) = (list("trackerReplace"), list("trackerRemove"));
    if replace.is_none() && remove.is_none() {
        return Ok(None);
    }
    let mut urls: Vec<_> = node.trackers(id)?.into_iter().map(|one| Some(one.url)).collect();
    let place = |number: &Value| -> Result<usize, Failure> {
        let place = number.as_u64().and_then(|number| usize::try_from(number).ok());
        place.filter(|place| *place < urls.len()).ok_or_else(|| "there is no such tracker".into())
    };
    let mut changes = Vec::new();
    for pair in replace.map_or(&[][..], Vec::as_slice).chunks(2) {
        let [number, url] = pair else { return Err("trackerReplace is pairs".into()) };
        let url = url.as_str().ok_or("a tracker is a URL")?;
        changes.push((place(number)?, Some(url.to_owned())));
    }
    for number in remove.into_iter().flatten() {
        changes.push((place(number)?, None));
    }
    for (place, url) in changes {
        urls[place] = url;
    }
    Ok(Some(urls.into_iter().flatten().collect()))
}

/// A limit of a transfer in one direction: a switch, and thousands of bytes per second.
fn limit(arguments: &Arguments, way: &str, now: Option<u64>) -> Option<Option<u64>> {
    let limited = flag(arguments, &format!("{way}Limited"));
    let rate = arguments.get(&format!("{way}Limit")).and_then(Value::as_u64);
    let rate = rate.map(|rate| rate.saturating_mul(KILO));
    match (limited, rate) {
        (Some(false), _) => Some(None),
        (Some(true), rate) => Some(Some(rate.or(now).unwrap_or(RATE))),
        // A number alone counts if there is a limit.
        (None, Some(rate)) => now.is_some().then_some(Some(rate)),
        (None, None) => None,
    }
}

/// What a transfer may have of what all share: `bandwidthPriority`, `peer-limit`.
fn shares(arguments: &Arguments) -> Result<Change, Failure> {
    let bandwidth = match arguments.get("bandwidthPriority").map(Value::as_i64) {
        None => None,
        Some(Some(-1)) => Some(Bandwidth::Low),
        Some(Some(0)) => Some(Bandwidth::Normal),
        Some(Some(1)) => Some(Bandwidth::High),
        Some(_) => return Err("bandwidthPriority is -1, 0 or 1".into()),
    };
    let limit = arguments.get("peer-limit").and_then(Value::as_u64);
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Change { bandwidth, max_connections: limit.map(Some), ..Change::default() })
}

pub(super) fn set(node: &Arc<Node>, arguments: &Arguments) -> Answer {
    let shares = shares(arguments)?;
    for transfer in chosen(node, arguments)? {
        let number = |name: &str| arguments.get(name).and_then(Value::as_u64);
        let mode = number("seedRatioMode");
        let ratio = arguments.get("seedRatioLimit").and_then(Value::as_f64);
        let change = Change {
            sequential: flag(arguments, "sequentialDownload"),
            seed_ratio: match (mode, ratio) {
                (Some(MODE_GLOBAL), _) => Some(None),
                (Some(MODE_SINGLE) | None, Some(ratio)) => Some(Some(ratio)),
                // For ever.
                (Some(2..), _) => Some(Some(0.0)),
                (_, None) => None,
            },
            seed_idle: match (number("seedIdleMode"), number("seedIdleLimit")) {
                (Some(MODE_GLOBAL), _) => Some(None),
                (Some(MODE_SINGLE) | None, Some(minutes)) => Some(Some(minutes.saturating_mul(60))),
                (Some(2..), _) => Some(Some(0)),
                (_, None) => None,
            },
            upload_limit: limit(arguments, "upload", transfer.rules.upload_limit),
            download_limit: limit(arguments, "download", transfer.rules.download_limit),
            unlimited: flag(arguments, "honorsSessionLimits").map(|honors| !honors),
            labels: texts(arguments.get("labels")),
            queue_position: number("queuePosition"),
            files: priorities(node, &transfer.id, arguments)?,
            trackers_add: texts(arguments.get("trackerAdd")).unwrap_or_default(),
            trackers: trackers(node, &transfer.id, arguments)?,
            ..shares.clone()
        };
        node.change(&transfer.id, change)?;
        if let Some(dir) = text(arguments, &["location"]) {
            node.move_to(&transfer.id, &PathBuf::from(dir))?;
        }
    }
    Ok(json!({}))
}

pub(super) fn remove(node: &Arc<Node>, arguments: &Arguments) -> Answer {
    let data = flag(arguments, "delete-local-data").unwrap_or(false);
    for transfer in chosen(node, arguments)? {
        node.remove(&transfer.id, data)?;
    }
    Ok(json!({}))
}

/// Does the same to each transfer.
pub(super) fn each(
    node: &Arc<Node>,
    arguments: &Arguments,
    act: impl Fn(&Node, &str) -> Result<Transfer, NodeError>,
) -> Answer {
    for transfer in chosen(node, arguments)? {
        act(node, &transfer.id)?;
    }
    Ok(json!({}))
}

pub(super) fn set_location(node: &Arc<Node>, arguments: &Arguments) -> Answer {
    let dir = PathBuf::from(text(arguments, &["location"]).ok_or("no location")?);
    let moves = flag(arguments, "move").unwrap_or(false);
    for transfer in chosen(node, arguments)? {
        if moves {
            node.move_to(&transfer.id, &dir)?;
        } else {
            node.relocate(&transfer.id, &dir)?;
        }
    }
    Ok(json!({}))
}

/// Gives a file or folder of a torrent another name.
pub(super) fn rename(node: &Arc<Node>, arguments: &Arguments) -> Answer {
    let chosen = chosen(node, arguments)?;
    let [transfer] = chosen.as_slice() else { return Err("one torrent at a time".into()) };
    let path = text(arguments, &["path"]).ok_or("which path?")?;
    let name = text(arguments, &["name"]).ok_or("which name?")?;
    node.rename_path(&transfer.id, path, name)?;
    Ok(json!({"path": path, "name": name, "id": transfer.number}))
}

/// Moves transfers in the queue: `to` says where, from the place now and how many there are.
pub(super) fn move_in_queue(
    node: &Arc<Node>,
    arguments: &Arguments,
    to: impl Fn(u64, u64) -> u64,
) -> Answer {
    let count = node.transfers().len() as u64;
    for transfer in chosen(node, arguments)? {
        let position = Some(to(transfer.rules.queue_position, count));
        node.change(&transfer.id, Change { queue_position: position, ..Change::default() })?;
    }
    Ok(json!({}))
}

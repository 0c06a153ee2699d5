//! Methods about the node as a whole.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Answer, Arguments, Failure, KILO, flag, text};
use crate::config::{EncryptionSetting, Times};
use crate::node::{self, Node};
use crate::paths;

/// Minutes after which a transfer counts as stalled, for who asks for that and names none.
const STALLED_MINUTES: u64 = 30;
/// The version of the RPC that is spoken.
const RPC_VERSION: u32 = 17;
/// The oldest that programs may speak.
const RPC_VERSION_MIN: u32 = 14;

pub(super) fn get(node: &Node, arguments: &Arguments, id: &str) -> Value {
    let config = node.config();
    let limit = |bytes: u64| (bytes > 0).then_some(bytes);
    let up = limit(config.transfers.upload_limit);
    let down = limit(config.transfers.download_limit);
    let stalled = limit(config.transfers.queue_stalled);
    let encryption = match config.network.encryption {
        EncryptionSetting::Off => "tolerated",
        EncryptionSetting::Allow | EncryptionSetting::Prefer => "preferred",
        EncryptionSetting::Require => "required",
    };
    // Front-ends go by the version of Transmission that a program stands in for.
    let version = concat!("4.0.0 (Shoal ", env!("CARGO_PKG_VERSION"), ")");
    let transfers = json!({
        "alt-speed-down": config.transfers.alt_download_limit.div_ceil(KILO),
        "alt-speed-enabled": config.transfers.alt_enabled,
        "alt-speed-time-begin": config.transfers.alt_times.begin(),
        "alt-speed-time-day": config.transfers.alt_times.days(),
        "alt-speed-time-enabled": config.transfers.alt_scheduled,
        "alt-speed-time-end": config.transfers.alt_times.end(),
        "alt-speed-up": config.transfers.alt_upload_limit.div_ceil(KILO), "default-trackers": "",
        "download-dir": config.transfers.download_dir,
        "download-dir-free-space": node::free_space(&config.transfers.download_dir).unwrap_or(0),
        "download-queue-enabled": config.transfers.download_queue > 0,
        "download-queue-size": config.transfers.download_queue,
        "idle-seeding-limit": config.transfers.seed_idle.div_ceil(60),
        "idle-seeding-limit-enabled": config.transfers.seed_idle > 0,
        "incomplete-dir": config.transfers.download_dir, "incomplete-dir-enabled": false,
        "queue-stalled-enabled": config.transfers.queue_stalled > 0,
        "queue-stalled-minutes": stalled.map_or(STALLED_MINUTES, |seconds| seconds.div_ceil(60)),
        "rename-partial-files": false, "script-torrent-done-enabled": false,
        "script-torrent-done-filename": "", "seed-queue-enabled": config.transfers.seed_queue > 0,
        "seed-queue-size": config.transfers.seed_queue,
        "seedRatioLimit": config.transfers.seed_ratio,
        "seedRatioLimited": config.transfers.seed_ratio > 0.0,
        "speed-limit-down": down.map_or(100, |limit| limit.div_ceil(KILO)),
        "speed-limit-down-enabled": down.is_some(),
        "speed-limit-up": up.map_or(100, |limit| limit.div_ceil(KILO)),
        "speed-limit-up-enabled": up.is_some(), "start-added-torrents": config.transfers.start_added,
        "trash-original-torrent-files": false,
    });
    let others = json!({
        "blocklist-enabled": false, "blocklist-size": 0, "blocklist-url": "", "cache-size-mb": 0,
        "config-dir": node.began_with().node.state_dir, "dht-enabled": config.network.dht,
        "encryption": encryption, "lpd-enabled": config.network.lsd,
        "peer-limit-global": config.network.max_connections,
        "peer-limit-per-torrent": config.transfers.max_connections,
        "peer-port": node.addresses().first().map_or(0, std::net::SocketAddr::port),
        "peer-port-random-on-start": false, "pex-enabled": config.network.pex,
        "port-forwarding-enabled": config.network.port_mapping, "rpc-version": RPC_VERSION,
        "rpc-version-minimum": RPC_VERSION_MIN, "rpc-version-semver": "5.3.0", "session-id": id,
        "tcp-enabled": config.network.tcp, "utp-enabled": config.network.utp, "version": version,
        "units": {"speed-units": ["kB/s", "MB/s", "GB/s", "TB/s"], "speed-bytes": KILO,
            "size-units": ["kB", "MB", "GB", "TB"], "size-bytes": KILO,
            "memory-units": ["KiB", "MiB", "GiB", "TiB"], "memory-bytes": 1024},
    });
    let mut all = Map::new();
    for part in [transfers, others] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    let Some(fields) = arguments.get("fields").and_then(Value::as_array) else {
        return Value::Object(all);
    };
    let wanted = fields.iter().filter_map(Value::as_str);
    let wanted = wanted.filter_map(|name| Some((name.to_owned(), all.get(name)?.clone())));
    Value::Object(wanted.collect::<Map<_, _>>())
}

/// When the other limits hold; what is not said stays.
fn alt_times(arguments: &Arguments, now: Times) -> Result<Times, Failure> {
    let number = |name: &str, now: u16| match arguments.get(name) {
        Some(value) => value.as_u64().and_then(|value| u16::try_from(value).ok()),
        None => Some(now),
    };
    let times = || {
        let days = number("alt-speed-time-day", now.days().into())?;
        let begin = number("alt-speed-time-begin", now.begin())?;
        let end = number("alt-speed-time-end", now.end())?;
        Times::new(u8::try_from(days).ok()?, begin, end)
    };
    times().ok_or_else(|| "days are a number up to 127, and times minutes of a day".into())
}

pub(super) fn set(node: &Node, arguments: &Arguments) -> Answer {
    let before = node.config();
    let mut changes: Vec<(String, Option<Value>)> = Vec::new();
    let mut change = |name: &str, value: Value| changes.push((name.to_owned(), Some(value)));
    let transfers = &before.transfers;
    let limit = |bytes: u64| (bytes > 0).then_some(bytes);
    for (name, setting, now) in [
        ("speed-limit-up", "transfers.upload_limit", limit(transfers.upload_limit)),
        ("speed-limit-down", "transfers.download_limit", limit(transfers.download_limit)),
    ] {
        let enabled = flag(arguments, &format!("{name}-enabled"));
        let rate = arguments.get(name).and_then(Value::as_u64);
        let rate = rate.map(|rate| rate.saturating_mul(KILO));
        match (enabled, rate) {
            (Some(false), _) => change(setting, json!(0)),
            (Some(true), rate) => change(setting, json!(rate.or(now).unwrap_or(100 * KILO))),
            // A number alone counts if there is a limit.
            (None, Some(rate)) if now.is_some() => change(setting, json!(rate)),
            (None, _) => {}
        }
    }
    match (flag(arguments, "seedRatioLimited"), arguments.get("seedRatioLimit")) {
        (Some(false), _) => change("transfers.seed_ratio", json!(0.0)),
        (_, Some(ratio)) => change("transfers.seed_ratio", ratio.clone()),
        _ => {}
    }
    for (name, setting) in [
        ("alt-speed-up", "transfers.alt_upload_limit"),
        ("alt-speed-down", "transfers.alt_download_limit"),
    ] {
        if let Some(rate) = arguments.get(name).and_then(Value::as_u64) {
            change(setting, json!(rate.saturating_mul(KILO)));
        }
    }
    for (switch, number, setting, factor, usual) in [
        ("download-queue-enabled", "download-queue-size", "transfers.download_queue", 1, 5),
        ("seed-queue-enabled", "seed-queue-size", "transfers.seed_queue", 1, 10),
        ("idle-seeding-limit-enabled", "idle-seeding-limit", "transfers.seed_idle", 60, 30),
        (
            "queue-stalled-enabled",
            "queue-stalled-minutes",
            "transfers.queue_stalled",
            60,
            STALLED_MINUTES,
        ),
    ] {
        let count = arguments.get(number).and_then(Value::as_u64);
        match (flag(arguments, switch), count) {
            (Some(false), _) => change(setting, json!(0)),
            (_, Some(count)) => change(setting, json!(count.saturating_mul(factor))),
            (Some(true), None) => change(setting, json!(usual * factor)),
            (None, None) => {}
        }
    }
    for (name, setting) in [
        ("peer-limit-global", "network.max_connections"),
        ("peer-limit-per-torrent", "transfers.max_connections"),
    ] {
        if let Some(count) = arguments.get(name).and_then(Value::as_u64) {
            change(setting, json!(count));
        }
    }
    let times = alt_times(arguments, transfers.alt_times)?;
    if times != transfers.alt_times {
        change("transfers.alt_times", json!(times));
    }
    if let Some(dir) = text(arguments, &["download-dir", "download_dir"]) {
        // Whoever may use the RPC chooses among the folders that are allowed, and allows no others.
        let real = paths::beneath(Path::new(dir), &before.transfers.allowed());
        let real = real.ok_or("this folder is none of those that are allowed")?;
        if real != before.transfers.download_dir {
            let roots: Vec<_> = before.transfers.allowed();
            change("transfers.roots", json!(roots));
            change("transfers.download_dir", json!(real));
        }
    }
    for (name, setting) in [
        ("alt-speed-enabled", "transfers.alt_enabled"),
        ("alt-speed-time-enabled", "transfers.alt_scheduled"),
        ("start-added-torrents", "transfers.start_added"),
        ("dht-enabled", "network.dht"),
        ("pex-enabled", "network.pex"),
        ("lpd-enabled", "network.lsd"),
        ("utp-enabled", "network.utp"),
        ("port-forwarding-enabled", "network.port_mapping"),
    ] {
        if let Some(on) = flag(arguments, name) {
            change(setting, json!(on));
        }
    }
    if let Some(encryption) = text(arguments, &["encryption"]) {
        let setting = match encryption {
            "required" => "require",
            "preferred" => "prefer",
            "tolerated" => "allow",
            _ => return Err("encryption is required, preferred or tolerated".into()),
        };
        change("network.encryption", json!(setting));
    }
    node.change_settings(&changes)?;
    Ok(json!({}))
}

pub(super) fn stats(node: &Arc<Node>) -> Value {
    let status = node.status();
    let counts = &status.transfers;
    let stats = json!({
        "downloadedBytes": status.downloaded, "uploadedBytes": status.uploaded,
        "filesAdded": counts.total, "secondsActive": status.uptime as u64, "sessionCount": 1,
    });
    json!({
        "activeTorrentCount": counts.total - counts.paused - counts.failed,
        "downloadSpeed": status.download_rate, "uploadSpeed": status.upload_rate,
        "pausedTorrentCount": counts.paused, "torrentCount": counts.total,
        "cumulative-stats": stats, "current-stats": stats,
    })
}

/// Whether the router lets others in, as it says; nobody outside is asked.
pub(super) fn port_test(node: &Node) -> Value {
    let mappings = node.status().port_mappings;
    json!({"port-is-open": mappings.iter().any(|port| port.external.is_some())})
}

pub(super) fn free_space(node: &Node, arguments: &Arguments) -> Answer {
    let path = text(arguments, &["path"]).ok_or("which path?")?;
    let real = paths::beneath(Path::new(path), &node.config().transfers.allowed());
    let real = real.ok_or("this folder is none of those that are allowed")?;
    let free = node::free_space(&real).ok_or("nobody knows")?;
    Ok(json!({"path": path, "size-bytes": free, "total_size": node::total_space(&real)}))
}

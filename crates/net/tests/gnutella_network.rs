//! Thirty servents of Gnutella, each a process: ultrapeers, leaves, and leaves behind a firewall. Half
//! of the ultrapeers are killed while everybody searches, and all that is shared stays findable, also
//! what only a push brings.
//!
//! All of it runs in a network namespace of its own, where a packet filter lets nobody connect to
//! those behind the firewall. Where namespaces are not allowed the same is run without the filter.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use net::gnutella::{Config, Found, Mode, Node, Want, first};
use tokio::sync::{mpsc, watch};

const HUBS: u8 = 6;
const LEAVES: u8 = 18;
const HIDDEN: u8 = 6;
const KILLED: usize = 3;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Only those who answer may speak to addresses of the firewalled.
const FILTER: &str = "ip link set lo up && nft add table inet f && \
    nft add chain inet f input '{ type filter hook input priority 0; }' && \
    nft add rule inet f input ip daddr 127.0.1.0/24 tcp flags '& (syn|ack) == syn' drop";

/// A servent in a process; it dies with this.
struct Servent {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Servent {
    fn start(mode: &str, ip: Ipv4Addr, known: &[SocketAddr], file: Option<&Path>) -> Self {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let mut command = itself("act");
        command
            .env("SHOAL_SERVENT", mode)
            .env("SHOAL_SERVENT_IP", ip.to_string())
            .env("SHOAL_SERVENT_KNOWN", known.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(file) = file {
            command.env("SHOAL_SERVENT_FILE", file);
        }
        let mut process = command.spawn().expect("a process");
        let orders = process.stdin.take().expect("its input");
        let answers = BufReader::new(process.stdout.take().expect("its output"));
        let address = SocketAddr::from((ip, 0));
        let mut servent = Self { process, orders, answers, address };
        servent.address = servent.answer("listening").parse().expect("an address");
        servent
    }

    /// What it says after this word.
    fn answer(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.answers.read_line(&mut line).expect("its output");
            assert!(read > 0, "{} ended before it said `{word}`", self.address);
            // The harness prints the test's name first, on the same line.
            if let Some((_, answer)) = line.split_once(&format!("{word} ")) {
                return answer.trim().to_owned();
            }
        }
    }

    /// Has it find a file, and fetch it if there is a place for it.
    fn ask(&mut self, name: &str, to: Option<&Path>) -> String {
        let to = to.map(|to| to.display().to_string()).unwrap_or_default();
        writeln!(self.orders, "{name}\t{to}").expect("it listens");
        self.answer("found")
    }
}

impl Drop for Servent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program, to run one of its tests.
fn itself(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture", "--test-threads", "1"]);
    command
}

#[test]
fn all_content_stays_findable_while_ultrapeers_are_killed() {
    let allowed = |flags: &str| {
        let tried = Command::new("unshare").args([flags, "sh", "-c", FILTER]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(flags) = ["-n", "-rn"].into_iter().find(|flags| allowed(flags)) else {
        return network();
    };
    let mut inside = Command::new("unshare");
    let run = itself("network_inside");
    inside.args([flags, "sh", "-c", &format!("{FILTER} && exec \"$0\" \"$@\"")]);
    inside.arg(run.get_program()).args(run.get_args()).env("SHOAL_NETWORK", "inside");
    assert!(inside.status().expect("unshare").success());
}

#[test]
fn network_inside() {
    if env::var_os("SHOAL_NETWORK").is_some() {
        network();
    }
}

fn network() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut hubs: Vec<Servent> = Vec::new();
    for n in 1..=HUBS {
        let known: Vec<_> = hubs.iter().map(|hub| hub.address).collect();
        hubs.push(Servent::start("hub", Ipv4Addr::new(127, 0, 0, n), &known, None));
    }
    let known: Vec<_> = hubs.iter().map(|hub| hub.address).collect();
    let starts = (0..LEAVES + HIDDEN).map(|n| {
        let file = dir.path().join(name(n));
        std::fs::write(&file, vec![n; 100_000 + usize::from(n)]).expect("a file");
        let known = known.clone();
        thread::spawn(move || {
            let (mode, third) = if n < LEAVES { ("leaf", 0) } else { ("hidden", 1) };
            Servent::start(mode, Ipv4Addr::new(127, 0, third, 100 + n), &known, Some(&file))
        })
    });
    let starts: Vec<_> = starts.collect();
    let leaves: Vec<_> = starts.into_iter().map(|start| start.join().expect("started")).collect();

    // Everybody finds what others share, and goes on looking for more while ultrapeers are killed.
    let count = LEAVES + HIDDEN;
    let (found, counted) = std::sync::mpsc::channel();
    let seekers: Vec<_> = (0..count)
        .zip(leaves)
        .map(|(n, mut leaf)| {
            let found = found.clone();
            thread::spawn(move || {
                // Never one behind the firewall for another there: neither could reach the other.
                for step in [9, 11, 17] {
                    assert_eq!(leaf.ask(&name((n + step) % count), None), "it");
                    found.send(()).expect("somebody counts");
                }
                leaf
            })
        })
        .collect();
    drop(found);
    assert_eq!(counted.iter().take(usize::from(count) / 2).count(), usize::from(count) / 2);
    hubs.drain(..KILLED);
    let leaves: Vec<_> = seekers.into_iter().map(|seeker| seeker.join().expect("found")).collect();
    assert_eq!(counted.iter().count() + usize::from(count) / 2, 3 * usize::from(count));

    // All of it is found by somebody else, and comes; from behind the firewall by push.
    let last: Vec<_> = (0..count)
        .zip(leaves)
        .map(|(n, mut leaf)| {
            let to = dir.path().join(format!("taken{n}"));
            thread::spawn(move || {
                let wanted = (n + 7) % count;
                let how = leaf.ask(&name(wanted), Some(&to));
                (leaf, n, wanted, how, to)
            })
        })
        .collect();
    // Nobody ends before all have fetched: others fetch from it.
    let last: Vec<_> = last.into_iter().map(|fetch| fetch.join().expect("fetched")).collect();
    for (_leaf, n, wanted, how, to) in last {
        let expected = if wanted < LEAVES { "by hand" } else { "by push" };
        assert_eq!(how, expected, "{n} fetches {wanted}");
        let bytes = std::fs::read(to).expect("a file");
        assert!(bytes.len() == 100_000 + usize::from(wanted) && bytes.iter().all(|b| *b == wanted));
    }
}

/// Words that no other name begins with.
fn name(n: u8) -> String {
    format!("treasure of{n:02}x.bin")
}

/// In a child: is a servent that does what it is told, until nobody tells it anything any more.
#[test]
fn act() {
    let Ok(mode) = env::var("SHOAL_SERVENT") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(serve(&mode));
}

async fn serve(mode: &str) {
    let variable = |name| env::var(name).unwrap_or_default();
    let ip: Ipv4Addr = variable("SHOAL_SERVENT_IP").parse().expect("an address");
    let role = if mode == "hub" { Mode::Ultrapeer } else { Mode::Leaf };
    let mut config = Config::new(SocketAddr::from((ip, 0)), role);
    config.firewalled = mode == "hidden";
    config.tuning.tick = Duration::from_millis(200);
    config.tuning.dynamic_pause = Duration::from_millis(200);
    config.tuning.slots = 1 << 12;
    let node = Node::start(config).expect("a servent");
    if let Ok(file) = env::var("SHOAL_SERVENT_FILE") {
        node.publish(Path::new(&file)).await.expect("shared");
    }
    let known = variable("SHOAL_SERVENT_KNOWN");
    let known: Vec<_> = known.split(',').filter_map(|known| known.parse().ok()).collect();
    node.join(&known).await;
    println!("listening {}", node.address());
    let (orders, mut ordered) = mpsc::channel(1);
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if orders.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(order) = ordered.recv().await {
        let (name, to) = order.split_once('\t').expect("a name and a place");
        println!("found {}", find(&node, name, to).await);
    }
}

/// Searches again and again: tables of words take a while to travel.
async fn find(node: &Node, name: &str, to: &str) -> &'static str {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let mut search = node.search(name, None).await;
        let is = |found: &Found| found.name == name;
        let Some(found) = first(&mut search, Duration::from_secs(2), is).await else { continue };
        let want = Want::of(&found).expect("a hash");
        let fetched = async { node.fetch(want, Path::new(to), watch::Sender::default()).await };
        match (to, found.push) {
            ("", _) => return "it",
            (_, push) if fetched.await.is_ok_and(|fetched| fetched.by_hashes) => {
                return if push { "by push" } else { "by hand" };
            }
            // Whoever passes pushes on may have been killed.
            _ => {}
        }
    }
    "nothing"
}

//! `shoal tracker`: tell peers of each other, over HTTP and UDP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use net::tracker::{Server, ServerConfig, ServerError, ServerHandle, ServerStats};
use node::api::reachable;
use tokio::runtime;
use tokio::time::interval;

use crate::args::{Listen, listen_addresses, parse_listen};
use crate::exit::{BadInput, Exit, Failure, say};
use crate::interrupt;
use crate::report::{TrackerCounts, TrackerEvent, say_json};
use crate::units::parse_duration;

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Options of `shoal tracker`.
#[derive(Args, Debug)]
pub struct TrackerArgs {
    /// Answer here, over HTTP and UDP; a port alone means every address of this machine. May be
    /// repeated
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen, default_value = "6969")]
    listen: Vec<Listen>,
    /// Ask peers to announce so often
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30m")]
    interval: Duration,
    /// Most peers in an answer
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = numwant)]
    numwant: usize,
    /// Serve only the infohashes in this file, in hexadecimal, one a line; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,
    /// Do not answer over HTTP
    #[arg(long, conflicts_with = "no_udp")]
    no_http: bool,
    /// Do not answer over UDP
    #[arg(long)]
    no_udp: bool,
    /// Print counts so often
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    report: Option<Duration>,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
    /// Stop when standard input ends, as after a signal: for programs that start this one
    #[arg(long)]
    stop_at_eof: bool,
}

fn numwant(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=200).contains(number));
    number.ok_or_else(|| "from 1 to 200 peers fit an answer".to_owned())
}

/// Runs a tracker until a signal.
///
/// # Errors
/// When an address cannot be had, or the file of infohashes cannot be read.
pub fn run(args: &TrackerArgs) -> Result<Exit, Failure> {
    if args.stop_at_eof {
        interrupt::heed_end_of_input()?;
    }
    interrupt::heed();
    interrupt::heed_hangups();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(serve(args))
}

async fn serve(args: &TrackerArgs) -> Result<Exit, Failure> {
    let config = ServerConfig {
        listen: listen_addresses(&args.listen),
        http: !args.no_http,
        udp: !args.no_udp,
        interval: args.interval,
        max_peers_returned: args.numwant,
        allow_list: args.allow.clone(),
        ..ServerConfig::default()
    };
    let server = match Server::bind(config).await {
        Err(error @ ServerError::AllowList(_)) => return Err(error).bad_input(),
        bound => bound.map_err(anyhow::Error::from)?,
    };
    args.say_listening(server.addresses())?;
    let handle = server.handle();
    let mut said = Ok(());
    let watch = async { said = args.watch(&handle).await };
    let stats = server.run(watch).await.context("the tracker failed")?;
    said?;
    args.say_stats(&stats)?;
    Ok(Exit::Done)
}

impl TrackerArgs {
    fn say_listening(&self, addresses: &[SocketAddr]) -> Result<(), Failure> {
        let schemes = [("http", !self.no_http), ("udp", !self.no_udp)];
        let schemes = schemes.into_iter().filter(|(_, spoken)| *spoken);
        let announce: Vec<_> = schemes
            .flat_map(|(scheme, _)| {
                let addresses = addresses.iter().map(|address| reachable(*address));
                addresses.map(move |address| format!("{scheme}://{address}/announce"))
            })
            .collect();
        if self.json {
            return say_json(&TrackerEvent::Listening { announce });
        }
        announce.iter().try_for_each(|url| say(format_args!("Announce  {url}")))
    }

    /// Waits for a signal, and meanwhile prints counts and reads the list again.
    async fn watch(&self, handle: &ServerHandle) -> Result<(), Failure> {
        let mut ticks = interval(TICK);
        let mut reported = Instant::now();
        while !interrupt::wanted() {
            ticks.tick().await;
            if interrupt::take_hangup() {
                match handle.reload_allow_list() {
                    Ok(()) => tracing::info!("read the list of infohashes again"),
                    Err(error) => tracing::error!(%error, "the old list of infohashes stays"),
                }
            }
            if self.report.is_some_and(|every| reported.elapsed() >= every) {
                reported = Instant::now();
                self.say_stats(&handle.stats())?;
            }
        }
        Ok(())
    }

    fn say_stats(&self, stats: &ServerStats) -> Result<(), Failure> {
        if self.json {
            return say_json(&TrackerEvent::Stats(TrackerCounts::from(stats)));
        }
        let ServerStats { torrents, peers, udp_announces, http_announces, .. } = stats;
        say(format_args!(
            "{peers} peers of {torrents} torrents; {http_announces} announces over HTTP, \
             {udp_announces} over UDP"
        ))
    }
}

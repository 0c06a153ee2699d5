//! `shoal index`: a server of Napster, which knows who has which files.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use net::napster::server::{Limits, Server, ServerConfig, ServerHandle, Status};
use serde_json::json;
use tokio::runtime;
use tokio::time::interval;

use crate::exit::{BadInput, Exit, Failure, say};
use crate::interrupt;
use crate::report::say_json;
use crate::units::{parse_duration, size};

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Options of `shoal index`.
#[derive(Args, Debug)]
pub struct IndexArgs {
    /// Accept users here, over IPv4; a port alone means every address of this machine
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen, default_value = "8888")]
    listen: SocketAddrV4,
    /// Keep accounts and the log of the index in this folder; without it all is forgotten in the end
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Keep the index in this database of PostgreSQL, which other servers may share under other
    /// names, instead of in memory (`postgres://USER@HOST/NAME`; a folder with a socket is %2Frun%2Fpostgresql)
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// What the server calls itself
    #[arg(long, default_value = "shoal")]
    name: String,
    /// Greet users with the text in this file
    #[arg(long, value_name = "FILE")]
    motd: Option<PathBuf>,
    /// After a restart, list files of users who have not come back yet for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10m")]
    grace: Duration,
    /// Let in only users whose names are registered
    #[arg(long)]
    registered_only: bool,
    /// Most files of one user
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    max_files: u32,
    /// Most connections of one host
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_per_host: u32,
    /// Do not try whether users' ports can be reached
    #[arg(long)]
    no_probe: bool,
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

fn parse_listen(text: &str) -> Result<SocketAddrV4, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is not an IPv4 address and a port such as 192.0.2.1:8888 or 8888")
    })
}

/// Runs a server until a signal.
///
/// # Errors
/// When the address cannot be had, or what was kept cannot be read.
pub fn run(args: &IndexArgs) -> Result<Exit, Failure> {
    if args.stop_at_eof {
        interrupt::heed_end_of_input()?;
    }
    interrupt::heed();
    // The index and passwords have threads of their own.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(serve(args))
}

async fn serve(args: &IndexArgs) -> Result<Exit, Failure> {
    let motd = args.motd.as_ref().map(std::fs::read_to_string).transpose();
    let motd = motd.context("read the text that greets users").bad_input()?.unwrap_or_default();
    let server = Server::bind(ServerConfig {
        name: args.name.clone(),
        motd,
        state: args.state.clone(),
        database: args.database.clone(),
        grace: args.grace,
        limits: Limits {
            registered_only: args.registered_only,
            files: args.max_files,
            per_host: args.max_per_host,
            probe: !args.no_probe,
            ..Limits::default()
        },
        ..ServerConfig::new(args.listen)
    });
    let server = server.await.map_err(anyhow::Error::from)?;
    let address = server.address().context("the address of the server")?;
    if args.json {
        say_json(&json!({ "event": "listening", "address": address }))?;
    } else {
        say(format_args!("Users  {address}"))?;
    }
    let handle = server.handle();
    let mut said = Ok(());
    let watch = async { said = args.watch(&handle).await };
    let status = server.run(watch).await.context("the server failed")?;
    said?;
    args.say_status(&status)?;
    Ok(Exit::Done)
}

impl IndexArgs {
    /// Waits for a signal, and meanwhile prints counts.
    async fn watch(&self, handle: &ServerHandle) -> Result<(), Failure> {
        let mut ticks = interval(TICK);
        let mut reported = Instant::now();
        while !interrupt::wanted() {
            ticks.tick().await;
            if self.report.is_some_and(|every| reported.elapsed() >= every) {
                reported = Instant::now();
                if let Some(status) = handle.status().await {
                    self.say_status(&status)?;
                }
            }
        }
        Ok(())
    }

    fn say_status(&self, status: &Status) -> Result<(), Failure> {
        let Status { users, channels, shared, searches, refused, .. } = status;
        if self.json {
            return say_json(&json!({
                "event": "stats",
                "users": users,
                "channels": channels,
                "files": shared.files,
                "bytes": shared.bytes,
                "searches": searches,
                "refused": refused,
            }));
        }
        say(format_args!(
            "{users} users, {} files of {}; {searches} searches",
            shared.files,
            size(shared.bytes)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_over_ipv4() {
        let all = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8_888);
        assert_eq!(parse_listen("8888"), Ok(all));
        assert_eq!(parse_listen("127.0.0.1:1"), Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1)));
        assert!(parse_listen("[::1]:8888").is_err());
    }
}

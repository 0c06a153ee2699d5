//! The index of a server of Napster in a real PostgreSQL, which the test starts for itself and which
//! is reached by a socket in its folder alone. It must be installed.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hash::{Digest, Sha1};
use machine::Rng;
use net::napster::client::{Client, ClientConfig, LocalFile, Wanted};
use net::napster::server::{DatabaseIndex, Server, ServerConfig};
use search::napster::index::{Counts, Index, MemoryIndex, Owner};
use search::napster::{FileHash, LinkSpeed, MediaType, Nick, Query, SharedFile, Text};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// No wait is longer.
const LONG: Duration = Duration::from_secs(60);

/// Where Debian keeps the programs of PostgreSQL, the newest version last; elsewhere they are in the path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

/// Runs a program of PostgreSQL, which refuses to be root.
fn command(name: &str, user: Option<(u32, u32)>) -> Command {
    let mut command = match user {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={group}")]);
            command.arg("--clear-groups").arg(program(name));
            command
        }
        None => Command::new(program(name)),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A PostgreSQL that ends with the test.
struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Postgres {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let is_root = rustix::process::geteuid().is_root();
        let user = is_root.then(|| {
            let id = |of: &str| {
                let said = Command::new("id").args([of, "postgres"]).output().expect("id");
                String::from_utf8_lossy(&said.stdout).trim().parse().expect("the user postgres")
            };
            (id("-u"), id("-g"))
        });
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).expect("given to its user");
        }
        let permissions = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), permissions).expect("to be entered");
        let data = folder.path().join("data");
        let made = command("initdb", user)
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-U",
                "shoal",
                "-D",
            ])
            .arg(&data)
            .status();
        assert!(made.expect("initdb is installed").success(), "initdb");
        let server = command("postgres", user)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::null())
            .spawn();
        let postgres = Self { server: server.expect("postgres is installed"), folder };
        let began = Instant::now();
        let ready = || {
            let asked = command("pg_isready", None).arg("-h").arg(postgres.folder.path()).status();
            asked.expect("pg_isready").success()
        };
        while !ready() {
            assert!(began.elapsed() < LONG, "it does not begin");
        }
        postgres
    }

    fn url(&self) -> String {
        format!("host={} user=shoal dbname=postgres", self.folder.path().display())
    }
}

fn owner(number: u64) -> Owner {
    Owner {
        nick: Nick::new(format!("User{number}").as_bytes()).expect("a name"),
        address: SocketAddrV4::new(Ipv4Addr::from_bits(0xcb00_7100 + number as u32), 6_699),
        link: LinkSpeed::new((number % 11) as u8).expect("a speed"),
    }
}

fn shared(rng: &mut Rng) -> SharedFile {
    const WORDS: [&str; 6] = ["Miles", "blue", "o'clock", "SKÅL", "in", "7"];
    let words: Vec<&str> = (0..1 + rng.below(4)).map(|_| WORDS[rng.below(6) as usize]).collect();
    let mut name = format!("C:\\{}.mp3", words.join(" ")).into_bytes();
    if rng.below(8) == 0 {
        // Not UTF-8.
        name.push(0xe4);
    }
    let media = MediaType::ALL[rng.below(3) as usize];
    SharedFile {
        bitrate: 64 * rng.below(5) as u32,
        seconds: rng.below(300) as u32,
        ..SharedFile::new(name.into(), FileHash::Sha1([rng.below(20) as u8; 20]), 1_000, media)
    }
}

fn query(rng: &mut Rng) -> Query {
    let words = ["miles", "blue", "clock", "skål", "in 7", "blue ä", "o'clock in"];
    let mut query = Query::new(words[rng.below(7) as usize]);
    if rng.below(2) == 0 {
        query.media = Some(MediaType::Audio);
        query.bitrate.min = 128;
    }
    query.link.max = 4 + rng.below(20);
    query
}

/// Whatever is done to it, it finds what the index in memory finds.
fn as_in_memory(url: &str) {
    let mut database = DatabaseIndex::open(url, "one").expect("opened");
    let mut memory = MemoryIndex::new(1);
    let mut rng = Rng::new(7);
    fn sorted<T>(mut list: Vec<T>, key: impl Fn(&T) -> String) -> Vec<String> {
        let mut keys: Vec<String> = list.drain(..).map(|item| key(&item)).collect();
        keys.sort();
        keys
    }
    let mut found = 0;
    for step in 0..600 {
        let who = owner(rng.below(6));
        let seen = |said: &dyn std::fmt::Debug| format!("step {step}: {said:?}");
        match rng.below(8) {
            0 => {
                database.enter(&who).expect("entered");
                let Ok(()) = memory.enter(&who);
            }
            1 if step % 3 == 0 => {
                database.leave(&who.nick).expect("left");
                let Ok(()) = memory.leave(&who.nick);
            }
            2..=4 => {
                let files: Vec<_> = (0..1 + rng.below(3)).map(|_| shared(&mut rng)).collect();
                let Ok(new) = memory.share(&who.nick, &files);
                assert_eq!(database.share(&who.nick, &files).expect("shared"), new, "{step}");
            }
            5 => {
                let name = shared(&mut rng).name;
                let Ok(was) = memory.unshare(&who.nick, &name);
                assert_eq!(database.unshare(&who.nick, &name).expect("unshared"), was, "{step}");
            }
            _ => {
                let query = query(&mut rng);
                let Ok(hits) = memory.search(&query);
                // Which ones are told when there are too many is not said.
                if hits.len() < query.limit {
                    found += hits.len();
                    let ours = database.search(&query).expect("searched");
                    assert_eq!(sorted(ours, |hit| seen(hit)), sorted(hits, |hit| seen(hit)));
                }
                let Ok(files) = memory.browse(&who.nick, 1_000);
                let ours = database.browse(&who.nick, 1_000).expect("browsed");
                assert_eq!(sorted(ours, |file| seen(file)), sorted(files, |file| seen(file)));
                let hash = FileHash::Sha1([rng.below(20) as u8; 20]);
                let Ok(twins) = memory.twins(&hash, 1_000, 1_000);
                let ours = database.twins(&hash, 1_000, 1_000).expect("found");
                assert_eq!(sorted(ours, |twin| seen(twin)), sorted(twins, |twin| seen(twin)));
            }
        }
        let Ok(counts) = memory.counts();
        assert_eq!(database.counts().expect("counted"), counts, "step {step}");
    }
    assert!(found > 100, "{found} hits are too few to say anything");
    for number in 0..6 {
        database.leave(&owner(number).nick).expect("left");
    }
    assert_eq!(database.counts().expect("counted"), Counts::default());
}

async fn serve(url: &str, name: &str) -> (SocketAddr, oneshot::Sender<()>) {
    let mut config = ServerConfig::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    config.database = Some(url.to_owned());
    config.name = name.to_owned();
    let server = Server::bind(config).await.expect("a server");
    let address = server.address().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.run(async { drop(stopped.await) }));
    (address, stop)
}

async fn join(server: SocketAddr, name: &str) -> Client {
    let config = ClientConfig {
        server,
        nick: Nick::new(name.as_bytes()).expect("a name"),
        password: "secret".to_owned(),
        register: None,
        listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        firewalled: false,
        link: LinkSpeed::T3,
        upload_slots: 4,
    };
    tokio::time::timeout(LONG, Client::join(config)).await.expect("in time").expect("it joins")
}

/// What is shared at one server is found and fetched from the other.
async fn servers_share_it(url: &str, folder: &Path) {
    let (first, _first) = serve(url, "one").await;
    let (second, _second) = serve(url, "two").await;
    let alice = join(first, "alice").await;
    let bytes = b"what is shared at one server".repeat(1_000);
    let path = folder.join("shared");
    std::fs::write(&path, &bytes).expect("written");
    let hash = FileHash::Sha1(Sha1::digest(&bytes).into());
    let name = Text::from("\\music\\a rare song.ogg");
    let shared = SharedFile::new(name, hash, bytes.len() as u64, MediaType::Audio);
    alice.publish(vec![LocalFile { path, shared }]).await;
    let bob = join(second, "bob").await;
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    let hits = loop {
        let hits = bob.search(Query::new("rare song")).await.expect("answered");
        if !hits.is_empty() {
            break hits;
        }
        turns.tick().await;
    };
    let target = folder.join("fetched");
    let fetched = bob
        .fetch(Wanted::of(&hits[0], &hits), &target, watch::Sender::default())
        .await
        .expect("fetched");
    assert!(fetched.verified, "{fetched:?}");
    assert!(std::fs::read(&target).expect("there") == bytes);
}

#[test]
#[ignore = "needs PostgreSQL: run by the checks with all other programs"]
fn interop_postgres_holds_the_index_of_several_servers() {
    let postgres = Postgres::start();
    let url = postgres.url();
    as_in_memory(&url);
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let trial = servers_share_it(&url, folder.path());
        tokio::time::timeout(LONG, trial).await.expect("in time");
    });
    // Another run of the same server finds whom it has left there.
    let mut index = DatabaseIndex::open(&url, "one").expect("opened");
    assert_eq!(index.owners().expect("told"), [Nick::new(b"alice").expect("a name")]);
    drop(postgres);
    assert!(index.counts().is_err(), "a database that has gone is noticed");
}

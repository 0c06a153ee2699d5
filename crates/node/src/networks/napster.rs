//! A client of a server of Napster, live, on a thread of its own: it shares what the library shares,
//! searches at the server, and fetches from those whom the server names.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use codec::base32;
use codec::hex::{self, Hex};
use net::dht::resolve;
use net::napster::client::{Client, ClientConfig, ClientStatus, LocalFile, Source};
use net::napster::client::{FetchError, Wanted as Sought};
use net::napster::{FileHash, LinkSpeed, MediaType, Nick, Query, SharedFile, Text};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use super::picture::Standing;
use super::shares::{self, Shared, Shares};
use super::{NetworkError, lock};
use crate::fetch::{Brought, Fetcher, Wanted};
use crate::library::Library;
use crate::search::{ContentId, Finder, Hit, SearchQuery};

/// What the network is called in addresses and settings.
pub(crate) const NAME: &str = "napster";
/// How long the server is waited for before it is tried again: the first time, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// How long a search may take.
const ANSWER: Duration = Duration::from_secs(9);
/// How often it is told how far a fetch is.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Files that are sent at once.
const UPLOAD_SLOTS: usize = 8;
/// Where the name and the password are kept that were made up.
const ACCOUNT: &str = "napster-account";

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) struct NapsterWish {
    /// The server, as `HOST:PORT`.
    pub(crate) server: String,
    /// Its name there; made up if it is empty.
    pub(crate) nick: String,
    /// Where peers come; `None` for a free port of the address that leads to the server.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether peers cannot come.
    pub(crate) firewalled: bool,
    /// Where what was made up is kept.
    pub(crate) state: PathBuf,
    /// What it shares.
    pub(crate) library: Weak<Library>,
}

/// How it stands with the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct NapsterState {
    pub(crate) nick: Option<Nick>,
    pub(crate) server: Option<SocketAddr>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) trouble: Option<String>,
    /// Users, files and gigabytes, as the server says.
    pub(crate) totals: (u32, u64, u64),
    pub(crate) standing: Standing,
}

/// A client that runs, or tries to.
#[derive(Debug)]
struct Running {
    handle: Handle,
    server: SocketAddr,
    nick: Nick,
    /// Once it was let in.
    client: Mutex<Option<Client>>,
    trouble: Mutex<Option<String>>,
    /// What is shared, by hash: told again to a client that is let in later.
    shared: Mutex<HashMap<[u8; 20], LocalFile>>,
    _stop: oneshot::Sender<()>,
    /// Tells the thread that shares the library.
    _ends: std::sync::mpsc::Sender<()>,
}

/// The client of a node, if there is one; a clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Napster(Arc<Mutex<Option<Arc<Running>>>>);

impl Napster {
    fn running(&self) -> Option<Arc<Running>> {
        lock(&self.0).clone()
    }

    /// Starts a client, which goes on trying to be let in until it is told to leave.
    pub(crate) fn join(&self, wish: NapsterWish) -> Result<(), NetworkError> {
        let mut place = lock(&self.0);
        if place.is_some() {
            return Err(NetworkError::Joined);
        }
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let failed = |address| move |source| NetworkError::Listen { address, source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed(anywhere))?;
        let found = runtime.block_on(resolve(&wish.server))?;
        let server = found.into_iter().find(SocketAddr::is_ipv4);
        let server = server.ok_or_else(|| NetworkError::NotIpv4(wish.server.clone()))?;
        let listen = match wish.listen {
            Some(listen) => listen,
            None => SocketAddr::new(runtime.block_on(super::towards(server))?, 0),
        };
        let SocketAddr::V4(listen) = listen else {
            return Err(NetworkError::NotIpv4(listen.to_string()));
        };
        let account = Account::of(&wish).map_err(failed(listen.into()))?;
        let config = ClientConfig {
            server,
            nick: account.nick.clone(),
            password: account.password,
            register: None,
            listen,
            firewalled: wish.firewalled,
            link: LinkSpeed::default(),
            upload_slots: UPLOAD_SLOTS,
        };
        let (stop, stopped) = oneshot::channel();
        let (ends, ended) = std::sync::mpsc::channel();
        let running = Arc::new(Running {
            handle: runtime.handle().clone(),
            server,
            nick: account.nick,
            client: Mutex::default(),
            trouble: Mutex::default(),
            shared: Mutex::default(),
            _stop: stop,
            _ends: ends,
        });
        runtime.spawn(enter(Arc::downgrade(&running), config));
        shares::share(Arc::downgrade(&running), wish.library, ended)
            .map_err(failed(listen.into()))?;
        let run = move || {
            // It is stopped by the end of the last handle.
            let _ = runtime.block_on(stopped);
        };
        let thread = std::thread::Builder::new().name("shoal-napster".into()).spawn(run);
        thread.map_err(failed(listen.into()))?;
        *place = Some(running);
        Ok(())
    }

    /// Logs out.
    pub(crate) fn leave(&self) {
        lock(&self.0).take();
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// How it stands.
    pub(crate) fn look(&self) -> NapsterState {
        let Some(running) = self.running() else { return NapsterState::default() };
        let client = lock(&running.client).clone();
        let status = client.as_ref().map(Client::status).unwrap_or_default();
        let ClientStatus { is_up, trouble, totals, .. } = status;
        let standing = if is_up { Standing::Up } else { Standing::Starting };
        NapsterState {
            nick: Some(running.nick.clone()),
            server: Some(running.server),
            address: client.map(|client| SocketAddr::V4(client.address())),
            trouble: trouble.or_else(|| lock(&running.trouble).clone()),
            totals,
            standing,
        }
    }
}

impl Running {
    /// Keeps a client that was let in; returns what it is to share. From here on whoever shares
    /// more tells the client itself.
    fn let_in(&self, client: Client) -> Vec<LocalFile> {
        let mut place = lock(&self.client);
        *place = Some(client);
        *lock(&self.trouble) = None;
        lock(&self.shared).values().cloned().collect()
    }
}

/// Goes on asking to be let in, until it is.
async fn enter(running: Weak<Running>, config: ClientConfig) {
    let mut pause = AGAIN.0;
    loop {
        let joined = Client::join(config.clone()).await;
        let Some(running) = running.upgrade() else { return };
        match joined {
            Ok(client) => {
                let known = running.let_in(client.clone());
                drop(running);
                client.publish(known).await;
                return;
            }
            Err(error) => *lock(&running.trouble) = Some(error.to_string()),
        }
        drop(running);
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(AGAIN.1);
    }
}

/// Under which name it logs in.
struct Account {
    nick: Nick,
    password: String,
}

impl Account {
    /// The account of the settings, with what was made up for an earlier run.
    fn of(wish: &NapsterWish) -> io::Result<Self> {
        let path = wish.state.join(ACCOUNT);
        let kept = match std::fs::read_to_string(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_up(&path)?,
            Err(error) => return Err(error),
        };
        let (name, password) = kept.trim().split_once(' ').unwrap_or(("", ""));
        let name = if wish.nick.is_empty() { name } else { &wish.nick };
        let nick = Nick::new(name.as_bytes()).filter(Nick::is_acceptable);
        let nick = nick.ok_or_else(|| {
            let why = format!("`{name}` in {} or the settings is no name", path.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        Ok(Self { nick, password: password.to_owned() })
    }
}

/// Makes up a name and a password, for whoever runs the node alone to read.
fn make_up(path: &Path) -> io::Result<String> {
    let mut random = [0; 20];
    getrandom::fill(&mut random)?;
    let account = format!("shoal-{} {}\n", Hex(&random[..4]), Hex(&random[4..]));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(account.as_bytes())?;
    Ok(account)
}

/// What kind of file that is, in Napster's words.
fn media(mime: &str) -> MediaType {
    match mime.split_once('/') {
        _ if mime == "audio/mpeg" => MediaType::Mp3,
        Some(("audio", _)) => MediaType::Audio,
        Some(("video", _)) => MediaType::Video,
        Some(("image", _)) => MediaType::Image,
        Some(("text", _)) => MediaType::Text,
        _ => MediaType::Application,
    }
}

impl Shares for Running {
    fn publish(&self, file: &Shared) -> Result<(), String> {
        // As Napster's clients wrote names: folders tell more words of a file.
        let name = Text::from(format!("\\{}", file.inside.replace('/', "\\")).as_str());
        if !name.is_quotable() {
            return Err("its name has quotes or control characters".to_owned());
        }
        let hash = FileHash::Sha1(file.sha1);
        let kind = media(crate::mime::of_name(&file.name));
        let local = LocalFile {
            path: file.path.clone(),
            shared: SharedFile::new(name, hash, file.length, kind),
        };
        let client = {
            let client = lock(&self.client);
            lock(&self.shared).insert(file.sha1, local.clone());
            client.clone()
        };
        if let Some(client) = client {
            self.handle.block_on(client.publish(vec![local]));
        }
        Ok(())
    }

    fn withdraw(&self, file: &Shared) {
        let (client, known) = {
            let client = lock(&self.client);
            (client.clone(), lock(&self.shared).remove(&file.sha1))
        };
        if let (Some(client), Some(known)) = (client, known) {
            self.handle.block_on(client.withdraw(known.shared.name));
        }
    }
}

/// How a file of a user is named in results: his name, then the file's in base32.
fn id_of(nick: &Nick, name: &Text) -> String {
    format!("{nick}/{}", base32::encode(name.as_bytes()))
}

fn source_of(id: &str) -> Option<Source> {
    let (nick, name) = id.rsplit_once('/')?;
    let name = base32::decode(name)?;
    Some(Source { nick: Nick::new(nick.as_bytes())?, name: Text::from(name) })
}

impl Finder for Napster {
    fn network(&self) -> &'static str {
        NAME
    }

    fn find(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        // Without it there is nothing to ask.
        let Some(running) = self.running() else { return Ok(()) };
        let client = lock(&running.client).clone();
        let Some(client) = client else {
            return Err(lock(&running.trouble).clone().unwrap_or_else(|| "not logged in".into()));
        };
        let query = Query::new(&query.plain_words());
        if query.words.is_empty() {
            return Ok(());
        }
        let answer = running.handle.block_on(async { timeout(ANSWER, client.search(query)).await });
        let hits = answer.map_err(|_| "the server does not answer".to_owned())?;
        for found in hits.map_err(|error| error.to_string())? {
            let file = &found.file;
            let name = String::from_utf8_lossy(file.name.file_name()).into_owned();
            let sha1 = match file.hash {
                FileHash::Sha1(sha1) => Some(Hex(&sha1).to_string()),
                // Of the beginning alone: it names nothing.
                FileHash::Md5(_) => None,
            };
            let hit = Hit {
                length: file.size,
                mime: Some(crate::mime::of_name(&name).to_owned()),
                id: id_of(&found.nick, &file.name),
                sources: 1,
                content: ContentId { sha1, ..ContentId::default() },
                name,
            };
            if tell(hit).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Fetcher for Napster {
    fn network(&self) -> &'static str {
        NAME
    }

    fn fetch(
        &self,
        wanted: &Wanted,
        to: &Path,
        tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let running = self.running().ok_or("Napster is not joined")?;
        let client = lock(&running.client).clone().ok_or("not logged in at the server")?;
        let sha1 = wanted.content.sha1.as_deref().and_then(hex::decode::<20>);
        let sha1 = sha1.ok_or("it was found without a hash that could be verified")?;
        let sources: Vec<_> = wanted.ids.iter().filter_map(|id| source_of(id)).collect();
        let count = sources.len();
        let sought = Sought { hash: FileHash::Sha1(sha1), size: wanted.length, sources };
        let have = Arc::new(AtomicU64::new(0));
        let heard = have.clone();
        let progress = move |bytes| {
            heard.fetch_max(bytes, Ordering::Relaxed);
        };
        running.handle.block_on(async {
            let fetching = client.fetch(sought, to, progress);
            tokio::pin!(fetching);
            let mut ticks = interval(TELL_EVERY);
            loop {
                tokio::select! {
                    fetched = &mut fetching => {
                        let fetched = fetched.map_err(|error: FetchError| error.to_string())?;
                        let sources = fetched.peers.len();
                        let _ = tell(Brought { have: wanted.length, sources });
                        return Ok(());
                    }
                    _ = ticks.tick() => {
                        let have = have.load(Ordering::Relaxed);
                        if tell(Brought { have, sources: count }).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        })
    }
}

//! A client of a server of Napster, live, on a thread of its own: it shares what the library shares,
//! searches at the server, and fetches from those whom the server names.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use codec::base32;
use codec::hex::Hex;
use net::dht::resolve;
use net::download::Download;
use net::napster::client::Wanted as Sought;
use net::napster::client::{Client, ClientConfig, ClientStatus, LocalFile, Source};
use net::napster::{FileHash, LinkSpeed, MediaType, Nick, Query, SharedFile, Text};
use serde_json::json;
use tokio::time::timeout;

use super::answers::ANSWERS;
use super::files::{FileNetwork, Joining, Remembered, remember};
use super::picture::{Network, Picture, Pictured, Standing, Verb};
use super::running::{Place, Running};
use super::shares::{Shared, Shares};
use super::{NetworkError, lock};
use crate::config::Config;
use crate::fetch::{Contributor, Fetcher, Pending, Wanted, want};
use crate::search::{ContentId, Finder, Hit, SearchQuery};

/// What the network is called in addresses and settings.
const NAME: &str = "napster";
/// How long the server is waited for before it is tried again: the first time, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Files that are sent at once.
const UPLOAD_SLOTS: usize = 8;
/// Where the name and the password are kept that were made up.
const ACCOUNT: &str = "napster-account";

/// A client that runs, or tries to.
#[derive(Debug)]
pub(super) struct Session {
    server: SocketAddr,
    nick: Nick,
    /// Once it was let in.
    client: Mutex<Option<Client>>,
    trouble: Mutex<Option<String>>,
    /// What is shared, by hash: told again to a client that is let in later.
    shared: Mutex<HashMap<[u8; 20], LocalFile>>,
}

/// The client of a node, if there is one; a clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Napster(Place<Arc<Session>>);

impl FileNetwork for Napster {
    fn join(&self, joining: Joining) -> Result<Remembered, NetworkError> {
        let Joining { config, peers, listen, holdings } = joining;
        let settings = config.napster;
        let kept = remember(NAME, listen, ("server", peers.first().map(|server| json!(server))));
        let server = match peers.as_slice() {
            [] => settings.server.clone(),
            [server] => server.clone(),
            _ => return Err(NetworkError::Invalid("a client of Napster has one server")),
        };
        if server.is_empty() {
            return Err(NetworkError::Invalid("say which server: HOST:PORT"));
        }
        let listen = listen.or(settings.address().map(SocketAddr::V4));
        let state = config.node.state_dir;
        self.0.start(NAME, holdings, async move || {
            let found = resolve(&server).await?;
            let server =
                found.into_iter().find(SocketAddr::is_ipv4).ok_or(NetworkError::NotIpv4(server))?;
            let listen = match listen {
                Some(listen) => listen,
                None => SocketAddr::new(super::towards(server).await?, 0),
            };
            let SocketAddr::V4(listen) = listen else {
                return Err(NetworkError::NotIpv4(listen.to_string()));
            };
            let account = Account::of(&settings.nick, &state);
            let account = account
                .map_err(|source| NetworkError::Listen { address: listen.into(), source })?;
            let config = ClientConfig {
                server,
                nick: account.nick.clone(),
                password: account.password,
                register: None,
                listen,
                firewalled: settings.firewalled,
                link: LinkSpeed::default(),
                upload_slots: UPLOAD_SLOTS,
            };
            let session = Arc::new(Session {
                server,
                nick: account.nick,
                client: Mutex::default(),
                trouble: Mutex::default(),
                shared: Mutex::default(),
            });
            tokio::spawn(enter(Arc::downgrade(&session), config));
            Ok(session)
        })?;
        Ok(kept)
    }

    /// Logs out.
    fn leave(&self) {
        self.0.take();
    }

    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    fn is_wanted(&self, config: &Config) -> bool {
        config.napster.join
    }

    fn standing(&self) -> Standing {
        let Some(running) = self.0.running() else { return Standing::Off };
        standing(&running.status())
    }

    fn look(&self) -> Pictured {
        let running = self.0.running();
        let status = running.as_ref().map(|running| running.status());
        let (users, files, gigabytes) =
            status.as_ref().map(|status| status.totals).unwrap_or_default();
        let client = running.as_ref().and_then(|running| lock(&running.client).clone());
        let trouble = running.as_ref().and_then(|running| lock(&running.trouble).clone());
        let network = Network {
            name: NAME,
            title: "Napster".to_owned(),
            state: status.as_ref().map_or(Standing::Off, standing),
            error: status.and_then(|status| status.trouble).or(trouble),
            addresses: client.into_iter().map(|client| client.address().into()).collect(),
            peers: users as usize,
            verbs: Verb::OF_FILES.to_vec(),
            can_join: running.is_none(),
            can_leave: running.is_some(),
            detail: json!({
                "server": running.as_ref().map(|running| running.server),
                "nick": running.as_ref().map(|running| running.nick.to_string()),
                "files": files,
                "gigabytes": gigabytes,
            }),
        };
        Pictured { network, picture: Picture::None }
    }
}

fn standing(status: &ClientStatus) -> Standing {
    if status.is_up { Standing::Up } else { Standing::Starting }
}

impl Session {
    fn status(&self) -> ClientStatus {
        lock(&self.client).as_ref().map(Client::status).unwrap_or_default()
    }

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
async fn enter(session: Weak<Session>, config: ClientConfig) {
    let mut pause = AGAIN.0;
    loop {
        let joined = Client::join(config.clone()).await;
        let Some(session) = session.upgrade() else { return };
        match joined {
            Ok(client) => {
                let known = session.let_in(client.clone());
                drop(session);
                client.publish(known).await;
                return;
            }
            Err(error) => *lock(&session.trouble) = Some(error.to_string()),
        }
        drop(session);
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
    fn of(nick: &str, state: &Path) -> io::Result<Self> {
        let path = state.join(ACCOUNT);
        let kept = match std::fs::read_to_string(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_up(&path)?,
            Err(error) => return Err(error),
        };
        let (name, password) = kept.trim().split_once(' ').unwrap_or(("", ""));
        let name = if nick.is_empty() { name } else { nick };
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

impl Shares for Running<Arc<Session>> {
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
            self.wait(client.publish(vec![local]));
        }
        Ok(())
    }

    fn withdraw(&self, file: &Shared) {
        let (client, known) = {
            let client = lock(&self.client);
            (client.clone(), lock(&self.shared).remove(&file.sha1))
        };
        if let (Some(client), Some(known)) = (client, known) {
            self.wait(client.withdraw(known.shared.name));
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
        let Some(running) = self.0.running() else { return Ok(()) };
        let client = lock(&running.client).clone();
        let Some(client) = client else {
            return Err(lock(&running.trouble).clone().unwrap_or_else(|| "not logged in".into()));
        };
        let query = Query::new(&query.plain_words());
        if query.words.is_empty() {
            return Ok(());
        }
        let answer = running.wait(async { timeout(ANSWERS, client.search(query)).await });
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

    fn contributor(&self) -> Option<&dyn Contributor> {
        Some(self)
    }
}

impl Contributor for Napster {
    fn contribute<'a>(
        &'a self,
        wanted: &'a Wanted,
        download: &'a Download,
    ) -> Pending<'a, Result<(), String>> {
        Box::pin(async {
            let running = self.0.running().ok_or("this node is not part of Napster")?;
            let client = lock(&running.client).clone().ok_or("not logged in at the server")?;
            let hash = FileHash::Sha1(want(wanted)?.sha1.0);
            let sources = wanted.ids.iter().filter_map(|id| source_of(id)).collect();
            let sought = Sought { hash, size: wanted.length, sources };
            let brought = running.here(client.bring(&sought, download)).await;
            brought.map(drop).map_err(|error| error.to_string())
        })
    }
}

//! Who may use the interfaces: a token in a file that only its owner can read, a password, and
//! sessions of browsers that gave one of them.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use sha2::{Digest, Sha256};

/// The file of the token, in the state folder.
pub(super) const TOKEN_FILE: &str = "api-token";
/// The file of the password's hash, in the state folder.
const PASSWORD_FILE: &str = "api-password";
/// Browsers that may be logged in at once; the one that came first goes.
const SESSIONS_MAX: usize = 64;
/// How long a browser stays logged in.
const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a code in a link is good for.
const CODE_LIFE: Duration = Duration::from_secs(300);
/// Wrong answers before a host has to wait.
const FREE_FAILURES: u32 = 5;
/// Longest wait for one host.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Hosts whose failures are counted.
const HOSTS_MAX: usize = 1_024;
/// Shortest password.
pub(crate) const PASSWORD_LEN_MIN: usize = 8;
/// Longest password, in bytes: hashing costs.
const PASSWORD_LEN_MAX: usize = 1_024;

/// A refused login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was wrong.
    Wrong,
    /// Too many were wrong: wait so long.
    Wait(Duration),
}

/// Secrets, and who has shown one.
pub(super) struct Auth {
    folder: PathBuf,
    /// What keys of streams are made of; the token's digest, so that it does not change.
    secret: [u8; 32],
    token: [u8; 32],
    inner: Mutex<Inner>,
    /// Hashing takes memory: one at a time.
    hashing: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    password: Option<String>,
    /// Digests of sessions' secrets, the oldest first.
    sessions: VecDeque<([u8; 32], Instant)>,
    codes: VecDeque<([u8; 32], Instant)>,
    failures: HashMap<IpAddr, (u32, Instant)>,
    /// A password that was right before, so that it need not be hashed for each request.
    known: Option<[u8; 32]>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex(&bytes))
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

pub(super) fn read_text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hashes a password and writes that down, for nodes whose state is in `folder`.
///
/// # Errors
/// When it is too short or too long, or cannot be written.
pub fn set_password(folder: &Path, password: &str) -> io::Result<()> {
    if !(PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX).contains(&password.len()) {
        let why = format!("a password has {PASSWORD_LEN_MIN} to {PASSWORD_LEN_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    fs::create_dir_all(folder)?;
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| io::Error::other(error.to_string()))?;
    write_private(&folder.join(PASSWORD_FILE), &format!("{hash}\n"))
}

impl Auth {
    /// Reads the secrets in `folder`, and makes a token if there is none.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(TOKEN_FILE);
        let token = match read_text(&path)? {
            Some(token) => token,
            None => {
                let token = random()?;
                write_private(&path, &format!("{token}\n"))?;
                token
            }
        };
        let password = read_text(&folder.join(PASSWORD_FILE))?;
        Ok(Self {
            folder: folder.to_owned(),
            secret: digest(&format!("streams {token}")),
            token: digest(&token),
            inner: Mutex::new(Inner { password, ..Inner::default() }),
            hashing: Mutex::new(()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_password(&self) -> bool {
        self.lock().password.is_some()
    }

    /// Whether this is the token. Digests are compared, so that time tells nothing of the token.
    pub(super) fn is_token(&self, token: &str) -> bool {
        digest(token) == self.token
    }

    /// Whether this is the password, for a request from `host`. It takes time and memory.
    pub(super) fn check_password(&self, host: IpAddr, password: &str) -> Result<(), Refused> {
        let now = Instant::now();
        let hash = {
            let inner = self.lock();
            if inner.known == Some(digest(password)) {
                return Ok(());
            }
            inner.may_try(host, now)?;
            inner.password.clone()
        };
        let right = hash.is_some_and(|hash| {
            let _turn = self.hashing.lock().unwrap_or_else(PoisonError::into_inner);
            password.len() <= PASSWORD_LEN_MAX
                && PasswordHash::new(&hash).is_ok_and(|hash| {
                    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
                })
        });
        let inner = &mut *self.lock();
        if right {
            inner.known = Some(digest(password));
        }
        inner.judge(host, right, now)
    }

    /// Whether this is a token or a code, for a request from `host`.
    pub(super) fn check_secret(
        &self,
        host: IpAddr,
        secret: &str,
        code: bool,
    ) -> Result<(), Refused> {
        let now = Instant::now();
        // The token cannot be guessed: whoever has it need not wait for others' failures.
        if !code && self.is_token(secret) {
            return Ok(());
        }
        let inner = &mut *self.lock();
        inner.may_try(host, now)?;
        let secret = digest(secret);
        inner.codes.retain(|(_, at)| now.duration_since(*at) < CODE_LIFE);
        let place = inner.codes.iter().position(|(known, _)| code && *known == secret);
        let right = place.is_some_and(|place| inner.codes.remove(place).is_some());
        inner.judge(host, right, now)
    }

    /// Sets another password; every browser must log in again.
    pub(super) fn change_password(&self, password: &str) -> io::Result<()> {
        {
            let _turn = self.hashing.lock().unwrap_or_else(PoisonError::into_inner);
            set_password(&self.folder, password)?;
        }
        let hash = read_text(&self.folder.join(PASSWORD_FILE))?;
        let inner = &mut *self.lock();
        inner.password = hash;
        inner.known = None;
        inner.sessions.clear();
        Ok(())
    }

    /// A code that logs one browser in, once, within minutes.
    pub(super) fn code(&self) -> io::Result<String> {
        let code = random()?;
        let inner = &mut *self.lock();
        inner.codes.push_back((digest(&code), Instant::now()));
        if inner.codes.len() > SESSIONS_MAX {
            inner.codes.pop_front();
        }
        Ok(code)
    }

    /// Begins a session and returns its secret.
    pub(super) fn begin_session(&self) -> io::Result<String> {
        let secret = random()?;
        let inner = &mut *self.lock();
        inner.sessions.push_back((digest(&secret), Instant::now()));
        if inner.sessions.len() > SESSIONS_MAX {
            inner.sessions.pop_front();
        }
        Ok(secret)
    }

    pub(super) fn is_session(&self, secret: &str) -> bool {
        let now = Instant::now();
        let inner = &mut *self.lock();
        inner.sessions.retain(|(_, at)| now.duration_since(*at) < SESSION_LIFE);
        let secret = digest(secret);
        inner.sessions.iter().any(|(known, _)| *known == secret)
    }

    pub(super) fn end_session(&self, secret: &str) {
        let secret = digest(secret);
        self.lock().sessions.retain(|(known, _)| *known != secret);
    }

    /// A key that opens one file for players, which send no cookie.
    pub(super) fn stream_key(&self, id: &str, file: usize) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update(format!("{id}/{file}"));
        // Half of it: the whole would be the hasher's state, from which longer texts' keys follow.
        hex(&hasher.finalize()[..16])
    }

    pub(super) fn is_stream_key(&self, id: &str, file: usize, key: &str) -> bool {
        digest(&self.stream_key(id, file)) == digest(key)
    }
}

impl Inner {
    fn may_try(&self, host: IpAddr, now: Instant) -> Result<(), Refused> {
        let Some((failures, last)) = self.failures.get(&host) else { return Ok(()) };
        let over = failures.saturating_sub(FREE_FAILURES);
        if *failures < FREE_FAILURES {
            return Ok(());
        }
        let wait = Duration::from_secs(1 << over.min(9)).min(WAIT_MAX);
        let waited = now.duration_since(*last);
        if waited < wait { Err(Refused::Wait(wait - waited)) } else { Ok(()) }
    }

    fn judge(&mut self, host: IpAddr, right: bool, now: Instant) -> Result<(), Refused> {
        if right {
            self.failures.remove(&host);
            return Ok(());
        }
        if self.failures.len() >= HOSTS_MAX && !self.failures.contains_key(&host) {
            self.failures.retain(|_, (_, last)| now.duration_since(*last) < WAIT_MAX);
            if self.failures.len() >= HOSTS_MAX {
                return Err(Refused::Wait(WAIT_MAX));
            }
        }
        let (failures, last) = self.failures.entry(host).or_insert((0, now));
        *failures = failures.saturating_add(1);
        *last = now;
        Err(Refused::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let auth = Auth::open(folder.path()).expect("opens");
        set_password(folder.path(), "long enough").expect("set");
        for file in [TOKEN_FILE, PASSWORD_FILE] {
            let mode = fs::metadata(folder.path().join(file)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let hash = fs::read_to_string(folder.path().join(PASSWORD_FILE)).expect("there");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let token = fs::read_to_string(folder.path().join(TOKEN_FILE)).expect("there");
        assert!(auth.is_token(token.trim()) && !auth.is_token(""));
        let again = Auth::open(folder.path()).expect("opens");
        assert!(again.is_token(token.trim()) && again.has_password());
        assert!(set_password(folder.path(), "short").is_err());
    }

    #[test]
    fn ap_05_a_thousand_wrong_passwords_are_hardly_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        set_password(folder.path(), "long enough").expect("set");
        let auth = Auth::open(folder.path()).expect("opens");
        let mut looked_at = 0;
        for attempt in 0..1_000 {
            match auth.check_password(HOST, &format!("wrong {attempt}")) {
                Err(Refused::Wrong) => looked_at += 1,
                Err(Refused::Wait(wait)) => assert!(wait <= WAIT_MAX),
                Ok(()) => panic!("it was wrong"),
            }
        }
        assert!((FREE_FAILURES..20).contains(&looked_at), "{looked_at}");
        // Even the right one has to wait; but not from another host, and not the token.
        assert!(matches!(auth.check_password(HOST, "long enough"), Err(Refused::Wait(_))));
        let other = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(auth.check_password(other, "long enough"), Ok(()));
        let token = fs::read_to_string(folder.path().join(TOKEN_FILE)).expect("there");
        assert_eq!(auth.check_secret(HOST, token.trim(), false), Ok(()));
    }

    #[test]
    fn waits_grow_and_end() {
        let mut inner = Inner::default();
        let now = Instant::now();
        let mut at = now;
        for _ in 0..FREE_FAILURES + 3 {
            let wait = match inner.may_try(HOST, at) {
                Err(Refused::Wait(wait)) => wait,
                _ => Duration::ZERO,
            };
            at += wait;
            assert_eq!(inner.may_try(HOST, at), Ok(()));
            assert_eq!(inner.judge(HOST, false, at), Err(Refused::Wrong));
        }
        assert_eq!(at - now, Duration::from_secs(1 + 2 + 4));
        at += WAIT_MAX;
        assert_eq!(inner.judge(HOST, true, at), Ok(()));
        assert!(inner.failures.is_empty());
    }

    #[test]
    fn codes_are_good_once_and_sessions_until_they_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let auth = Auth::open(folder.path()).expect("opens");
        let code = auth.code().expect("random");
        assert_eq!(auth.check_secret(HOST, &code, false), Err(Refused::Wrong), "it is no token");
        assert_eq!(auth.check_secret(HOST, &code, true), Ok(()));
        assert_eq!(auth.check_secret(HOST, &code, true), Err(Refused::Wrong));
        let session = auth.begin_session().expect("random");
        assert!(auth.is_session(&session) && !auth.is_session("other"));
        auth.end_session(&session);
        assert!(!auth.is_session(&session));
        for _ in 0..2 * SESSIONS_MAX {
            auth.begin_session().expect("random");
        }
        assert_eq!(auth.lock().sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn a_key_opens_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let auth = Auth::open(folder.path()).expect("opens");
        let key = auth.stream_key("aa", 1);
        assert!(auth.is_stream_key("aa", 1, &key));
        assert!(!auth.is_stream_key("aa", 2, &key) && !auth.is_stream_key("ab", 1, &key));
    }
}

//! Registered names: a file with one line each, passwords as argon2id hashes. It is small, and is
//! written anew, beside the old one, whenever something changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use search::napster::Nick;
use search::napster::server::{Account, AskAccount};

const FILE: &str = "accounts";
/// Names that can be registered.
const ACCOUNTS_MAX: usize = 1_000_000;

/// Why accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line of it is not an account.
    #[error("{path}, line {line}: not an account")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    hash: String,
    email: String,
    seen: u64,
}

/// Registered names.
pub(super) struct Accounts {
    path: Option<PathBuf>,
    entries: Mutex<BTreeMap<Nick, Entry>>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn hash(password: &str) -> Option<String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).ok()?;
    Some(hash.to_string())
}

fn parse(line: &str) -> Option<(Nick, Entry)> {
    let mut fields = line.split(' ');
    let (nick, seen, hash) = (fields.next()?, fields.next()?, fields.next()?);
    let email = fields.next().unwrap_or_default().to_owned();
    let entry = Entry { hash: hash.to_owned(), email, seen: seen.parse().ok()? };
    PasswordHash::new(hash).ok()?;
    Some((Nick::new(nick.as_bytes())?, entry))
}

impl Accounts {
    /// Reads the accounts in a folder; without one they are forgotten in the end.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, AccountsError> {
        let path = folder.map(|folder| folder.join(FILE));
        let mut entries = BTreeMap::new();
        if let Some(path) = &path {
            let text = match fs::read_to_string(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                read => read.map_err(|error| AccountsError::Io { path: path.clone(), error })?,
            };
            for (number, line) in text.lines().enumerate() {
                let bad = || AccountsError::Line { path: path.clone(), line: number + 1 };
                let (nick, entry) = parse(line).ok_or_else(bad)?;
                entries.insert(nick, entry);
            }
        }
        Ok(Self { path, entries: Mutex::new(entries) })
    }

    /// A poisoned lock guards accounts that are whole between statements.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Nick, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the answer costs the hash of a password.
    pub(super) fn must_hash(&self, ask: &AskAccount) -> bool {
        match ask {
            AskAccount::Check(nick, _) => self.entries().contains_key(nick),
            AskAccount::Register(..) | AskAccount::ChangePassword(..) => true,
            _ => false,
        }
    }

    /// Answers; may take some time.
    pub(super) fn answer(&self, ask: AskAccount) -> Account {
        self.try_answer(ask).unwrap_or_else(|error| {
            tracing::error!(%error, "keeping accounts");
            Account::Failed
        })
    }

    fn known(&self, nick: &Nick) -> Account {
        match self.entries().get(nick) {
            Some(entry) => Account::Known(entry.email.clone(), entry.seen),
            None => Account::Free,
        }
    }

    fn try_answer(&self, ask: AskAccount) -> io::Result<Account> {
        match ask {
            AskAccount::IsTaken(nick) | AskAccount::LastSeen(nick) => Ok(self.known(&nick)),
            AskAccount::Check(nick, password) => {
                let Some(hash) = self.entries().get(&nick).map(|entry| entry.hash.clone()) else {
                    return Ok(Account::Free);
                };
                let hash = PasswordHash::new(&hash).map_err(io::Error::other)?;
                let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
                if verified.is_err() {
                    return Ok(Account::Denied);
                }
                // When he was seen is written with the next change.
                if let Some(entry) = self.entries().get_mut(&nick) {
                    entry.seen = now();
                }
                Ok(self.known(&nick))
            }
            AskAccount::Register(nick, password, email) => {
                if self.entries().len() >= ACCOUNTS_MAX {
                    return Ok(Account::Failed);
                }
                if self.entries().contains_key(&nick) {
                    return Ok(Account::Denied);
                }
                let Some(hash) = hash(&password) else { return Ok(Account::Failed) };
                let mut entries = self.entries();
                // Somebody else may have been faster.
                if entries.contains_key(&nick) {
                    return Ok(Account::Denied);
                }
                let entry = Entry { hash, email: email.clone(), seen: now() };
                entries.insert(nick, entry);
                self.write(&entries)?;
                Ok(Account::Known(email, now()))
            }
            AskAccount::ChangePassword(nick, password) => {
                let Some(hash) = hash(&password) else { return Ok(Account::Failed) };
                self.change(&nick, |entry| entry.hash = hash)
            }
            AskAccount::ChangeEmail(nick, email) => self.change(&nick, |entry| entry.email = email),
        }
    }

    fn change(&self, nick: &Nick, change: impl FnOnce(&mut Entry)) -> io::Result<Account> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(nick) else { return Ok(Account::Free) };
        change(entry);
        let known = Account::Known(entry.email.clone(), entry.seen);
        self.write(&entries)?;
        Ok(known)
    }

    fn write(&self, entries: &BTreeMap<Nick, Entry>) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let Some(path) = &self.path else { return Ok(()) };
        let beside = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut out = io::BufWriter::new(file);
        for (nick, Entry { hash, email, seen }) in entries {
            writeln!(out, "{nick} {seen} {hash} {email}")?;
        }
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_outlive_the_server_and_hold_no_password() {
        let folder = tempfile::tempdir().expect("a folder");
        let nick = Nick::new(b"alice").expect("a name");
        let accounts = Accounts::open(Some(folder.path())).expect("opens");
        let register = AskAccount::Register(nick.clone(), "secret".into(), "a@b.c".into());
        assert!(
            matches!(accounts.answer(register.clone()), Account::Known(email, _) if email == "a@b.c")
        );
        assert_eq!(accounts.answer(register), Account::Denied);
        let text = fs::read_to_string(folder.path().join(FILE)).expect("there");
        assert!(text.contains("$argon2id$") && !text.contains("secret"), "{text}");
        let again = Accounts::open(Some(folder.path())).expect("opens");
        let check = |password: &str| again.answer(AskAccount::Check(nick.clone(), password.into()));
        assert_eq!(check("guess"), Account::Denied);
        assert!(matches!(check("secret"), Account::Known(..)));
        again.answer(AskAccount::ChangePassword(nick.clone(), "newer".into()));
        assert_eq!(check("secret"), Account::Denied);
        assert!(matches!(check("newer"), Account::Known(..)));
        fs::write(folder.path().join(FILE), "nonsense\n").expect("written");
        assert!(matches!(
            Accounts::open(Some(folder.path())),
            Err(AccountsError::Line { line: 1, .. })
        ));
    }
}

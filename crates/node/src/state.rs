//! What a node remembers from one run to the next: transfers, their metainfo, changed settings.
//! One redb file; every change is on disk before it is reported as done, so that the end of the
//! process at any point loses nothing that was said. Verified pieces are not here: they are in the
//! journals beside the files.

mod guard;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use serde::de::DeserializeOwned;

use crate::record::Record;
use crate::search::saved::SavedRecord;
use guard::guarded;

/// Numbers about the file itself.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Records by id, in JSON.
const TRANSFERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("transfers");
/// Metainfo files by id.
const TORRENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("torrents");
/// Settings changed while the node ran, by name, in JSON.
const SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");

/// Searches that are kept, by name, in JSON.
const SEARCHES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("searches");

/// The key of the schema's version.
const SCHEMA: &str = "schema";

/// Brings the tables from one version of the schema to the next.
type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// One step for each version: the first leads from an empty file to version 1.
const MIGRATIONS: &[Migration] = &[
    |write| {
        write.open_table(TRANSFERS)?;
        write.open_table(TORRENTS)?;
        write.open_table(SETTINGS)?;
        Ok(())
    },
    crate::library::create_tables,
    |write| {
        write.open_table(SEARCHES)?;
        Ok(())
    },
];

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another node has it open.
    #[error("another node uses {}: end it, or choose another node.state_dir", .0.display())]
    InUse(PathBuf),
    /// A later version of this program wrote it.
    #[error("{} is of schema {found}, this program knows {known}: use a newer one", path.display())]
    FromTheFuture {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is known here.
        known: u64,
    },
    /// It cannot be read or written.
    #[error("{}: {source}. Downloaded files are not affected. If it is damaged, move it away to begin anew", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<redb::Error>,
    },
    /// A record in it makes no sense.
    #[error("{}: record {id}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Whose.
        id: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The state file of a node, open. Clones share it.
#[derive(Clone, Debug)]
pub struct State {
    path: PathBuf,
    database: Arc<RwLock<Held>>,
}

/// The database; `None` if it could not be opened again.
#[derive(Debug)]
struct Held(Option<Database>);

impl Held {
    /// Closes the database, which writes to it for a last time.
    fn close(&mut self) {
        let Some(database) = self.0.take() else { return };
        let close = || {
            drop(database);
            Ok(())
        };
        if let Err(error) = guarded(close) {
            tracing::warn!(%error, "the state is damaged");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.close();
    }
}

/// The database, while it is not being opened again.
struct Opened<'a>(RwLockReadGuard<'a, Held>);

impl Opened<'_> {
    fn get(&self) -> Result<&Database, redb::Error> {
        // As it was when it was given up.
        self.0.0.as_ref().ok_or(redb::Error::PreviousIo)
    }
}

impl State {
    /// Opens the state in `folder`, made if need be, and brings it to this program's schema.
    ///
    /// # Errors
    /// When it is in use, damaged, or of a later schema.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        // What is shared and fetched is nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| StateError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join("state.redb");
        let database = Self::open_file(&path)?;
        let state = Self { path, database: Arc::new(RwLock::new(Held(Some(database)))) };
        state.migrate()?;
        Ok(state)
    }

    fn open_file(path: &Path) -> Result<Database, StateError> {
        guarded(|| Ok(Database::create(path)?)).map_err(|error| match error {
            redb::Error::DatabaseAlreadyOpen => StateError::InUse(path.to_owned()),
            error => StateError::Database { path: path.to_owned(), source: Box::new(error) },
        })
    }

    fn opened(&self) -> Opened<'_> {
        Opened(self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the database. After a failure of the disk, such as a full one, it refuses
    /// everything until it is opened again, which is done at the next use.
    fn begin<T>(
        &self,
        begin: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<(Opened<'_>, T), StateError> {
        let opened = self.opened();
        match guarded(|| opened.get().and_then(&begin)) {
            Ok(begun) => return Ok((opened, begun)),
            Err(redb::Error::PreviousIo) => drop(opened),
            Err(error) => return Err(self.failed(error)),
        }
        {
            // Nobody reads or writes now. Another thread may have been quicker: then all is well.
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            let refuses = |database: &Database| {
                let begun = database.begin_write().map_err(redb::Error::from);
                matches!(begun, Err(redb::Error::PreviousIo))
            };
            if database.0.as_ref().is_none_or(refuses) {
                // Only one at a time may have the file open.
                database.close();
                database.0 = Some(Self::open_file(&self.path)?);
                tracing::info!(path = %self.path.display(), "the state is opened again");
            }
        }
        let opened = self.opened();
        let begun =
            guarded(|| opened.get().and_then(&begin)).map_err(|error| self.failed(error))?;
        Ok((opened, begun))
    }

    fn migrate(&self) -> Result<(), StateError> {
        let known = MIGRATIONS.len() as u64;
        let found = self.write(|write| {
            let meta = write.open_table(META)?;
            Ok(meta.get(SCHEMA)?.map_or(0, |version| version.value()))
        })?;
        if found > known {
            return Err(StateError::FromTheFuture { path: self.path.clone(), found, known });
        }
        for (version, step) in (1..).zip(MIGRATIONS).skip(found as usize) {
            // Each step and its number are one transaction.
            self.write(|write| {
                step(write)?;
                write.open_table(META)?.insert(SCHEMA, version)?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn failed(&self, source: redb::Error) -> StateError {
        StateError::Database { path: self.path.clone(), source: Box::new(source) }
    }

    /// Looks at the tables as they are at one moment.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let (_opened, read) = self.begin(|database| Ok(database.begin_read()?))?;
        guarded(|| look(&read)).map_err(|error| self.failed(error))
    }

    /// Makes changes, all or none. They are on disk when this returns.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let (_opened, write) = self.begin(|database| Ok(database.begin_write()?))?;
        let run = || {
            let value = change(&write)?;
            write.commit()?;
            Ok(value)
        };
        guarded(run).map_err(|error| self.failed(error))
    }

    /// All records, with their ids.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn records(&self) -> Result<Vec<(String, Record)>, StateError> {
        self.rows(TRANSFERS)
    }

    /// What a table holds, with the keys.
    fn rows<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
    ) -> Result<Vec<(String, T)>, StateError> {
        let rows = self.read(|read| {
            let table = read.open_table(table)?;
            let rows = table.iter()?.map(|row| {
                let (key, bytes) = row?;
                Ok((key.value().to_owned(), bytes.value().to_vec()))
            });
            rows.collect::<Result<Vec<_>, redb::Error>>()
        })?;
        let parse = |(id, bytes): (String, Vec<u8>)| match serde_json::from_slice(&bytes) {
            Ok(record) => Ok((id, record)),
            Err(source) => Err(StateError::Record { path: self.path.clone(), id, source }),
        };
        rows.into_iter().map(parse).collect()
    }

    /// Remembers a record under its id, over what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, id: &str, record: &Record) -> Result<(), StateError> {
        self.save_all([(id, record)])
    }

    /// Remembers several records in one step.
    ///
    /// # Errors
    /// When they cannot be written; then none is.
    pub fn save_all<'a>(
        &self,
        records: impl IntoIterator<Item = (&'a str, &'a Record)>,
    ) -> Result<(), StateError> {
        let mut rows = Vec::new();
        for (id, record) in records {
            let bytes = serde_json::to_vec(record).map_err(|source| StateError::Record {
                path: self.path.clone(),
                id: id.to_owned(),
                source,
            })?;
            rows.push((id, bytes));
        }
        self.write(|write| {
            let mut table = write.open_table(TRANSFERS)?;
            for (id, bytes) in &rows {
                table.insert(*id, bytes.as_slice())?;
            }
            Ok(())
        })
    }

    /// Forgets a transfer.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn remove(&self, id: &str) -> Result<(), StateError> {
        self.write(|write| {
            write.open_table(TRANSFERS)?.remove(id)?;
            write.open_table(TORRENTS)?.remove(id)?;
            Ok(())
        })
    }

    /// A transfer's metainfo file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn torrent(&self, id: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|read| {
            let bytes = read.open_table(TORRENTS)?.get(id)?;
            Ok(bytes.map(|bytes| bytes.value().to_vec()))
        })
    }

    /// Remembers a transfer's metainfo file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_torrent(&self, id: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write(|write| {
            write.open_table(TORRENTS)?.insert(id, bytes)?;
            Ok(())
        })
    }

    /// Searches that are kept, by name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn searches(&self) -> Result<Vec<(String, SavedRecord)>, StateError> {
        self.rows(SEARCHES)
    }

    /// Keeps a search under its name, or forgets it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn save_search(
        &self,
        name: &str,
        record: Option<&SavedRecord>,
    ) -> Result<(), StateError> {
        let bytes = record.map(serde_json::to_vec).transpose();
        let bytes = bytes.map_err(|source| StateError::Record {
            path: self.path.clone(),
            id: name.to_owned(),
            source,
        })?;
        self.write(|write| {
            let mut table = write.open_table(SEARCHES)?;
            match &bytes {
                Some(bytes) => _ = table.insert(name, bytes.as_slice())?,
                None => _ = table.remove(name)?,
            }
            Ok(())
        })
    }

    /// Settings that were changed, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn settings(&self) -> Result<Vec<(String, serde_json::Value)>, StateError> {
        let rows = self.read(|read| {
            let table = read.open_table(SETTINGS)?;
            let rows = table.iter()?.map(|row| {
                let (name, value) = row?;
                Ok((name.value().to_owned(), value.value().to_owned()))
            });
            rows.collect::<Result<Vec<_>, redb::Error>>()
        })?;
        let parse = |(id, text): (String, String)| match serde_json::from_str(&text) {
            Ok(value) => Ok((id, value)),
            Err(source) => Err(StateError::Record { path: self.path.clone(), id, source }),
        };
        rows.into_iter().map(parse).collect()
    }

    /// Remembers changed settings in one step; `None` forgets one.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn save_settings<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, Option<&'a serde_json::Value>)>,
    ) -> Result<(), StateError> {
        self.write(|write| {
            let mut table = write.open_table(SETTINGS)?;
            for (name, value) in settings {
                match value {
                    Some(value) => _ = table.insert(name, value.to_string().as_str())?,
                    None => _ = table.remove(name)?,
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Record {
        Record { name: Some(name.to_owned()), ..Record::default() }
    }

    #[test]
    fn what_was_saved_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(folder.path()).expect("opens");
        state.save("aa", &record("one")).expect("saved");
        state.save("bb", &record("two")).expect("saved");
        state.save("aa", &record("three")).expect("saved");
        state.save_torrent("aa", b"d4:info").expect("saved");
        let one = serde_json::json!(1);
        state.save_settings([("a.b", Some(&one)), ("a.c", None)]).expect("saved");
        drop(state);
        let state = State::open(folder.path()).expect("opens");
        let names: Vec<_> =
            state.records().expect("read").into_iter().map(|(_, r)| r.name).collect();
        assert_eq!(names, [Some("three".to_owned()), Some("two".to_owned())]);
        assert_eq!(state.torrent("aa").expect("read").as_deref(), Some(&b"d4:info"[..]));
        assert_eq!(state.settings().expect("read"), [("a.b".to_owned(), one)]);
        state.remove("aa").expect("removed");
        assert_eq!(state.torrent("aa").expect("read"), None);
        assert_eq!(state.records().expect("read").len(), 1);
    }

    #[test]
    fn a_second_node_is_told_of_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = State::open(folder.path()).expect("opens");
        assert!(matches!(State::open(folder.path()), Err(StateError::InUse(_))));
    }

    #[test]
    fn a_file_from_the_future_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(folder.path()).expect("opens");
        state.write(|write| Ok(_ = write.open_table(META)?.insert(SCHEMA, 99)?)).expect("written");
        drop(state);
        let error = State::open(folder.path()).expect_err("too new");
        assert!(matches!(error, StateError::FromTheFuture { found: 99, .. }), "{error}");
    }

    #[test]
    fn di_04_a_damaged_file_is_an_error_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(State::open(folder.path()).expect("opens"));
        let path = folder.path().join("state.redb");
        let len = std::fs::metadata(&path).expect("there").len();
        std::fs::write(&path, vec![0x55; len as usize]).expect("written");
        let error = State::open(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains("state.redb") && error.contains("begin anew"), "{error}");
        std::fs::metadata(&path).expect("it is kept");
    }

    #[test]
    fn di_04_damage_anywhere_is_an_error_or_makes_no_difference() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(folder.path()).expect("opens");
        let record = record("whole");
        for number in 0..30 {
            state.save(&format!("{number:040x}"), &record).expect("written");
        }
        drop(state);
        let path = folder.path().join("state.redb");
        let whole = std::fs::read(&path).expect("readable");
        for at in (0..whole.len()).step_by(whole.len().div_ceil(150)) {
            let mut damaged = whole.clone();
            let end = whole.len().min(at + 64);
            damaged[at..end].iter_mut().for_each(|byte| *byte = !*byte);
            std::fs::write(&path, damaged).expect("written");
            match State::open(folder.path()).and_then(|state| state.records()) {
                Ok(records) => assert_eq!(records.len(), 30, "damaged at {at}"),
                Err(error) => assert!(error.to_string().contains("state.redb"), "{at}: {error}"),
            }
        }
    }
}

//! An index in memory: an inverted file whose lists are appended to and weeded now and then, so that
//! users may come and go as fast as they search.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::mem::size_of;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::arena::{Arena, Position};
use super::postings::{Iter, Postings};
use super::record::{self, NONE, Record};
use super::{Counts, Index, Owner, words};
use crate::napster::{FileHash, Hit, Nick, Query, SharedFile, Text, Twin};

/// Files that one search looks at closely: beyond that it answers with what it has found.
const LOOKS_MAX: usize = 65_536;
/// A list that is so many times as long as the shortest is not read: names are looked at instead.
const LOOK_INSTEAD: u32 = 64;
/// Numbers are given anew when there are so many per file that is shared.
const SPARSE: usize = 4;
/// But not before there are so many.
const RENUMBER_MIN: usize = 1 << 20;

#[derive(Debug)]
struct Word {
    text: Box<str>,
    files: Postings,
}

#[derive(Debug)]
struct User {
    owner: Owner,
    /// Numbers of his files, and a hash of each name.
    files: Vec<(u32, u32)>,
    bytes: u64,
}

/// What it takes, in bytes on the heap; what an allocator adds is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Records of files.
    pub records: usize,
    /// Where they are.
    pub positions: usize,
    /// Words and where they are found.
    pub words: usize,
    /// Contents.
    pub contents: usize,
    /// Users and lists of their files.
    pub users: usize,
}

impl Footprint {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.records + self.positions + self.words + self.contents + self.users
    }
}

/// The index in memory.
#[derive(Debug)]
pub struct MemoryIndex {
    seed: u64,
    words: HashTable<Word>,
    /// Where the record of each file is; 0 if it is no longer shared. Numbers only ever go up, from 1.
    positions: Vec<Position>,
    arena: Arena,
    /// The file of each content that was shared last.
    contents: HashTable<u32>,
    nicks: BTreeMap<Nick, u32>,
    users: Vec<Option<User>>,
    free: Vec<u32>,
    counts: Counts,
    scratch: Vec<u8>,
}

/// A keyed hash of bytes: they are strangers', so its seed is to be random.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state =
            fold(state ^ u64::from_le_bytes(word), 0xa076_1d64_78bd_642f ^ seed.rotate_left(32));
    }
    fold(state ^ 0xe703_7ed1_a0b4_28db, state | 1)
}

impl MemoryIndex {
    /// An empty index; `seed` is to be random, and secret.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            words: HashTable::new(),
            positions: vec![0],
            arena: Arena::default(),
            contents: HashTable::new(),
            nicks: BTreeMap::new(),
            users: Vec::new(),
            free: Vec::new(),
            counts: Counts::default(),
            scratch: Vec::new(),
        }
    }

    /// How much there is.
    #[must_use]
    pub fn totals(&self) -> Counts {
        self.counts
    }

    /// Every user with his files, in no order that matters: what a log is written anew from.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.users.iter().flatten().map(|user| &user.owner)
    }

    /// Whether a user shares a file of this name.
    #[must_use]
    pub fn has(&self, nick: &Nick, name: &Text) -> bool {
        let user = self.nicks.get(nick).and_then(|slot| self.users[*slot as usize].as_ref());
        user.is_some_and(|user| self.find(user, name).is_some())
    }

    /// What it takes.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let word = |word: &Word| word.text.len() + word.files.heap();
        let user = |user: &User| user.files.capacity() * size_of::<(u32, u32)>();
        let users = self.users.capacity() * size_of::<Option<User>>();
        let nicks = self.nicks.len() * (size_of::<Nick>() + 4 + 16);
        Footprint {
            records: self.arena.heap(),
            positions: self.positions.capacity() * size_of::<Position>(),
            words: self.words.allocation_size() + self.words.iter().map(word).sum::<usize>(),
            contents: self.contents.allocation_size(),
            users: users + nicks + self.users.iter().flatten().map(user).sum::<usize>(),
        }
    }

    fn record(&self, id: u32) -> Option<&[u8]> {
        let position = self.positions.get(id as usize).copied().filter(|at| *at != 0)?;
        Some(self.arena.at(position))
    }

    fn find(&self, user: &User, name: &Text) -> Option<usize> {
        let hashed = hash(self.seed, name.as_bytes()) as u32;
        user.files.iter().position(|(id, hash)| {
            let is_same = |bytes| Record::read(bytes).name == name.as_bytes();
            *hash == hashed && self.record(*id).is_some_and(is_same)
        })
    }

    /// The words of a name, each once.
    fn each_word(name: &[u8], mut take: impl FnMut(&str)) {
        let mut seen: Vec<String> = Vec::new();
        words(name, |word| {
            if !seen.iter().any(|known| known == word) {
                take(word);
                seen.push(word.into());
            }
        });
    }

    fn add(&mut self, slot: u32, file: &SharedFile) -> bool {
        let name = &file.name;
        let Some(Some(user)) = self.users.get(slot as usize) else { return false };
        if self.find(user, name).is_some() || self.positions.len() as u32 == NONE {
            return false;
        }
        let id = self.positions.len() as u32;
        let seed = self.seed;
        // The chain of its content begins with it from now on.
        let hashed = hash(seed, file.hash.as_bytes());
        let (positions, arena) = (&self.positions, &self.arena);
        let bytes_of = |id: u32| arena.at(positions[id as usize]);
        let is_same = |id: &u32| Record::read(bytes_of(*id)).hash == file.hash.as_bytes();
        let hasher = |id: &u32| hash(seed, Record::read(bytes_of(*id)).hash);
        let chain = self.contents.find(hashed, is_same).copied().unwrap_or(NONE);
        let mut scratch = core::mem::take(&mut self.scratch);
        record::write(&mut scratch, id, slot, chain, file);
        // Room in the table first, while all that is in it can still be hashed.
        self.contents.reserve(1, hasher);
        let kept = self.arena.keep(&scratch);
        self.scratch = scratch;
        let Some(position) = kept else { return false };
        self.positions.push(position);
        let (positions, arena) = (&self.positions, &mut self.arena);
        if chain == NONE {
            self.contents.insert_unique(hashed, id, |_| hashed);
        } else {
            if let Some(head) = self.contents.find_mut(hashed, |head| *head == chain) {
                *head = id;
            }
            record::set_prev(arena.at_mut(positions[chain as usize]), id);
        }
        let table = &mut self.words;
        Self::each_word(name.as_bytes(), |word| {
            let hashed = hash(seed, word.as_bytes());
            let is_it = |known: &Word| &*known.text == word;
            match table.entry(hashed, is_it, |known| hash(seed, known.text.as_bytes())) {
                Entry::Occupied(mut known) => known.get_mut().files.push(id),
                Entry::Vacant(vacant) => {
                    let mut files = Postings::default();
                    files.push(id);
                    vacant.insert(Word { text: word.into(), files });
                }
            }
        });
        if let Some(Some(user)) = self.users.get_mut(slot as usize) {
            user.files.push((id, hash(seed, name.as_bytes()) as u32));
            user.bytes = user.bytes.saturating_add(file.size);
        }
        self.counts.files += 1;
        self.counts.bytes = self.counts.bytes.saturating_add(file.size);
        true
    }

    /// Takes a file out of everything but its owner's list.
    fn remove(&mut self, id: u32) {
        let Some(position) = self.positions.get(id as usize).copied().filter(|at| *at != 0) else {
            return;
        };
        let bytes = self.arena.at(position);
        let (next, prev) = record::links(bytes);
        let (record, len) = (Record::read(bytes), record::len(bytes));
        let (hashed, size) = (hash(self.seed, record.hash), record.size);
        self.positions[id as usize] = 0;
        let (positions, table, seed) = (&self.positions, &mut self.words, self.seed);
        Self::each_word(record.name, |word| {
            let hashed = hash(seed, word.as_bytes());
            if let Ok(mut known) = table.find_entry(hashed, |known| &*known.text == word)
                && known.get_mut().files.bury(|id| positions[id as usize] != 0)
            {
                known.remove();
            }
        });
        if next != NONE {
            record::set_prev(self.arena.at_mut(positions[next as usize]), prev);
        }
        if prev != NONE {
            record::set_next(self.arena.at_mut(positions[prev as usize]), next);
        } else if next != NONE {
            if let Some(head) = self.contents.find_mut(hashed, |head| *head == id) {
                *head = next;
            }
        } else if let Ok(head) = self.contents.find_entry(hashed, |head| *head == id) {
            head.remove();
        }
        self.counts.files -= 1;
        self.counts.bytes = self.counts.bytes.saturating_sub(size);
        if let Some(segment) = self.arena.give_up(position, len) {
            self.empty(segment);
        }
    }

    /// Moves what is live in a segment.
    fn empty(&mut self, segment: usize) {
        let positions: Vec<_> = self.arena.records(segment, record::len).collect();
        for position in positions {
            let bytes = self.arena.at(position);
            let id = record::id(bytes) as usize;
            if self.positions.get(id) != Some(&position) {
                continue;
            }
            let bytes = bytes[..record::len(bytes)].to_vec();
            match self.arena.keep(&bytes) {
                Some(moved) => self.positions[id] = moved,
                // It stays as it is, holes and all.
                None => return,
            }
        }
        self.arena.recycle(segment);
    }

    /// Gives files numbers without gaps, once most numbers are of files that are gone.
    fn renumber(&mut self) {
        if self.positions.len() < RENUMBER_MIN.max(SPARSE * self.counts.files as usize) {
            return;
        }
        let mut numbers = vec![NONE; self.positions.len()];
        let mut kept = Vec::with_capacity(self.counts.files as usize + 1);
        kept.push(0);
        for (id, position) in self.positions.iter().enumerate().filter(|(_, at)| **at != 0) {
            numbers[id] = kept.len() as u32;
            kept.push(*position);
        }
        let number = |id: u32| numbers.get(id as usize).copied().filter(|id| *id != NONE);
        let or_none = |id: u32| number(id).unwrap_or(NONE);
        for (id, position) in kept.iter().enumerate().skip(1) {
            let bytes = self.arena.at_mut(*position);
            let (next, prev) = record::links(bytes);
            record::set_id(bytes, id as u32);
            record::set_next(bytes, or_none(next));
            record::set_prev(bytes, or_none(prev));
        }
        self.words.iter_mut().for_each(|word| word.files.rewrite(number));
        self.words.retain(|word| word.files.count() > 0);
        self.contents.iter_mut().for_each(|id| *id = or_none(*id));
        for user in self.users.iter_mut().flatten() {
            user.files.iter_mut().for_each(|(id, _)| *id = or_none(*id));
        }
        self.positions = kept;
    }

    fn slot(&self, nick: &Nick) -> Option<(u32, &User)> {
        let slot = *self.nicks.get(nick)?;
        Some((slot, self.users[slot as usize].as_ref()?))
    }

    fn owner(&self, bytes: &[u8]) -> Option<&Owner> {
        let slot = record::owner(bytes) as usize;
        Some(&self.users.get(slot)?.as_ref()?.owner)
    }

    fn hits(&self, query: &Query) -> Vec<Hit> {
        let mut hits = Vec::new();
        let known = query.words.iter().map(|word| {
            let hashed = hash(self.seed, word.as_bytes());
            let found = self.words.find(hashed, |known| &*known.text == word.as_str());
            found.map(|found| (word.as_str(), &found.files))
        });
        let Some(mut lists) = known.collect::<Option<Vec<_>>>() else { return hits };
        lists.sort_by_key(|(_, files)| files.count());
        let Some((&(_, shortest), others)) = lists.split_first() else { return hits };
        let bound = shortest.count().saturating_mul(LOOK_INSTEAD);
        let (read, looked): (Vec<_>, Vec<_>) =
            others.iter().partition(|(_, files)| files.count() <= bound);
        let mut read: Vec<Iter<'_>> = read.iter().map(|(_, files)| files.iter()).collect();
        let mut looks = 0;
        let mut candidates = shortest.iter();
        let mut next = candidates.next();
        'candidates: while let Some(id) = next {
            for list in &mut read {
                match list.seek(id) {
                    Some(found) if found == id => {}
                    Some(found) => {
                        next = candidates.seek(found);
                        continue 'candidates;
                    }
                    None => break 'candidates,
                }
            }
            next = candidates.next();
            let Some(bytes) = self.record(id) else { continue };
            looks += 1;
            let record = Record::read(bytes);
            if let Some(owner) = self.owner(bytes)
                && record.is_admitted(query)
                && query.link.admits(owner.link.number().into())
                && holds(record.name, looked.iter().map(|(word, _)| *word))
            {
                hits.push(Hit {
                    file: record.file(),
                    nick: owner.nick.clone(),
                    address: *owner.address.ip(),
                    link: owner.link,
                });
            }
            if hits.len() >= query.limit || looks == LOOKS_MAX {
                break;
            }
        }
        hits
    }
}

/// Whether all of `wanted` are words of `name`.
fn holds<'a>(name: &[u8], wanted: impl ExactSizeIterator<Item = &'a str> + Clone) -> bool {
    if wanted.len() == 0 {
        return true;
    }
    // One bit for each: a search has few words.
    let mut missing = (1u64 << wanted.len().min(63)) - 1;
    words(name, |word| {
        for (bit, _) in wanted.clone().enumerate().filter(|(_, wanted)| *wanted == word) {
            missing &= !(1 << bit);
        }
    });
    missing == 0
}

impl Index for MemoryIndex {
    type Error = Infallible;

    fn enter(&mut self, owner: &Owner) -> Result<(), Infallible> {
        if let Some(slot) = self.nicks.get(&owner.nick) {
            if let Some(user) = &mut self.users[*slot as usize] {
                user.owner = owner.clone();
            }
            return Ok(());
        }
        let user = Some(User { owner: owner.clone(), files: Vec::new(), bytes: 0 });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.users[slot as usize] = user;
                slot
            }
            None => {
                self.users.push(user);
                self.users.len() as u32 - 1
            }
        };
        self.nicks.insert(owner.nick.clone(), slot);
        self.counts.users += 1;
        Ok(())
    }

    fn leave(&mut self, nick: &Nick) -> Result<(), Infallible> {
        let Some(slot) = self.nicks.remove(nick) else { return Ok(()) };
        if let Some(user) = self.users[slot as usize].take() {
            user.files.iter().for_each(|(id, _)| self.remove(*id));
            self.counts.users -= 1;
        }
        self.free.push(slot);
        self.renumber();
        Ok(())
    }

    fn share(&mut self, nick: &Nick, files: &[SharedFile]) -> Result<u32, Infallible> {
        let Some((slot, _)) = self.slot(nick) else { return Ok(0) };
        Ok(files.iter().filter(|file| self.add(slot, file)).count() as u32)
    }

    fn unshare(&mut self, nick: &Nick, name: &Text) -> Result<bool, Infallible> {
        let Some((slot, user)) = self.slot(nick) else { return Ok(false) };
        let Some(at) = self.find(user, name) else { return Ok(false) };
        let id = user.files[at].0;
        let size = self.record(id).map_or(0, |bytes| Record::read(bytes).size);
        if let Some(user) = &mut self.users[slot as usize] {
            user.files.swap_remove(at);
            user.bytes = user.bytes.saturating_sub(size);
        }
        self.remove(id);
        Ok(true)
    }

    fn search(&mut self, query: &Query) -> Result<Vec<Hit>, Infallible> {
        Ok(self.hits(query))
    }

    fn browse(&mut self, nick: &Nick, limit: usize) -> Result<Vec<SharedFile>, Infallible> {
        let Some((_, user)) = self.slot(nick) else { return Ok(Vec::new()) };
        let records = user.files.iter().filter_map(|(id, _)| self.record(*id));
        Ok(records.take(limit).map(|bytes| Record::read(bytes).file()).collect())
    }

    fn file(
        &mut self,
        nick: &Nick,
        name: &Text,
    ) -> Result<Option<(Owner, SharedFile)>, Infallible> {
        let found = self.slot(nick).and_then(|(_, user)| {
            let (id, _) = user.files[self.find(user, name)?];
            Some((user.owner.clone(), Record::read(self.record(id)?).file()))
        });
        Ok(found)
    }

    fn twins(
        &mut self,
        wanted: &FileHash,
        size: u64,
        limit: usize,
    ) -> Result<Vec<Twin>, Infallible> {
        let hashed = hash(self.seed, wanted.as_bytes());
        let is_it = |id: &u32| {
            let record = self.record(*id).map(Record::read);
            record.is_some_and(|record| record.hash == wanted.as_bytes())
        };
        let mut next = self.contents.find(hashed, is_it).copied();
        let mut twins = Vec::new();
        while let Some(bytes) = next.and_then(|id| self.record(id)) {
            next = Some(record::links(bytes).0);
            let record = Record::read(bytes);
            if let Some(owner) = self.owner(bytes).filter(|_| record.size == size) {
                twins.push(Twin {
                    nick: owner.nick.clone(),
                    address: owner.address,
                    name: Text::from(record.name),
                    hash: *wanted,
                    size,
                    link: owner.link,
                });
            }
            if twins.len() >= limit {
                break;
            }
        }
        Ok(twins)
    }

    fn counts(&mut self) -> Result<Counts, Infallible> {
        Ok(self.counts)
    }
}

#[cfg(test)]
mod tests;

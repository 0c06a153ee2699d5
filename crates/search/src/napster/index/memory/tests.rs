//! The index against a list of all files, under random comings and goings.

use alloc::format;
use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::BTreeMap;

use machine::Rng;

use super::*;
use crate::napster::{Filter, LinkSpeed, MediaType};

fn owner(number: u64) -> Owner {
    Owner {
        nick: Nick::new(format!("user{number}").as_bytes()).expect("a name"),
        address: SocketAddrV4::new(Ipv4Addr::from_bits(0x0a00_0000 + number as u32), 6_699),
        link: LinkSpeed::new((number % 11) as u8).expect("a speed"),
    }
}

fn file(rng: &mut Rng) -> SharedFile {
    const WORDS: [&str; 8] = ["red", "green", "blue", "song", "live", "remix", "Ärzte", "mp3"];
    let mut name = String::from("C:\\music");
    for _ in 0..1 + rng.below(4) {
        name.push(if rng.below(3) == 0 { '\\' } else { '-' });
        name.push_str(rng.pick(&WORDS).copied().unwrap_or_default());
    }
    let content = rng.below(40) as u8;
    SharedFile {
        name: name.as_str().into(),
        hash: if content.is_multiple_of(2) {
            FileHash::Md5([content; 16])
        } else {
            FileHash::Sha1([content; 20])
        },
        size: u64::from(content) * 1_000_000_000,
        bitrate: 64 << rng.below(3),
        frequency: 44_100,
        seconds: rng.below(300) as u32,
        media: *rng.pick(&MediaType::ALL).unwrap_or(&MediaType::Mp3),
    }
}

#[test]
fn it_finds_what_a_list_would() {
    let mut rng = Rng::new(7);
    let mut index = MemoryIndex::new(1);
    let mut list: BTreeMap<Nick, BTreeMap<Text, SharedFile>> = BTreeMap::new();
    for round in 0..30_000 {
        let who = owner(rng.below(30));
        let nick = who.nick.clone();
        match rng.below(20) {
            0 => {
                index.enter(&who).expect("memory");
                list.entry(nick).or_default();
            }
            1 if rng.below(4) == 0 => {
                index.leave(&nick).expect("memory");
                list.remove(&nick);
            }
            2..=4 => {
                let files = list.get(&nick).map(|files| files.keys().cloned().collect::<Vec<_>>());
                let name = rng.pick(&files.unwrap_or_default()).cloned().unwrap_or_default();
                let was = list.get_mut(&nick).is_some_and(|files| files.remove(&name).is_some());
                assert_eq!(index.unshare(&nick, &name), Ok(was));
            }
            5..=15 => {
                let file = file(&mut rng);
                let expected = list.get_mut(&nick).is_some_and(|files| {
                    !files.contains_key(&file.name)
                        && files.insert(file.name.clone(), file.clone()).is_none()
                });
                assert_eq!(index.share(&nick, &[file]), Ok(u32::from(expected)), "round {round}");
            }
            _ => compare(&mut index, &list, &mut rng),
        }
        if round % 9_000 == 8_999 {
            index.positions.reserve(RENUMBER_MIN);
            index.positions.resize(RENUMBER_MIN + index.positions.len(), 0);
            index.renumber();
            assert!(index.positions.len() as u64 == index.counts.files + 1);
            compare(&mut index, &list, &mut rng);
        }
    }
    assert!(index.footprint().total() > 0);
    for nick in list.keys() {
        index.leave(nick).expect("memory");
    }
    assert_eq!(index.counts(), Ok(Counts::default()));
    assert!(index.words.is_empty() && index.contents.is_empty());
}

fn compare(
    index: &mut MemoryIndex,
    list: &BTreeMap<Nick, BTreeMap<Text, SharedFile>>,
    rng: &mut Rng,
) {
    let pattern = file(rng);
    let mut query = Query::new(&pattern.name.to_string_lossy());
    query.words.truncate(1 + rng.below(3) as usize);
    query.words.retain(|word| word != "c" && word != "music");
    query.limit = 10_000;
    query.media = (rng.below(2) == 0).then_some(pattern.media);
    query.bitrate = Filter { min: 128, max: u64::MAX };
    let mut expected = 0;
    for (nick, files) in list {
        let link = owner(nick.as_str()[4..].parse().expect("a number")).link;
        expected += files
            .values()
            .filter(|file| {
                !query.words.is_empty()
                    && query.admits(file, link)
                    && holds(file.name.as_bytes(), query.words.iter().map(String::as_str))
            })
            .count();
    }
    let hits = index.search(&query).expect("memory");
    assert_eq!(hits.len(), expected, "{:?}", query.words);
    for hit in hits {
        assert_eq!(list[&hit.nick].get(&hit.file.name), Some(&hit.file));
    }
    let twins = index.twins(&pattern.hash, pattern.size, 1_000).expect("memory");
    let all = list.values().flat_map(BTreeMap::values);
    assert_eq!(twins.len(), all.filter(|file| file.hash == pattern.hash).count());
    let files: usize = list.values().map(BTreeMap::len).sum();
    assert_eq!(index.totals().files, files as u64);
    let nick = owner(rng.below(30)).nick;
    let browsed = index.browse(&nick, 1_000).expect("memory");
    assert_eq!(browsed.len(), list.get(&nick).map_or(0, BTreeMap::len));
    for shared in browsed {
        let found = index.file(&nick, &shared.name).expect("memory").map(|(_, file)| file);
        assert_eq!(found, Some(shared));
    }
}

#[test]
fn na_06_a_search_that_matches_all_ends_early() {
    let mut index = MemoryIndex::new(1);
    index.enter(&owner(1)).expect("memory");
    let files: Vec<_> = (0..2_000)
        .map(|number| {
            let name = format!("song {number}.mp3");
            SharedFile::new(name.as_str().into(), FileHash::Md5([1; 16]), 1, MediaType::Mp3)
        })
        .collect();
    assert_eq!(index.share(&owner(1).nick, &files), Ok(2_000));
    let all = Query::parse(b"FILENAME CONTAINS \"mp3\" MAX_RESULTS 100000").expect("a search");
    assert_eq!(index.search(&all).map(|hits| hits.len()), Ok(100));
    assert_eq!(index.search(&Query::new("")).map(|hits| hits.len()), Ok(0));
}

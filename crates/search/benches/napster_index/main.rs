//! The index of a server of Napster at full size: how fast users share and leave, what a file takes,
//! how long searches take; with `tantivy`, the same in that library beside it, in one run.
//! `cargo bench -p shoal-search --bench napster_index -- [FILES [USERS]] [tantivy]`

mod library;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use machine::Rng;
use search::napster::index::{Index, MemoryIndex, Owner};
use search::napster::{FileHash, Filter, LinkSpeed, MediaType, Nick, Query, SharedFile};

const WORDS: u64 = 300_000;
const ARTISTS: u64 = 100_000;
const SEARCHES: usize = 20_000;

/// A number below `bound`, small ones more often: as words of a language are (Zipf, exponent 1).
fn skewed(rng: &mut Rng, bound: u64) -> u64 {
    let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    ((bound as f64).powf(uniform) - 1.0) as u64
}

fn word(number: u64) -> String {
    const SYLLABLES: [&str; 32] = [
        "ba", "ro", "mi", "ten", "sa", "lo", "ver", "ka", "du", "shi", "na", "por", "ta", "le",
        "gu", "fi", "mon", "ri", "de", "zu", "an", "pel", "co", "hy", "ste", "bru", "wa", "ne",
        "tri", "o", "lan", "be",
    ];
    let mut text = String::new();
    let mut rest = number.wrapping_mul(0x9e37_79b1) % (1 << 20) + number / (1 << 20);
    for _ in 0..2 + number % 3 {
        text.push_str(SYLLABLES[(rest % 32) as usize]);
        rest /= 32;
    }
    // Rare words are told apart by more than their sound.
    if number > 20_000 {
        let _ = write!(text, "{}", number % 97);
    }
    text
}

/// A piece of music: what it is called follows from its number.
fn content(number: u64) -> SharedFile {
    let mut rng = Rng::new(number);
    let artist = skewed(&mut rng, ARTISTS);
    let mut title = String::new();
    for _ in 0..1 + rng.below(4) {
        let _ = write!(title, " {}", word(skewed(&mut rng, WORDS)));
    }
    let artist = format!("{} {}", word(artist), word(artist * 7 % WORDS));
    let name = format!("D:\\Music\\{artist}\\{artist} -{title}.mp3");
    let mut hash = [0; 20];
    rng.fill(&mut hash);
    SharedFile {
        bitrate: [128, 128, 160, 192, 320][rng.below(5) as usize],
        frequency: 44_100,
        seconds: 100 + rng.below(300) as u32,
        ..SharedFile::new(
            name.as_str().into(),
            FileHash::Sha1(hash),
            2_000_000 + rng.below(8_000_000),
            MediaType::Mp3,
        )
    }
}

fn owner(number: u64) -> Owner {
    Owner {
        nick: Nick::new(format!("user{number}").as_bytes()).expect("a name"),
        address: SocketAddrV4::new(Ipv4Addr::from_bits(0x0b00_0000 + number as u32), 6_699),
        link: LinkSpeed::new((number % 11) as u8).expect("a speed"),
    }
}

/// Bytes of this program in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}

fn share(index: &mut MemoryIndex, user: u64, files: u64, contents: u64) -> (u64, Duration) {
    let shared = self::files(user, files, contents);
    let owner = owner(user);
    let began = Instant::now();
    let Ok(()) = index.enter(&owner);
    let Ok(new) = index.share(&owner.nick, &shared);
    (new.into(), began.elapsed())
}

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<u64>().ok());
    let files = numbers.next().unwrap_or(100_000);
    let users = numbers.next().unwrap_or(files / 100).max(1);
    let each = files / users;
    // Every piece is with three users, on average.
    let contents = (files / 3).max(1);
    let before = resident();
    let mut index = MemoryIndex::new(1);
    let (mut shared, mut spent) = (0, Duration::ZERO);
    for user in 0..users {
        let (new, time) = share(&mut index, user, each, contents);
        shared += new;
        spent += time;
    }
    println!(
        "{users} users share {shared} files, {:.0} a second",
        shared as f64 / spent.as_secs_f64()
    );
    let print = index.footprint();
    let part = |bytes: usize| bytes as f64 / shared as f64;
    println!(
        "bytes a file: {:.1} (records {:.1}, positions {:.1}, words {:.1}, contents {:.1}, users {:.1}); \
         resident {:.1}",
        part(print.total()),
        part(print.records),
        part(print.positions),
        part(print.words),
        part(print.contents),
        part(print.users),
        (resident() - before) as f64 / shared as f64,
    );

    time_searches("ours", contents, |query| {
        let Ok(hits) = index.search(query);
        hits.len()
    });

    let (mut changed, mut spent) = (0, Duration::ZERO);
    for user in 0..users / 10 {
        let nick = owner(user * 10).nick;
        let began = Instant::now();
        let Ok(()) = index.leave(&nick);
        spent += began.elapsed();
        let (new, time) = share(&mut index, users + user, each, contents);
        changed += new;
        spent += time;
    }
    println!(
        "one user in ten is replaced: {:.0} files a second go and come",
        changed as f64 / spent.as_secs_f64()
    );
    if std::env::args().any(|word| word == "tantivy") {
        drop(index);
        beside(users, each, contents);
    }
}

/// The files of a user.
fn files(user: u64, count: u64, contents: u64) -> Vec<SharedFile> {
    let mut rng = Rng::new(user ^ 0x5eed);
    (0..count).map(|_| content(rng.below(contents))).collect()
}

/// Puts the same searches to an index, and says how long they took.
fn time_searches(name: &str, contents: u64, mut search: impl FnMut(&Query) -> usize) {
    let mut rng = Rng::new(77);
    let mut times = Vec::with_capacity(SEARCHES);
    let mut found = 0;
    for number in 0..SEARCHES {
        let text = content(rng.below(contents)).name.to_string_lossy().into_owned();
        let text = &text[text.rfind('\\').map_or(0, |at| at + 1)..];
        let mut words: Vec<&str> =
            text.split([' ', '.', '-']).filter(|word| !word.is_empty()).collect();
        words.pop();
        rng.shuffle(&mut words);
        words.truncate(1 + rng.below(3) as usize);
        let common =
            [word(skewed(&mut rng, 200)), word(skewed(&mut rng, 200)), word(skewed(&mut rng, 200))];
        // One in ten is for words that many names hold.
        let mut query =
            Query::new(&if number % 10 == 0 { common.join(" ") } else { words.join(" ") });
        if number % 5 == 0 {
            query.bitrate = Filter { min: 192, max: u64::MAX };
        }
        let began = Instant::now();
        let hits = search(&query);
        times.push(began.elapsed());
        found += hits;
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: {SEARCHES} searches, {:.1} hits each: median {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        found as f64 / SEARCHES as f64,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// The same in tantivy. What is shared is found once it is committed, here once for all at first, and
/// once for every thousandth of the users who come and go.
fn beside(users: u64, each: u64, contents: u64) {
    let mut library = library::Library::new();
    let before = resident();
    let mut spent = Duration::ZERO;
    for user in 0..users {
        let shared = files(user, each, contents);
        let began = Instant::now();
        library.share(user, &shared);
        spent += began.elapsed();
    }
    spent += library.commit();
    let shared = (users * each) as f64;
    println!(
        "tantivy: {:.0} files a second; {:.1} bytes a file, resident {:.1}",
        shared / spent.as_secs_f64(),
        library.bytes() as f64 / shared,
        resident().saturating_sub(before) as f64 / shared
    );
    time_searches("tantivy", contents, |query| library.search(query));
    let (mut spent, mut changed, mut longest) = (Duration::ZERO, 0, Duration::ZERO);
    for user in 0..users / 10 {
        let shared = files(users + user, each, contents);
        let began = Instant::now();
        library.leave(user * 10);
        library.share(users + user, &shared);
        spent += began.elapsed();
        changed += each;
        if user % (users / 1_000).max(1) == 0 {
            let took = library.commit();
            spent += took;
            longest = longest.max(took);
        }
    }
    println!(
        "tantivy: one user in ten is replaced: {:.0} files a second go and come, a commit at most {longest:?}",
        changed as f64 / spent.as_secs_f64()
    );
}

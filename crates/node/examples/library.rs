//! Measures the library: `cargo run --release -p shoal-node --example library -- [FILES] [BYTES]`
//! makes FILES files of BYTES bytes each (200,000 of 1,000) in a new folder below the working
//! folder, shares it, and says how long everything takes and how large it gets.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use node::{FileQuery, Library};

const PATIENCE: Duration = Duration::from_secs(24 * 3600);
const FILES_PER_FOLDER: usize = 500;
const WORDS: [&str; 12] = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "juniper",
    "kelp", "lotus",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let count = numbers.next().transpose()?.unwrap_or(200_000);
    let len = numbers.next().transpose()?.unwrap_or(1000);
    let home = tempfile::Builder::new().prefix("shoal-library").tempdir_in(".")?;
    let shared = home.path().join("shared");
    make(&shared, count, len)?;
    let state = home.path().join("state");
    let library = Library::open(&state)?;
    let began = Instant::now();
    library.add(&shared)?;
    let all = count as u64;
    library.wait_until(PATIENCE, |status| status.files == all);
    say("found", began);
    library.wait_until(PATIENCE, |status| status.is_settled() && status.files_hashed == all);
    let seconds = began.elapsed().as_secs_f64();
    let mib = (count * len) as f64 / f64::from(1 << 20);
    println!("hashed            {seconds:8.2} s, {:.1} MiB/s", mib / seconds);
    println!("memory            {:8} KiB ({} KiB at most)", memory("VmRSS"), memory("VmHWM"));
    for words in ["", "amber", "am de", "amber delta 77", "type:video size:<2000", "z"] {
        for offset in [0, 150_000] {
            let query = FileQuery {
                words: words.to_owned(),
                offset,
                limit: Some(100),
                ..FileQuery::default()
            };
            let best = (0..10).map(|_| {
                let began = Instant::now();
                let found = library.files(&query).map(|found| found.total);
                (began.elapsed(), found)
            });
            if let Some((time, Ok(total))) = best.min_by_key(|(time, _)| *time) {
                let ms = time.as_secs_f64() * 1000.0;
                println!("list              {ms:8.2} ms, {total} for {words:?} from {offset}");
            }
        }
    }
    drop(library);
    println!("state             {:8} KiB", size(&state.join("state.redb"))? / 1024);
    println!("index             {:8} KiB", size(&state.join("library-index"))? / 1024);
    let began = Instant::now();
    let library = Library::open(&state)?;
    say("opened again", began);
    library.wait_until(PATIENCE, |status| status.is_settled());
    say("looked at again", began);
    println!("memory            {:8} KiB", memory("VmRSS"));
    Ok(())
}

/// Files with names of three words and a number, in folders of their own.
fn make(shared: &Path, count: usize, len: usize) -> std::io::Result<()> {
    for number in 0..count {
        let folder = shared.join(format!("folder {}", number / FILES_PER_FOLDER));
        if number % FILES_PER_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        let word = |n: usize| WORDS[n % WORDS.len()];
        let end = ["mp4", "flac", "jpg", "txt"][number % 4];
        let (one, two) = (word(number), word(number / 7));
        let mut bytes = number.to_le_bytes().repeat(len.div_ceil(8));
        bytes.truncate(len);
        fs::write(folder.join(format!("{one} {two} {number}.{end}")), bytes)?;
    }
    Ok(())
}

fn say(what: &str, began: Instant) {
    println!("{what:17} {:8.2} s", began.elapsed().as_secs_f64());
}

/// A number of this process, in KiB.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}

/// Bytes of a file, or of all in a folder.
fn size(path: &Path) -> std::io::Result<u64> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

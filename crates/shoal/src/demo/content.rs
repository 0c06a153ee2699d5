//! Something to share when the user names nothing: the same files on every machine.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use machine::Rng;

/// Name of the folder that is shared.
const FOLDER: &str = "reef";
/// Shares of the whole that each file has, in 256ths; the last takes what remains.
const FILES: &[(&str, u64)] =
    &[("north/sonar.bin", 96), ("north/video.bin", 64), ("south/sonar.bin", 61), ("notes.bin", 35)];
const SEED: u64 = 0x0005_40a1;
const CHUNK_LEN: usize = 1 << 20;

/// Writes a folder of `total` bytes below `dir`, and returns where it is.
///
/// # Errors
/// When it cannot be written.
pub fn generate(dir: &Path, total: u64, mut progress: impl FnMut(u64)) -> io::Result<PathBuf> {
    let folder = dir.join(FOLDER);
    let mut rng = Rng::new(SEED);
    let mut chunk = vec![0; CHUNK_LEN];
    let mut written = 0;
    for (index, (name, share)) in FILES.iter().enumerate() {
        let rest = total - written;
        let mut left =
            if index + 1 == FILES.len() { rest } else { (total / 256 * share).min(rest) };
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        let mut file = BufWriter::with_capacity(CHUNK_LEN, File::create(path)?);
        while left > 0 {
            let len = left.min(CHUNK_LEN as u64);
            let part = &mut chunk[..len as usize];
            rng.fill(part);
            file.write_all(part)?;
            (left, written) = (left - len, written + len);
            progress(written);
        }
        file.flush()?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_the_size_asked_for_and_is_always_the_same() {
        let read = |total| {
            let dir = tempfile::tempdir().expect("a folder");
            let mut last = 0;
            let folder = generate(dir.path(), total, |written| last = written).expect("content");
            assert_eq!(last, total);
            let files = FILES.iter().map(|(name, _)| fs::read(folder.join(name)).expect("a file"));
            files.collect::<Vec<_>>()
        };
        for total in [0, 1, 255, 100_000, (3 << 20) + 17] {
            let files = read(total);
            assert_eq!(files.iter().map(|file| file.len() as u64).sum::<u64>(), total);
            assert_eq!(files, read(total));
        }
    }
}

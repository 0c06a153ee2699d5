//! Which files of a torrent are wanted, by number or by name. Numbers count from 1 as `--list`
//! shows them, padding left out.

use bittorrent::metainfo::{File, Info};

/// One part of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Numbers from the first to the last, both included.
    Numbers(usize, usize),
    /// Files whose whole path or last element looks like this; `*` and `?` are wildcards.
    Name(String),
}

/// Reads one part: `3`, `3-5`, `3-`, or a name with wildcards.
///
/// # Errors
/// In words, for the user.
pub fn parse_pick(text: &str) -> Result<Pick, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !(last.is_empty() || digits(last)) {
        return match text {
            "" => Err("a number or a name is missing".to_owned()),
            name => Ok(Pick::Name(name.to_owned())),
        };
    }
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is too large"));
    let first = number(first)?;
    let last = if last.is_empty() { usize::MAX } else { number(last)? };
    if first == 0 || last < first {
        return Err(format!("`{text}` is empty: files count from 1 upwards"));
    }
    Ok(Pick::Numbers(first, last))
}

/// The files of a torrent with the numbers that users see, padding left out.
pub fn numbered(info: &Info) -> impl Iterator<Item = (usize, usize, &File)> {
    let files = info.files.iter().enumerate().filter(|(_, file)| !file.padding);
    files.enumerate().map(|(number, (index, file))| (number + 1, index, file))
}

/// Indices into [`Info::files`] of what `picks` name, in order.
///
/// # Errors
/// The part that names no file, in words.
pub fn resolve(picks: &[Pick], info: &Info) -> Result<Vec<usize>, String> {
    for pick in picks {
        if !numbered(info).any(|(number, _, file)| pick.covers(number, info, file)) {
            let what = match pick {
                Pick::Numbers(first, last) if first == last => format!("number {first}"),
                Pick::Numbers(first, usize::MAX) => format!("numbers from {first}"),
                Pick::Numbers(first, last) => format!("numbers {first} to {last}"),
                Pick::Name(name) => format!("a name like `{name}`"),
            };
            return Err(format!("no file of this torrent has {what}"));
        }
    }
    let wanted = numbered(info)
        .filter(|(number, _, file)| picks.iter().any(|pick| pick.covers(*number, info, file)));
    Ok(wanted.map(|(_, index, _)| index).collect())
}

impl Pick {
    fn covers(&self, number: usize, info: &Info, file: &File) -> bool {
        match self {
            Self::Numbers(first, last) => (*first..=*last).contains(&number),
            Self::Name(pattern) => {
                let path = file.path.join("/");
                let name = file.path.last().unwrap_or(&info.name);
                matches(pattern, &path)
                    || matches(pattern, name)
                    || matches(pattern, &format!("{}/{path}", info.name))
            }
        }
    }
}

/// Whether `text` looks like `pattern`, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how far the text was then; the one place to go back to.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    (p, t) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use bittorrent::id::InfoHashes;

    use super::*;

    fn album() -> Info {
        let file = |path: &[&str], padding| File {
            path: path.iter().map(|&part| part.to_owned()).collect(),
            disk_path: Vec::new(),
            offset: 0,
            len: 1,
            padding,
            symlink: false,
            executable: false,
            pieces_root: None,
        };
        Info {
            hashes: InfoHashes { v1: None, v2: None },
            name: "album".to_owned(),
            piece_len: 1 << 14,
            private: false,
            single_file: false,
            files: vec![
                file(&["a.flac"], false),
                file(&[".pad", "1"], true),
                file(&["cd 2", "b.flac"], false),
                file(&["cover.jpg"], false),
            ],
            total_len: 4,
            v1_pieces: None,
        }
    }

    #[test]
    fn parts_are_numbers_ranges_or_names() {
        for (text, pick) in [
            ("3", Pick::Numbers(3, 3)),
            ("3-5", Pick::Numbers(3, 5)),
            ("3-", Pick::Numbers(3, usize::MAX)),
            ("*.flac", Pick::Name("*.flac".to_owned())),
            ("-5", Pick::Name("-5".to_owned())),
            ("2-b", Pick::Name("2-b".to_owned())),
        ] {
            assert_eq!(parse_pick(text), Ok(pick), "{text}");
        }
        for text in ["", "0", "5-3", "0-2", "99999999999999999999999"] {
            assert!(parse_pick(text).is_err(), "{text}");
        }
    }

    #[test]
    fn padding_has_no_number() {
        let album = album();
        for (parts, indices) in [
            (&["1"][..], &[0][..]),
            (&["2-"], &[2, 3]),
            (&["3", "1"], &[0, 3]),
            (&["*.flac"], &[0, 2]),
            (&["cd 2/*"], &[2]),
            (&["album/cover.*", "2"], &[2, 3]),
        ] {
            let picks: Vec<_> = parts.iter().map(|part| parse_pick(part).expect(part)).collect();
            assert_eq!(resolve(&picks, &album).as_deref(), Ok(indices), "{parts:?}");
        }
        for part in ["4", "4-", "*.mkv", "1*"] {
            assert!(resolve(&[parse_pick(part).expect(part)], &album).is_err(), "{part}");
        }
    }

    #[test]
    fn wildcards_go_back_only_as_far_as_needed() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "a-b-c", false),
            ("***x", "yyx", true),
            ("?é", "né", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
        // Exponential matchers do not finish this.
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
    }
}

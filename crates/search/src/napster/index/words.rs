//! Cutting names into words.

use alloc::string::String;

/// Bytes of a word; what is longer is cut.
pub const WORD_LEN_MAX: usize = 64;

/// Tells `take` of every word in `text`, in lower case: runs of letters and digits. Bytes that are
/// not UTF-8 are read as ISO 8859-1.
pub fn words(text: &[u8], mut take: impl FnMut(&str)) {
    let mut word = String::new();
    let mut take_char = |char: char| {
        if char.is_alphanumeric() {
            if word.len() < WORD_LEN_MAX {
                word.extend(char.to_lowercase());
            }
        } else if !word.is_empty() {
            take(&word);
            word.clear();
        }
    };
    match core::str::from_utf8(text) {
        Ok(text) => text.chars().for_each(&mut take_char),
        Err(_) => text.iter().for_each(|&byte| take_char(char::from(byte))),
    }
    take_char(' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        let cut = |text: &[u8]| {
            let mut found = Vec::new();
            words(text, |word| found.push(String::from(word)));
            found
        };
        assert_eq!(
            cut(b"C:\\MP3\\Sneaker-Pimps (6 Underground).mp3"),
            ["c", "mp3", "sneaker", "pimps", "6", "underground", "mp3"]
        );
        assert_eq!(cut("Ärzte – Männer".as_bytes()), ["ärzte", "männer"]);
        assert_eq!(cut(b"\xc4rzte"), ["ärzte"]);
        assert!(cut(b" -- ").is_empty());
        assert!(cut(&[b'x'; 300])[0].len() <= WORD_LEN_MAX);
    }
}

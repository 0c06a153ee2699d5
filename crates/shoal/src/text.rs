//! Text that came from strangers (names, programs, comments), made fit for a terminal.

/// `text` with everything escaped that could move the cursor, hide characters or change their
/// order: control characters, line separators, and the marks that set the direction of writing.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Like [`plain`], cut to `chars_max` characters.
#[must_use]
pub fn short(text: &str, chars_max: usize) -> String {
    let plain = plain(text);
    if plain.chars().count() <= chars_max {
        return plain;
    }
    let kept = plain.chars().take(chars_max.saturating_sub(1));
    kept.chain(['…']).collect()
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_16_text_from_strangers_cannot_drive_a_terminal() {
        for (text, shown) in [
            ("plain name.txt", "plain name.txt"),
            ("naïve 名前 🐟", "naïve 名前 🐟"),
            ("<script>", "<script>"),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("a\nb\rc\td", "a\\u{a}b\\u{d}c\\u{9}d"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("cod.\u{202e}exe", "cod.\\u{202e}exe"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("名前名前", 3), "名前…");
        assert_eq!(short("x", 0), "…");
    }
}

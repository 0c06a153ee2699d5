//! Names of files: safe as an element of a path, and not changed a second time.
#![no_main]

use bittorrent::metainfo::path::{MAX_ELEMENT_LEN, sanitize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let name = String::from_utf8_lossy(data);
    let safe = sanitize(&name, "_");
    assert!(!matches!(safe.as_str(), "" | "." | ".."));
    assert!(safe.len() <= MAX_ELEMENT_LEN);
    assert!(!safe.contains(['/', '\\']) && !safe.contains(char::is_control));
    assert!(!safe.ends_with(['.', ' ']));
    assert_eq!(sanitize(&safe, "_"), safe);
});

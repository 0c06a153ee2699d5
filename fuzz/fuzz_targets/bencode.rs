//! Bencode: whatever is read can be walked over, and canonical input is written back the same.
#![no_main]

use codec::bencode::{self, Kind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(document) = bencode::decode_prefix(data) else { return };
    assert!(data.starts_with(document.raw()));
    let mut open = vec![document.root()];
    let mut written = Vec::new();
    while let Some(value) = open.pop() {
        assert!(data[value.at()..].starts_with(value.raw()));
        match value.kind() {
            Kind::Int => {
                let int = value.as_int().expect("checked");
                written.clear();
                bencode::Encoder::new(&mut written).int(int);
                assert_eq!(written, value.raw());
            }
            Kind::Bytes => {
                let bytes = value.as_bytes().expect("checked");
                written.clear();
                bencode::Encoder::new(&mut written).bytes(bytes);
                assert_eq!(written, value.raw());
            }
            Kind::List => {
                let items: Vec<_> = value.as_list().expect("checked").iter().collect();
                let inside: usize = items.iter().map(|item| item.raw().len()).sum();
                assert_eq!(inside + 2, value.raw().len());
                open.extend(items);
            }
            Kind::Dict => {
                let dict = value.as_dict().expect("checked");
                if document.disorder().is_none() {
                    assert!(dict.duplicate().is_none());
                    assert!(dict.iter().map(|(key, _)| key).is_sorted());
                }
                for (key, _) in dict.iter().take(8) {
                    assert!(dict.get(key).is_some());
                }
                open.extend(dict.iter().map(|(_, value)| value));
            }
        }
    }
});

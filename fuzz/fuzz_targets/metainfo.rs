//! Metainfo files: what is read is consistent, safe on disk, and survives being written.
#![no_main]

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::Metainfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let metainfo = match Metainfo::parse(data) {
        Ok(metainfo) => metainfo,
        Err(error) => return assert!(error.at() <= data.len()),
    };
    let info = &metainfo.info;
    assert_eq!(info.files.len(), metainfo.piece_layers.len());
    let mut places = std::collections::BTreeSet::new();
    for file in &info.files {
        assert!(file.padding || !file.disk_path.is_empty());
        for element in &file.disk_path {
            assert!(!matches!(element.as_str(), "" | "." | ".."));
            assert!(!element.contains(['/', '\\', '\0']));
        }
        assert!(file.padding || places.insert(&file.disk_path));
    }
    for piece in (0..info.piece_count().min(100)).map(PieceIndex) {
        let covered: u64 = info.piece_files(piece).map(|span| u64::from(span.len)).sum();
        assert_eq!(covered, u64::from(info.piece_size(piece)));
        let _ = metainfo.v2_piece(piece);
    }
    let again = Metainfo::parse(&metainfo.to_bytes()).expect("written by us");
    assert_eq!(again, metainfo);
});

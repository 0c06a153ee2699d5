//! Routing tables: no messages upset the receiver, and a table that it has can be told anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use search::gnutella::qrp::{QrpMessage, Receiver, update};

/// Payloads, each behind its length in two bytes.
fn payloads(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (len, rest) = data.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        data = rest;
        Some(payload)
    })
}

fuzz_target!(|data: &[u8]| {
    let mut receiver = Receiver::new();
    for payload in payloads(data) {
        let Ok(message) = QrpMessage::parse(payload) else { continue };
        let before = receiver.table().cloned();
        match receiver.on_message(&message) {
            Err(_) => assert!(receiver.table().is_none()),
            Ok(false) => assert_eq!(receiver.table(), before.as_ref()),
            Ok(true) => {}
        }
        let Some(table) = receiver.table().filter(|table| table.len() <= 1 << 12) else { continue };
        for (old, entry_bits) in [(None, 4), (before.as_ref(), 4), (before.as_ref(), 1)] {
            let mut other = Receiver::new();
            for (known, bits) in [(None, 1), (old, entry_bits)] {
                let target = if known.is_none() { old.unwrap_or(table) } else { table };
                for payload in update(known, target, bits) {
                    let message = QrpMessage::parse(&payload).expect("what is written");
                    other.on_message(&message).expect("our own table");
                }
            }
            assert_eq!(other.table(), Some(table));
        }
    }
});

//! GGEP and what stands beside it: no bytes upset the reader, and items come back from what is
//! written of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use search::gnutella::ggep::{Builder, Ggep, VALUE_MAX};
use search::gnutella::{Extension, Extensions, Urn};

fuzz_target!(|data: &[u8]| {
    for extension in Extensions::new(data) {
        if let Extension::Urn(urn) = extension {
            assert_eq!(Urn::parse(urn.to_text().as_bytes()), Some(urn));
        }
    }
    let _ = Extensions::new(data).urns().count();
    let Ok((block, used)) = Ggep::parse(data) else { return };
    assert!(used <= data.len());
    assert_eq!(Ggep::parse(&data[..used]), Ok((block, used)));
    for mut builder in [Builder::new(), Builder::without_zeros()] {
        let mut values = Vec::new();
        for item in block.items() {
            let Ok(value) = item.value() else { continue };
            assert!(value.len() <= VALUE_MAX);
            if builder.add_compressed(item.id, &value).is_ok() {
                values.push((item.id, value));
            }
        }
        let bytes = builder.finish();
        if values.is_empty() {
            assert!(bytes.is_empty());
            continue;
        }
        let (again, used) = Ggep::parse(&bytes).expect("what is written can be read");
        assert_eq!(used, bytes.len());
        for (item, (id, value)) in again.items().zip(&values) {
            assert_eq!((item.id, item.value().expect("a sound value")), (*id, value.clone()));
        }
    }
});

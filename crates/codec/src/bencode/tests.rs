//! Tests of reading and writing bencode, by example and by property.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn error(bytes: &[u8]) -> (ErrorKind, usize) {
    let error = decode(bytes).unwrap_err();
    (error.kind, error.at)
}

#[test]
fn reads_the_examples_of_bep_3() {
    assert_eq!(decode(b"4:spam").unwrap().root().as_bytes(), Some(&b"spam"[..]));
    assert_eq!(decode(b"i3e").unwrap().root().as_int(), Some(3));
    assert_eq!(decode(b"i-3e").unwrap().root().as_int(), Some(-3));
    assert_eq!(decode(b"i0e").unwrap().root().as_int(), Some(0));
    let list = decode(b"l4:spam4:eggse").unwrap();
    let words: Vec<_> =
        list.root().as_list().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(words, ["spam", "eggs"]);
    let dict = decode(b"d3:cow3:moo4:spaml1:a1:bee").unwrap();
    let dict = dict.dict().unwrap();
    assert_eq!(dict.bytes("cow"), Some(&b"moo"[..]));
    assert_eq!(dict.list("spam").unwrap().iter().count(), 2);
    assert!(dict.get("pig").is_none());
    assert_eq!(dict.int("cow"), None);
}

#[test]
fn keeps_the_bytes_of_every_value() {
    let bytes = b"d4:infod1:xllelee1:yi7ee3:endi1ee";
    let document = decode(bytes).unwrap();
    let dict = document.dict().unwrap();
    let info = dict.get("info").unwrap();
    assert_eq!(info.raw(), b"d1:xllelee1:yi7ee");
    assert_eq!(info.at(), 7);
    assert_eq!(info.as_dict().unwrap().get("x").unwrap().raw(), b"llelee");
    assert_eq!(info.as_dict().unwrap().int("y"), Some(7));
    assert_eq!(dict.int("end"), Some(1));
    assert_eq!(document.raw(), bytes);
}

#[test]
fn a_prefix_tells_how_much_it_took() {
    let document = decode_prefix(b"d8:msg_typei1ee and a piece").unwrap();
    assert_eq!(document.raw().len(), 15);
    assert_eq!(document.dict().unwrap().int("msg_type"), Some(1));
    assert_eq!(error(b"i1ei2e"), (ErrorKind::Trailing, 3));
}

#[test]
fn refuses_what_is_malformed_and_says_where() {
    let table: &[(&[u8], ErrorKind, usize)] = &[
        (b"", ErrorKind::End, 0),
        (b"l", ErrorKind::End, 1),
        (b"d1:a", ErrorKind::End, 4),
        (b"e", ErrorKind::Byte, 0),
        (b"x", ErrorKind::Byte, 0),
        (b"li1exe", ErrorKind::Byte, 4),
        (b"ie", ErrorKind::Int, 0),
        (b"i-e", ErrorKind::Int, 0),
        (b"i-0e", ErrorKind::Int, 0),
        (b"i03e", ErrorKind::Int, 0),
        (b"i-03e", ErrorKind::Int, 0),
        (b"i+3e", ErrorKind::Int, 1),
        (b"i1.5e", ErrorKind::Int, 2),
        (b"i1", ErrorKind::End, 2),
        (b"3:ab", ErrorKind::LengthOverflow, 0),
        (b"03:abc", ErrorKind::Length, 0),
        (b"3abc", ErrorKind::Length, 1),
        (b"3", ErrorKind::End, 1),
        (b"d1:ae", ErrorKind::MissingValue, 4),
    ];
    for &(input, kind, at) in table {
        assert_eq!(error(input), (kind, at), "{}", input.escape_ascii());
    }
}

#[test]
fn be_01_deep_nesting_is_an_error_without_recursion() {
    assert_eq!(error(&[b'l'; 100_000]), (ErrorKind::Depth, 100));
    let mut nested = vec![b'l'; 100];
    nested.extend([b'e'; 100]);
    assert!(decode(&nested).is_ok());
    assert_eq!(ErrorKind::Depth.name(), "depth");
}

#[test]
fn be_02_nested_dicts_keep_their_own_entries() {
    let bytes = b"d1:md11:ut_metadatad1:xi1ee6:ut_pexi2ee1:pi3ee";
    let document = decode(bytes).unwrap();
    let outer = document.dict().unwrap();
    let m = outer.dict("m").unwrap();
    assert_eq!(m.int("ut_metadata"), None);
    assert_eq!(m.dict("ut_metadata").unwrap().int("x"), Some(1));
    assert_eq!(m.int("ut_pex"), Some(2));
    assert_eq!(m.get("p").map(|v| v.at()), None);
    assert_eq!(outer.int("p"), Some(3));
    assert_eq!(m.dict("ut_metadata").unwrap().get("ut_pex").map(|v| v.at()), None);
}

#[test]
fn be_04_integers_beyond_64_bits_are_an_error() {
    assert_eq!(error(b"i99999999999999999999e"), (ErrorKind::IntOverflow, 0));
    assert_eq!(error(b"i9223372036854775808e"), (ErrorKind::IntOverflow, 0));
    assert_eq!(error(b"i-9223372036854775809e"), (ErrorKind::IntOverflow, 0));
    assert_eq!(decode(b"i9223372036854775807e").unwrap().root().as_int(), Some(i64::MAX));
    assert_eq!(decode(b"i-9223372036854775808e").unwrap().root().as_int(), Some(i64::MIN));
}

#[test]
fn be_05_a_length_beyond_the_input_is_an_error() {
    assert_eq!(error(b"99999999999:a"), (ErrorKind::LengthOverflow, 0));
    assert_eq!(error(b"99999999999999999999999999999:a"), (ErrorKind::LengthOverflow, 0));
}

#[test]
fn be_07_the_first_of_two_equal_keys_wins_and_is_flagged() {
    let document = decode(b"d1:ai1e1:ai2ee").unwrap();
    let dict = document.dict().unwrap();
    assert_eq!(dict.int("a"), Some(1));
    assert_eq!(document.disorder(), Some(7));
    assert_eq!(dict.duplicate().unwrap().as_int(), Some(2));
    let apart = decode(b"d1:bi1e1:ai2e1:bi3ee").unwrap();
    assert_eq!(apart.dict().unwrap().duplicate().unwrap().as_int(), Some(3));
}

#[test]
fn be_08_unsorted_keys_are_flagged_and_kept() {
    let bytes = b"d1:bi1e1:ai2ee";
    let document = decode(bytes).unwrap();
    assert_eq!(document.disorder(), Some(7));
    assert!(document.dict().unwrap().duplicate().is_none());
    assert_eq!(document.root().raw(), bytes);
    assert_eq!(decode(b"d1:ai2e1:bi1ee").unwrap().disorder(), None);
}

#[test]
fn be_10_a_key_that_is_no_string_is_an_error() {
    assert_eq!(error(b"di1ei2ee"), (ErrorKind::Key, 1));
    assert_eq!(error(b"dlei2ee"), (ErrorKind::Key, 1));
}

#[test]
fn be_11_too_many_values_are_an_error_before_any_is_stored() {
    let mut bytes = vec![b'l'];
    (0..3_000_000).for_each(|_| bytes.extend(b"0:"));
    bytes.push(b'e');
    assert_eq!(error(&bytes).0, ErrorKind::TokenLimit);
    assert_eq!(size_of::<Span>(), 8);
    let limits = Limits { tokens: 3_000_001, ..Limits::default() };
    let document = decode_with(&bytes, limits).unwrap();
    assert_eq!(document.spans.capacity(), 3_000_001);
    assert_eq!(document.root().as_list().unwrap().iter().count(), 3_000_000);
}

#[derive(Clone, Debug)]
enum Tree {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(alloc::collections::BTreeMap<Vec<u8>, Tree>),
}

impl Tree {
    fn write(&self, out: Encoder<'_>) {
        match self {
            Self::Int(int) => out.int(*int),
            Self::Bytes(bytes) => out.bytes(bytes),
            Self::List(items) => {
                out.list(|list| items.iter().for_each(|item| item.write(list.item())));
            }
            Self::Dict(entries) => out.dict(|dict| {
                entries.iter().for_each(|(key, value)| value.write(dict.entry(key)));
            }),
        }
    }

    fn check(&self, value: Value<'_>) {
        match self {
            Self::Int(int) => assert_eq!(value.as_int(), Some(*int)),
            Self::Bytes(bytes) => assert_eq!(value.as_bytes(), Some(&bytes[..])),
            Self::List(items) => {
                let list: Vec<_> = value.as_list().unwrap().iter().collect();
                assert_eq!(list.len(), items.len());
                list.into_iter().zip(items).for_each(|(value, tree)| tree.check(value));
            }
            Self::Dict(entries) => {
                let dict = value.as_dict().unwrap();
                assert_eq!(dict.iter().count(), entries.len());
                entries.iter().for_each(|(key, tree)| tree.check(dict.get(key).unwrap()));
            }
        }
        assert_eq!(value.raw(), encode(|out| self.write(out)));
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Tree::Int),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(5, 200, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..40).prop_map(Tree::List),
            prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..5), inner, 0..12)
                .prop_map(Tree::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(tree in trees()) {
        let bytes = encode(|out| tree.write(out));
        let document = decode(&bytes).unwrap();
        prop_assert_eq!(document.disorder(), None);
        tree.check(document.root());
    }

    #[test]
    fn no_input_panics(text in "[0-9ilde:\\-a]{0,40}") {
        let text: String = text;
        if let Ok(document) = decode_prefix(text.as_bytes()) {
            let mut open = vec![document.root()];
            while let Some(value) = open.pop() {
                if let Some(list) = value.as_list() {
                    open.extend(list.iter());
                }
                if let Some(dict) = value.as_dict() {
                    open.extend(dict.iter().map(|(_, value)| value));
                    let _ = dict.duplicate();
                }
            }
        }
    }
}

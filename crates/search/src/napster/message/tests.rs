//! The examples of `napster.txt`, byte for byte, and what malformed messages lead to.

use alloc::format;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::napster::{FileHash, Text};

fn frame(kind: u16, body: &str) -> Frame {
    Frame { kind, body: body.as_bytes().to_vec() }
}

#[test]
fn examples_of_clients_are_read_and_written_back() {
    for (kind, body) in [
        (2, "foo badpass 6699 \"nap v0.8\" 3"),
        (2, "foo \"\" 6699 \"nap v0.8\" 3"),
        (701, "\"\""),
        (6, "foo foo 6699 \"nap v0.8\" 3 email@here.com"),
        (7, "foo"),
        (
            100,
            "\"generic band - generic song.mp3\" b92870e0d41bc8e698cf2f0a1ddfeac7 443332 128 44100 60",
        ),
        (102, "\"generic band - generic song.mp3\""),
        (203, "mred \"C:\\Program Files\\Napster\\generic cowboy song.mp3\""),
        (205, "mred how \"are\" you"),
        (207, "lefty"),
        (211, "lefty"),
        (214, ""),
        (215, "b92870e0d41bc8e698cf2f0a1ddfeac7 443332"),
        (218, ""),
        (221, ""),
        (402, "80's hello"),
        (500, "mred \"a b.mp3\""),
        (608, "lefty \"generic band - generic song.mp3\""),
        (619, "joebob \"C:\\MP3\\Generic Band - Generic Song.mp3\" 3"),
        (626, "lefty"),
        (703, "0"),
        (824, "80's \"waves\""),
        (10_300, "\"a film.avi\" 12 b92870e0d41bc8e698cf2f0a1ddfeac7 video"),
    ] {
        let frame = frame(kind, body);
        let message =
            ClientMessage::parse(&frame).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_ne!(message, ClientMessage::Unknown(kind));
        assert_eq!(message.frames(), [frame], "{message:?}");
    }
}

#[test]
fn examples_of_servers_are_read_and_written_back() {
    for (kind, body) in [
        (3, "anon@napster.com"),
        (
            201,
            "\"random band - random song.mp3\" 7d733c1e7419674744768db71bff8bcd 2558199 128 44100 159 lefty 3437166285 4",
        ),
        (
            204,
            "lefty 4257911892 6699 \"generic band - generic song.mp3\" 10fe9e623b1962da85eea61df7ac1f69 3",
        ),
        (209, "lefty 3"),
        (
            212,
            "foouser \"generic band - generic song.mp3\" b92870e0d41bc8e698cf2f0a1ddfeac7 443332 128 44100 60",
        ),
        (213, "foouser"),
        (214, "553 64692 254"),
        (216, "lefty 3437166285 6699 \"a.mp3\" b92870e0d41bc8e698cf2f0a1ddfeac7 443332 4"),
        (403, "80's espinozaf hello...hola"),
        (404, "User nosuchuser is not currently online."),
        (406, "80's WilmaFlinstone 12 2"),
        (407, "80's DLongley 23 7"),
        (501, "lefty 3437166285 6699 \"a.mp3\" b92870e0d41bc8e698cf2f0a1ddfeac7 4"),
        (604, "lefty \"User\" 1203 \"80's \" \"Active\" 0 0 0 3 \"nap v0.8\""),
        (607, "lefty \"generic band - generic song.mp3\""),
        (618, "Help 50 OpenNap help channel"),
        (620, "joebob \"C:\\MP3\\Generic Band - Generic Song.mp3\" 1234567 3"),
        (825, "Help testor3 0 3"),
    ] {
        let frame = frame(kind, body);
        let message =
            ServerMessage::parse(&frame).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_ne!(message, ServerMessage::Unknown(kind));
        assert_eq!(message.frame(), frame, "{message:?}");
    }
}

#[test]
fn the_files_of_a_folder_are_shared_by_their_whole_names() {
    let body = "\"C:\\Music\" \"a b.mp3\" b92870e0d41bc8e698cf2f0a1ddfeac7 1 128 44100 60 \
                \"c.mp3\" b92870e0d41bc8e698cf2f0a1ddfeac7-12 2 128 44100 60";
    let Ok(ClientMessage::Share(files)) = ClientMessage::parse(&frame(870, body)) else {
        assert!(matches!(ClientMessage::parse(&frame(870, body)), Ok(ClientMessage::Unknown(870))));
        panic!("870 is not understood");
    };
    let names: Vec<_> = files.iter().map(|file| file.name.to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["C:\\Music\\a b.mp3", "C:\\Music\\c.mp3"]);
    assert!(matches!(files[1].hash, FileHash::Md5(_)));
}

#[test]
fn na_03_unbalanced_quotes_missing_fields_and_text_for_numbers_are_errors() {
    let hash = "b92870e0d41bc8e698cf2f0a1ddfeac7";
    for (kind, body) in [
        (100, format!("\"a.mp3 {hash} 1 128 44100 60")),
        (100, format!("\"a.mp3\" {hash} 1 128 44100")),
        (100, format!("\"a.mp3\" {hash} -1 128 44100 60")),
        (100, format!("\"a.mp3\" {hash} 1 fast 44100 60")),
        (100, format!("\"\" {hash} 1 128 44100 60")),
        (100, "\"a.mp3\" nothex 1 128 44100 60".into()),
        (102, "\"a\"b".into()),
        (870, format!("\"C:\\Music\" \"a.mp3\" {hash} 1 128")),
        (10_300, format!("\"a.avi\" 1 {hash} smell")),
        (2, "foo badpass 66999 \"nap\" 3".into()),
        (2, "foo badpass 6699 \"nap\" 11".into()),
        (2, "foo badpass 6699 \"nap 3".into()),
        (203, "mred".into()),
        (215, format!("{hash} all")),
        (400, "\"two words\"".into()),
    ] {
        assert!(ClientMessage::parse(&frame(kind, &body)).is_err(), "{kind} {body}");
    }
}

#[test]
fn na_04_names_with_spaces_controls_or_a_kilobyte_are_none() {
    for nick in ["\"a b\"", "a\u{1}b", &"n".repeat(1_024)] {
        let login = frame(2, &format!("{nick} pass 0 \"nap\" 3"));
        assert!(ClientMessage::parse(&login).is_err(), "{nick}");
    }
    let check = ClientMessage::parse(&frame(7, "a b"));
    assert_eq!(check, Ok(ClientMessage::NickCheck(None)));
}

proptest! {
    #[test]
    fn nothing_upsets_the_readers(kind in 0u16..1_000, body in "[ \"a-z0-9\\\\]{0,80}") {
        let frame = Frame { kind, body: body.into_bytes() };
        if let Ok(message) = ClientMessage::parse(&frame) {
            for written in message.frames() {
                let again = ClientMessage::parse(&written);
                prop_assert!(again.is_ok(), "{message:?} -> {again:?}");
            }
        }
        if let Ok(message) = ServerMessage::parse(&frame) {
            let _ = message.frame();
        }
    }

    #[test]
    fn whatever_is_shared_arrives(name in "[ -~]{1,60}", size in any::<u64>()) {
        let name = Text::from(name.replace('"', "'").as_str());
        let file = crate::napster::SharedFile::new(
            name, FileHash::Sha1([7; 20]), size, crate::napster::MediaType::Video);
        let shared = ClientMessage::Share([file].into());
        let frames = shared.frames();
        prop_assert_eq!(ClientMessage::parse(&frames[0]), Ok(shared));
    }
}

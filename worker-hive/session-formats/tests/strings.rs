//! Session strings: written and read back, cut short, and damaged in every place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use secrecy::ExposeSecret;
use session_formats::{AuthKey, Format, MissingField, PortableSession, read_string, write_pyrogram, write_telethon};
use std::net::SocketAddr;

/// Keys 00 01 02 …, account 7000000001, application 12345: what the formats' own programs wrote for them.
const GOLDEN: &[(&str, Format)] = &[
    (include_str!("golden/pyrogram32.txt"), Format::PyrogramString32),
    (include_str!("golden/pyrogram64.txt"), Format::PyrogramString64),
    (include_str!("golden/pyrogram.txt"), Format::PyrogramString),
    (include_str!("golden/telethon4.txt"), Format::TelethonString),
    (include_str!("golden/telethon6.txt"), Format::TelethonString),
];

fn key() -> AuthKey {
    AuthKey::new(&std::array::from_fn::<u8, 256, _>(|n| u8::try_from(n).unwrap())).unwrap()
}

fn sessions() -> impl Strategy<Value = PortableSession> {
    let key = prop::collection::vec(any::<u8>(), 256).prop_filter_map("no key", |bytes| AuthKey::new(&bytes));
    let address = (any::<std::net::IpAddr>(), 1..=u16::MAX)
        .prop_filter("nowhere", |(ip, _)| !ip.is_unspecified())
        .prop_map(SocketAddr::from);
    (1..=255_u8, key, 1..=i32::MAX, 1..1_i64 << 52, any::<bool>(), any::<bool>(), address).prop_map(
        |(dc, key, api_id, user_id, bot, test_mode, address)| PortableSession {
            api_id: Some(api_id),
            user_id: Some(user_id),
            bot: Some(bot),
            test_mode,
            address: Some(address),
            ..PortableSession::new(dc, key)
        },
    )
}

proptest! {
    #[test]
    fn a_pyrogram_string_is_read_as_it_was_written(session in sessions()) {
        let read = read_string(write_pyrogram(&session).unwrap().expose_secret()).unwrap();
        prop_assert_eq!(read, PortableSession { format: Some(Format::PyrogramString), address: None, ..session });
    }

    #[test]
    fn a_telethon_string_is_read_as_it_was_written(session in sessions()) {
        let read = read_string(write_telethon(&session).unwrap().expose_secret()).unwrap();
        prop_assert_eq!(read.address, session.address);
        prop_assert_eq!((read.home_dc, read.auth_key), (session.home_dc, session.auth_key));
        prop_assert_eq!((read.user_id, read.api_id, read.bot), (None, None, None));
    }

    #[test]
    fn no_text_panics_or_is_quoted(text in ".{0,400}", length in 340..370_usize) {
        let long: String = text.chars().chain("QUJDREVG".chars().cycle()).take(length).collect();
        for text in [text, format!("1{long}"), long] {
            if let Err(error) = read_string(&text) {
                assert!(text.len() < 8 || !format!("{error} {error:?}").contains(&text));
            }
        }
    }
}

#[test]
fn strings_of_the_real_programs_are_read() {
    for (text, format) in GOLDEN {
        let session = read_string(text).unwrap();
        assert_eq!((session.format, session.home_dc, session.auth_key), (Some(*format), 2, key()));
        let (api_id, user_id, bot, address) = match format {
            Format::TelethonString if text.len() > 360 => (None, None, None, Some("[2001:67c:4e8:f002::a]:443")),
            Format::TelethonString => (None, None, None, Some("149.154.167.51:443")),
            Format::PyrogramString => (Some(12345), Some(7_000_000_001), Some(true), None),
            Format::PyrogramString32 => (None, Some(700_000_001), Some(true), None),
            _ => (None, Some(7_000_000_001), Some(true), None),
        };
        assert_eq!((session.api_id, session.user_id, session.bot), (api_id, user_id, bot));
        assert_eq!(session.address, address.map(|address| address.parse().unwrap()));
        let padded = format!("\n {}== \r\n", text.trim().trim_end_matches('='));
        assert_eq!(read_string(&padded).unwrap(), read_string(text).unwrap(), "padding and whitespace");
    }
}

#[test]
fn what_is_written_is_what_the_real_programs_write() {
    let session = PortableSession {
        api_id: Some(12345),
        user_id: Some(7_000_000_001),
        bot: Some(true),
        ..PortableSession::new(2, key())
    };
    assert_eq!(write_pyrogram(&session).unwrap().expose_secret(), GOLDEN[2].0.trim());
    assert_eq!(write_telethon(&session).unwrap().expose_secret(), GOLDEN[3].0.trim(), "Telegram's own address");
    let six = PortableSession { address: Some("[2001:67c:4e8:f002::a]:443".parse().unwrap()), ..session };
    assert_eq!(write_telethon(&six).unwrap().expose_secret(), GOLDEN[4].0.trim());
}

#[test]
fn every_cut_and_every_wrong_letter_is_an_error_or_another_session_and_never_quoted() {
    for (text, _) in GOLDEN {
        let text = text.trim().trim_end_matches('=');
        for cut in 0..text.len() {
            let error = read_string(&text[..cut]).unwrap_err();
            assert!(cut < 4 || !format!("{error} {error:?}").contains(&text[..cut]));
            assert!(read_string(&text[text.len() - cut..]).is_err());
        }
        assert!(read_string(&format!("{text}A")).is_err() && read_string(&format!("A{text}")).is_err());
        for at in 0..text.len() {
            for letter in ["!", "+", "/", "=", " ", "é", "\0"] {
                let wrong = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                assert!(read_string(&wrong).is_err() || (letter == "=" || letter == " "), "{letter:?} at {at}");
            }
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            // The key has no checksum: what is left is a session that nobody signed in, never this one.
            assert!(read_string(&wrong).ok() != read_string(text).ok(), "{other} at {at}");
        }
    }
}

#[test]
fn what_a_format_can_not_say_is_said() {
    let session = PortableSession::new(9, key());
    assert_eq!(write_pyrogram(&session).unwrap_err(), MissingField("application id"));
    let session = PortableSession { api_id: Some(1), ..session };
    assert_eq!(write_pyrogram(&session).unwrap_err(), MissingField("account id"));
    assert!(write_telethon(&session).is_err(), "nobody knows where data-centre 9 is");
    assert_eq!(AuthKey::new(&[0; 256]), None);
    assert_eq!(AuthKey::new(&[1; 255]), None);
}

#[test]
fn a_session_of_the_test_servers_knows_where_they_are() {
    let session = PortableSession {
        test_mode: true,
        user_id: Some(7),
        api_id: Some(1),
        bot: Some(false),
        ..PortableSession::new(2, key())
    };
    let read = read_string(write_pyrogram(&session).unwrap().expose_secret()).unwrap();
    assert!(read.test_mode && read.addresses().contains(&(2, "149.154.167.40:80".parse().unwrap())));
    assert_eq!(read.addresses().len(), 3);
    let read = read_string(write_telethon(&session).unwrap().expose_secret()).unwrap();
    assert!(read.test_mode && read.addresses().len() == 3);
}

#[test]
fn nothing_secret_is_printed() {
    let session = read_string(GOLDEN[2].0).unwrap();
    let shown = format!("{session:?} {:?}", write_pyrogram(&session).unwrap());
    assert!(!shown.contains("1, 2, 3") && !shown.contains("AAEC") && shown.contains("AuthKey"), "{shown}");
}

//! The rules of upload.getFile, one row each, as an unmodified client meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use common::{Client, Failed, location, rpc, sha256};
use grammers_tl_types::{enums, functions, types};
use telegram_sim::{Account, Channel, Document, Sim, World};

const CHANNEL: i64 = 1_700_000_001;
const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const SIZE: i64 = 3 * MIB + 777;

fn world() -> World {
    World::new(5)
        .with_account(Account::bot("bot-1", 7_000_000_001))
        .with_account(Account::bot("bot-2", 7_000_000_002).authorized_on(4))
        .with_channel(
            Channel::new(CHANNEL, "Films")
                .with_document(2, Document::generated("home.mp4", 2, SIZE as u64, 11))
                .with_document(3, Document::generated("foreign.mkv", 4, 4096, 12)),
        )
}

#[tokio::test]
async fn offsets_and_limits() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    let document = bot.document(CHANNEL, 2).await.unwrap();
    let (offset, limit) = (Err("OFFSET_INVALID"), Err("LIMIT_INVALID"));
    // offset, limit, precise, bytes or error
    let table = [
        (0, 4 * KIB, false, Ok(4 * KIB)),
        (0, 512 * KIB, false, Ok(512 * KIB)),
        (4 * KIB, 4 * KIB, false, Ok(4 * KIB)),
        (4 * KIB, 512 * KIB, false, Ok(512 * KIB)),
        (3 * MIB, 4 * KIB, false, Ok(777)),
        (4 * MIB, 4 * KIB, false, Ok(0)),
        (i64::MAX / MIB * MIB, 4 * KIB, false, Ok(0)),
        (KIB, 4 * KIB, false, offset),
        (1, 4 * KIB, false, offset),
        (-4 * KIB, 4 * KIB, false, offset),
        (0, 0, false, limit),
        (0, -4 * KIB, false, limit),
        (0, KIB, false, limit),
        (0, 12 * KIB, false, limit),
        (0, 2 * MIB, false, limit),
        (MIB - 4 * KIB, 8 * KIB, false, limit),
        (MIB - 4 * KIB, 4 * KIB, false, Ok(4 * KIB)),
        (KIB, KIB, true, Ok(KIB)),
        (KIB, 3 * KIB, true, Ok(3 * KIB)),
        (5 * KIB, 511 * KIB, true, Ok(511 * KIB)),
        (3 * MIB, KIB, true, Ok(777)),
        (512, KIB, true, offset),
        (0, 512, true, limit),
        (0, 1025 * KIB, true, limit),
        (MIB - KIB, 2 * KIB, true, limit),
        (MIB - KIB, KIB, true, Ok(KIB)),
    ];
    for (offset, limit, precise, expected) in table {
        let row = format!("offset {offset}, limit {limit}, precise {precise}");
        let got = bot.ask(2, location(&document), offset, limit as i32, precise).await;
        match expected {
            Err(name) => assert_eq!(got, Err(rpc(400, name)), "{row}"),
            Ok(length) => {
                let got = got.unwrap_or_else(|error| panic!("{row}: {error:?}"));
                let mut want = vec![0; length as usize];
                Document::generated("", 2, 0, 11).content.read_at(offset as u64, &mut want).unwrap();
                assert_eq!((got.len(), sha256(&got)), (want.len(), sha256(&want)), "{row}");
            }
        }
    }
}

#[tokio::test]
async fn locations() {
    let sim = Sim::start(world()).unwrap();
    let (one, two) = (Client::of(&sim, "bot-1"), Client::of(&sim, "bot-2"));
    let mine = location(&one.document(CHANNEL, 2).await.unwrap());
    let theirs = location(&two.document(CHANNEL, 2).await.unwrap());
    let abroad = location(&one.document(CHANNEL, 3).await.unwrap());
    assert_eq!(mine.id, theirs.id);
    let foreign_reference = theirs.file_reference.clone();
    let table = [
        ("as it was given", mine.clone(), Ok(4096)),
        ("another account's hash", theirs, Err(rpc(400, "FILE_ID_INVALID"))),
        (
            "a wrong hash",
            types::InputDocumentFileLocation { access_hash: 1, ..mine.clone() },
            Err(rpc(400, "FILE_ID_INVALID")),
        ),
        ("an unknown id", types::InputDocumentFileLocation { id: 1, ..mine.clone() }, Err(rpc(400, "FILE_ID_INVALID"))),
        ("another data-centre's", abroad, Err(rpc(303, "FILE_MIGRATE_4"))),
        (
            "no reference",
            types::InputDocumentFileLocation { file_reference: Vec::new(), ..mine.clone() },
            Err(rpc(400, "FILE_REFERENCE_EMPTY")),
        ),
        (
            "another account's reference",
            types::InputDocumentFileLocation { file_reference: foreign_reference, ..mine.clone() },
            Err(rpc(400, "FILE_REFERENCE_INVALID")),
        ),
        (
            "noise for a reference",
            types::InputDocumentFileLocation { file_reference: vec![2; 25], ..mine.clone() },
            Err(rpc(400, "FILE_REFERENCE_INVALID")),
        ),
        (
            "a thumbnail",
            types::InputDocumentFileLocation { thumb_size: "m".to_owned(), ..mine.clone() },
            Err(rpc(400, "LOCATION_INVALID")),
        ),
    ];
    for (row, location, expected) in table {
        let got = one.ask(2, location, 0, 4096, false).await;
        assert_eq!(got.map(|bytes| bytes.len()), expected, "{row}");
    }
    sim.world().expire_references(Some(mine.id)).unwrap();
    let got = one.ask(2, mine.clone(), 0, 4096, false).await;
    assert_eq!(got, Err(rpc(400, "FILE_REFERENCE_EXPIRED")));
    let fresh = location(&one.document(CHANNEL, 2).await.unwrap());
    assert_ne!(fresh.file_reference, mine.file_reference);
    assert!(one.ask(2, fresh, 0, 4096, false).await.is_ok());
}

#[tokio::test]
async fn an_authorization_is_carried_once_and_not_further() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    let document = bot.document(CHANNEL, 3).await.unwrap();
    assert_eq!(bot.part(4, &document, 0, 4096).await, Err(rpc(401, "AUTH_KEY_UNREGISTERED")));
    let export = |dc_id| functions::auth::ExportAuthorization { dc_id };
    for nowhere in [2, 3] {
        assert_eq!(bot.call(&export(nowhere)).await.map(drop), Err(rpc(400, "DC_ID_INVALID")), "to {nowhere}");
    }
    let enums::auth::ExportedAuthorization::Authorization(exported) = bot.call(&export(4)).await.unwrap();
    let import = functions::auth::ImportAuthorization { id: exported.id, bytes: exported.bytes };
    bot.call_on(4, &import).await.map(drop).unwrap();
    assert_eq!(bot.call_on(4, &import).await.map(drop), Err(rpc(400, "AUTH_BYTES_INVALID")));
    assert_eq!(bot.part(4, &document, 0, 4096).await.unwrap().len(), 4096);
    assert_eq!(bot.call_on(4, &export(2)).await.map(drop), Err(rpc(400, "DC_ID_INVALID")));
    assert_eq!(sim.counters().snapshot().calls_of("auth.exportAuthorization", "bot-1", 2), 3);
    // The second bot's key is signed in there from the start.
    let second = Client::of(&sim, "bot-2");
    let document = second.document(CHANNEL, 3).await.unwrap();
    assert_eq!(second.part(4, &document, 0, 4096).await.unwrap().len(), 4096);
}

#[tokio::test]
async fn hashes_are_of_the_content() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    let document = bot.document(CHANNEL, 2).await.unwrap();
    let content = bot.download(&document, 4).await.unwrap();
    let mut offset = 0;
    while offset < SIZE {
        let asked = functions::upload::GetFileHashes { location: location(&document).into(), offset };
        for enums::FileHash::Hash(hash) in bot.call(&asked).await.unwrap() {
            assert_eq!(hash.offset, offset);
            let end = offset + i64::from(hash.limit);
            assert_eq!(hash.hash, sha256(&content[offset as usize..end as usize]));
            offset = end;
        }
    }
    assert_eq!(offset, SIZE);
}

#[tokio::test]
async fn chunks_are_counted_one_by_one() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    let document = bot.document(CHANNEL, 2).await.unwrap();
    sim.counters().reset();
    bot.part(2, &document, 0, 4096).await.unwrap();
    bot.part(2, &document, 0, 4096).await.unwrap();
    bot.part(2, &document, 4096, 4096).await.unwrap();
    bot.ask(2, types::InputDocumentFileLocation { file_reference: vec![], ..location(&document) }, 0, 8192, true)
        .await
        .unwrap_err();
    let counts = sim.counters().snapshot();
    let chunks: Vec<_> = counts
        .chunks_of(document.id)
        .iter()
        .map(|chunk| (chunk.offset, chunk.limit, chunk.asked, chunk.served))
        .collect();
    assert_eq!(chunks, [(0, 4096, 2, 2), (0, 8192, 1, 0), (4096, 4096, 1, 1)]);
    assert_eq!((counts.calls("upload.getFile"), counts.bytes["bot-1"]), (4, 3 * 4096));
    assert_eq!(counts.open[&2], 1);
}

#[tokio::test]
async fn an_edited_message_has_another_document_and_a_deleted_one_is_empty() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    let before = bot.document(CHANNEL, 2).await.unwrap();
    let chat = Channel::new(CHANNEL, "").chat_id();
    let id = sim.world().replace_document(chat, 2, Document::from_bytes("new.txt", 2, b"new".to_vec())).unwrap();
    let after = bot.document(CHANNEL, 2).await.unwrap();
    assert_eq!((after.id, after.size), (id, 3));
    assert_ne!(before.id, after.id);
    assert_eq!(bot.part(2, &after, 0, 4096).await.unwrap(), b"new");
    // What was there before can still be read with its old reference, as on Telegram.
    assert_eq!(bot.part(2, &before, 0, 4096).await.unwrap().len(), 4096);
    sim.world().delete_message(chat, 2).unwrap();
    let empty = bot.message(CHANNEL, 2).await.unwrap();
    assert!(matches!(empty, enums::Message::Empty(_)), "{empty:?}");
    assert!(sim.world().delete_message(chat, 2).is_err());
}

#[tokio::test]
async fn a_file_is_uploaded_sent_forwarded_and_deleted() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    let content: Vec<u8> = (0..700_000_u32).map(|index| (index / 3) as u8).collect();
    let parts: Vec<_> = content.chunks(512 * 1024).collect();
    for (index, part) in parts.iter().enumerate() {
        let (file_part, bytes) = (index as i32, part.to_vec());
        let save = functions::upload::SaveFilePart { file_id: 77, file_part, bytes };
        assert!(bot.call(&save).await.unwrap());
    }
    let peer = || types::InputPeerChannel { channel_id: CHANNEL, access_hash: 0 };
    let send = |parts| functions::messages::SendMedia {
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: peer().into(),
        reply_to: None,
        media: types::InputMediaUploadedDocument {
            nosound_video: false,
            force_file: true,
            spoiler: false,
            file: types::InputFile { id: 77, parts, name: "up.bin".to_owned(), md5_checksum: String::new() }.into(),
            thumb: None,
            mime_type: "application/x-up".to_owned(),
            attributes: Vec::new(),
            stickers: None,
            video_cover: None,
            video_timestamp: None,
            ttl_seconds: None,
        }
        .into(),
        message: "caption".to_owned(),
        random_id: 1,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
    };
    let sent = bot.call(&send(parts.len() as i32)).await.unwrap();
    let enums::Updates::Updates(sent) = sent else { panic!("{sent:?}") };
    let enums::Update::MessageId(id) = &sent.updates[0] else { panic!("{sent:?}") };
    assert_eq!((id.random_id, id.id), (1, 4));
    let document = bot.document(CHANNEL, 4).await.unwrap();
    assert_eq!((document.size as usize, document.mime_type.as_str()), (content.len(), "application/x-up"));
    assert!(bot.download(&document, 2).await.unwrap() == content);
    // Its parts are gone with it. The client reads FILE_PART_0_MISSING as a name and a number.
    assert_eq!(bot.call(&send(2)).await.map(drop), Err(rpc(400, "FILE_PART_MISSING_0")));

    let forward = functions::messages::ForwardMessages {
        silent: false,
        background: false,
        with_my_score: false,
        drop_author: false,
        drop_media_captions: false,
        noforwards: false,
        allow_paid_floodskip: false,
        from_ephemeral: false,
        from_peer: peer().into(),
        id: vec![4],
        random_id: vec![2],
        to_peer: peer().into(),
        top_msg_id: None,
        reply_to: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        video_timestamp: None,
        allow_paid_stars: None,
        suggested_post: None,
    };
    bot.call(&forward).await.map(drop).unwrap();
    assert_eq!(bot.document(CHANNEL, 5).await.unwrap().id, document.id);
    let channel = types::InputChannel { channel_id: CHANNEL, access_hash: 0 }.into();
    let delete = functions::channels::DeleteMessages { channel, id: vec![4, 5, 99] };
    let enums::messages::AffectedMessages::Messages(affected) = bot.call(&delete).await.unwrap();
    assert_eq!(affected.pts_count, 2);
    assert!(matches!(bot.document(CHANNEL, 5).await, Err(Failed::Other(_))));
}

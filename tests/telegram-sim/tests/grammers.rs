//! Unmodified grammers signs in from a seed, lists, and downloads at home and abroad.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use common::{Client, rpc, sha256};
use grammers_tl_types::{enums, functions};
use telegram_sim::{Account, Channel, Document, Sim, World};

const CHANNEL: i64 = 1_700_000_001;

fn world() -> World {
    World::new(1)
        .with_account(Account::bot("bot-1", 7_000_000_001))
        .with_account(Account::user("user-1", 5_000_000_001).premium())
        .with_channel(
            Channel::new(CHANNEL, "Films")
                .with_text(1, "welcome")
                .with_document(2, Document::generated("home.mp4", 2, 5_000_001, 11))
                .with_document(3, Document::generated("foreign.mkv", 4, 5_000_001, 12))
                .with_document(4, Document::from_bytes("empty.bin", 2, Vec::new())),
        )
}

/// What a document's content must be, read past the network.
fn expected(document: &Document) -> [u8; 32] {
    let mut bytes = vec![0; document.size as usize];
    document.content.read_at(0, &mut bytes).unwrap();
    sha256(&bytes)
}

#[tokio::test]
async fn a_bot_downloads_at_home_and_abroad() {
    let sim = Sim::start(world()).unwrap();
    let bot = Client::of(&sim, "bot-1");
    for (message, document) in [
        (2, Document::generated("home.mp4", 2, 5_000_001, 11)),
        (3, Document::generated("foreign.mkv", 4, 5_000_001, 12)),
        (4, Document::from_bytes("empty.bin", 2, Vec::new())),
    ] {
        let found = bot.document(CHANNEL, message).await.unwrap();
        assert_eq!((found.size as u64, found.dc_id), (document.size, document.dc));
        if document.dc == 4 {
            let early = bot.part(4, &found, 0, 4096).await;
            assert_eq!(early, Err(rpc(401, "AUTH_KEY_UNREGISTERED")));
            bot.carry_to(4).await.unwrap();
        }
        let bytes = bot.download(&found, 8).await.unwrap();
        assert_eq!(sha256(&bytes), expected(&document), "message {message}");
    }
    assert_eq!(sim.counters().snapshot().calls("auth.exportAuthorization"), 1);
}

#[tokio::test]
async fn a_user_lists_dialogs_and_history() {
    let sim = Sim::start(world()).unwrap();
    let user = Client::of(&sim, "user-1");
    let dialogs = functions::messages::GetDialogs {
        exclude_pinned: false,
        folder_id: None,
        offset_date: 0,
        offset_id: 0,
        offset_peer: enums::InputPeer::Empty,
        limit: 100,
        hash: 0,
    };
    let enums::messages::Dialogs::Dialogs(found) = user.call(&dialogs).await.unwrap() else { panic!("dialogs") };
    assert_eq!(found.dialogs.len(), 1);
    let enums::Chat::Channel(channel) = &found.chats[0] else { panic!("channel") };
    assert_eq!((channel.id, channel.title.as_str()), (CHANNEL, "Films"));
    let peer = grammers_tl_types::types::InputPeerChannel {
        channel_id: channel.id,
        access_hash: channel.access_hash.unwrap(),
    };
    let history = functions::messages::GetHistory {
        peer: peer.into(),
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 2,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    let enums::messages::Messages::ChannelMessages(page) = user.call(&history).await.unwrap() else { panic!("page") };
    assert_eq!(page.count, 4);
    assert_eq!(page.messages.iter().map(enums::Message::id).collect::<Vec<_>>(), [4, 3]);
}

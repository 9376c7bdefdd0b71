//! Unmodified grammers signs in from a seed, lists, and downloads at home and abroad.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use common::{Client, rpc, sha256};
use grammers_tl_types::{enums, functions, types};
use telegram_sim::{Account, Channel, Document, Sim, Topic, World};

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
    let peer = types::InputPeerChannel { channel_id: channel.id, access_hash: channel.access_hash.unwrap() };
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

fn forum() -> World {
    let mut forum = Channel::new(CHANNEL, "Forum")
        .with_document(5, Document::generated("one.mp4", 2, 10, 1))
        .with_document(6, Document::generated("two.txt", 2, 10, 2))
        .with_text(7, "about one");
    forum.username = Some("the_forum".to_owned());
    forum.topics = vec![Topic { id: 1, title: "Drama".to_owned() }, Topic { id: 2, title: "Comedy".to_owned() }];
    forum.messages[0].topic = Some(1);
    forum.messages[1].topic = Some(2);
    let mut hidden = Channel::new(CHANNEL + 1, "Hidden").with_text(1, "psst");
    hidden.members = Some(vec!["user-1".to_owned()]);
    World::new(1)
        .with_account(Account::user("user-1", 5_000_000_001))
        .with_account(Account::user("user-2", 5_000_000_002))
        .with_account(Account::bot("bot-1", 7_000_000_001))
        .with_channel(forum)
        .with_channel(hidden)
}

async fn peer_of(user: &Client) -> types::InputPeerChannel {
    let request = functions::contacts::ResolveUsername { username: "The_Forum".to_owned(), referer: None };
    let enums::contacts::ResolvedPeer::Peer(found) = user.call(&request).await.unwrap();
    let enums::Chat::Channel(channel) = &found.chats[0] else { panic!("{found:?}") };
    assert!(channel.forum && channel.megagroup);
    types::InputPeerChannel { channel_id: channel.id, access_hash: channel.access_hash.unwrap() }
}

fn ids(found: enums::messages::Messages) -> Vec<i32> {
    let enums::messages::Messages::ChannelMessages(page) = found else { panic!("{found:?}") };
    page.messages.iter().map(enums::Message::id).collect()
}

#[tokio::test]
async fn a_user_finds_its_way_in_a_forum() {
    let sim = Sim::start(forum()).unwrap();
    let user = Client::of(&sim, "user-1");
    let peer = peer_of(&user).await;
    let topics = functions::messages::GetForumTopics {
        peer: peer.clone().into(),
        q: None,
        offset_date: 0,
        offset_id: 0,
        offset_topic: 0,
        limit: 10,
    };
    let enums::messages::ForumTopics::Topics(found) = user.call(&topics).await.unwrap();
    let titles: Vec<_> = found
        .topics
        .iter()
        .map(|topic| match topic {
            enums::ForumTopic::Topic(topic) => (topic.title.as_str(), topic.top_message),
            enums::ForumTopic::Deleted(_) => ("", 0),
        })
        .collect();
    assert_eq!(titles, [("Drama", 5), ("Comedy", 6)]);
    let replies = functions::messages::GetReplies {
        peer: peer.clone().into(),
        msg_id: 2,
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 10,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    assert_eq!(ids(user.call(&replies).await.unwrap()), [6]);
    let search = |q: &str, filter| functions::messages::Search {
        peer: peer.clone().into(),
        q: q.to_owned(),
        from_id: None,
        saved_peer_id: None,
        saved_reaction: None,
        top_msg_id: None,
        filter,
        min_date: 0,
        max_date: 0,
        offset_id: 0,
        add_offset: 0,
        limit: 10,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    let table = [
        ("one", enums::MessagesFilter::InputMessagesFilterEmpty, vec![7, 5]),
        ("one", enums::MessagesFilter::InputMessagesFilterDocument, vec![5]),
        ("", enums::MessagesFilter::InputMessagesFilterVideo, vec![5]),
        ("", enums::MessagesFilter::InputMessagesFilterPhotos, vec![]),
    ];
    for (q, filter, expected) in table {
        assert_eq!(ids(user.call(&search(q, filter.clone())).await.unwrap()), expected, "{q:?} {filter:?}");
    }
}

#[tokio::test]
async fn hashes_and_membership_belong_to_the_account() {
    let sim = Sim::start(forum()).unwrap();
    let (one, two) = (Client::of(&sim, "user-1"), Client::of(&sim, "user-2"));
    let (mine, theirs) = (peer_of(&one).await, peer_of(&two).await);
    assert_ne!(mine.access_hash, theirs.access_hash);
    let ask = |channel_id, access_hash| functions::channels::GetFullChannel {
        channel: types::InputChannel { channel_id, access_hash }.into(),
    };
    assert!(one.call(&ask(CHANNEL, mine.access_hash)).await.is_ok());
    for wrong in [theirs.access_hash, 0] {
        assert_eq!(one.call(&ask(CHANNEL, wrong)).await.map(drop), Err(rpc(400, "CHANNEL_INVALID")));
    }
    // A bot may leave the hash out, but sees no more for it.
    let bot = Client::of(&sim, "bot-1");
    assert!(bot.call(&ask(CHANNEL, 0)).await.is_ok());
    assert_eq!(bot.call(&ask(CHANNEL + 1, 0)).await.map(drop), Err(rpc(400, "CHANNEL_PRIVATE")));
    assert_eq!(bot.call(&ask(CHANNEL + 2, 0)).await.map(drop), Err(rpc(400, "CHANNEL_INVALID")));
}

#[tokio::test]
async fn a_client_with_a_fresh_key_signs_in_and_out() {
    let sim = Sim::start(forum()).unwrap();
    let mut seed = sim.seeds().remove(0);
    let key = sim.world().new_key(2).unwrap();
    seed.auth_keys.insert(2, key.iter().map(|byte| format!("{byte:02x}")).collect());
    let client = Client::from_seed(seed);
    let state = functions::updates::GetState {};
    assert_eq!(client.call(&state).await.map(drop), Err(rpc(401, "AUTH_KEY_UNREGISTERED")));
    let send = |phone: &str| functions::auth::SendCode {
        phone_number: phone.to_owned(),
        api_id: 1,
        api_hash: "x".to_owned(),
        settings: types::CodeSettings {
            allow_flashcall: false,
            current_number: false,
            allow_app_hash: false,
            allow_missed_call: false,
            allow_firebase: false,
            unknown_number: false,
            logout_tokens: None,
            token: None,
            app_sandbox: None,
        }
        .into(),
    };
    assert_eq!(client.call(&send("123")).await.map(drop), Err(rpc(400, "PHONE_NUMBER_INVALID")));
    let enums::auth::SentCode::Code(sent) = client.call(&send("+99966 0000001")).await.unwrap() else { panic!("code") };
    let sign_in = |code: Option<&str>, hash: &str| functions::auth::SignIn {
        phone_number: "999660000001".to_owned(),
        phone_code_hash: hash.to_owned(),
        phone_code: code.map(str::to_owned),
        email_verification: None,
    };
    let hash = sent.phone_code_hash.as_str();
    for (code, hash, error) in [
        (Some("99999"), hash, "PHONE_CODE_INVALID"),
        (None, hash, "PHONE_CODE_EMPTY"),
        (Some("12345"), "other", "PHONE_CODE_EXPIRED"),
    ] {
        assert_eq!(client.call(&sign_in(code, hash)).await.map(drop), Err(rpc(400, error)));
    }
    client.call(&sign_in(Some("12345"), hash)).await.map(drop).unwrap();
    assert!(client.call(&state).await.is_ok());
    client.call(&functions::auth::LogOut {}).await.map(drop).unwrap();
    assert_eq!(client.call(&state).await.map(drop), Err(rpc(401, "AUTH_KEY_UNREGISTERED")));
    let bot = |token: &str| functions::auth::ImportBotAuthorization {
        flags: 0,
        api_id: 1,
        api_hash: "x".to_owned(),
        bot_auth_token: token.to_owned(),
    };
    assert_eq!(client.call(&bot("1:no")).await.map(drop), Err(rpc(400, "ACCESS_TOKEN_INVALID")));
    client.call(&bot("7000000001:bot-1")).await.map(drop).unwrap();
    assert!(client.call(&state).await.is_ok());
    let unknown = functions::account::GetAuthorizations {};
    assert_eq!(client.call(&unknown).await.map(drop), Err(rpc(400, "METHOD_INVALID")));
}

#[tokio::test]
async fn sign_in_is_sent_to_the_home_data_centre() {
    let sim = Sim::start(World::new(1).with_account(Account::bot("far", 7_000_000_009).at_home_on(4))).unwrap();
    let mut seed = sim.seeds().remove(0);
    seed.home_dc = 2;
    let client = Client::from_seed(seed);
    let request = functions::auth::ImportBotAuthorization {
        flags: 0,
        api_id: 1,
        api_hash: "x".to_owned(),
        bot_auth_token: "7000000009:far".to_owned(),
    };
    assert_eq!(client.call(&request).await.map(drop), Err(rpc(303, "USER_MIGRATE_4")));
    assert!(client.call_on(4, &request).await.is_ok());
}

//! Channels, their topics, and the list of them.

use grammers_tl_types::{Cursor, Deserializable, enums, functions, types};

use super::named::Named;
use super::{Answered, Context, object};
use crate::call::Refusal;
use crate::live::LiveChannel;
use crate::message::Malformed;
use crate::query::arguments;

pub(super) fn get_channels(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: Vec<Named> = arguments(body)?;
    let live = context.call.shared.live.read();
    let view = context.view(&live);
    let found = asked.into_iter().map(|named| named.find(context, &live).map(|channel| view.channel(channel)));
    let chats = found.collect::<Result<_, _>>()?;
    object(&enums::messages::Chats::Chats(types::messages::Chats { chats }))
}

pub(super) fn get_full_channel(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: Named = arguments(body)?;
    let live = context.call.shared.live.read();
    let channel = asked.find(context, &live)?;
    object(&context.view(&live).channel_full(channel))
}

pub(super) fn resolve_username(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::contacts::ResolveUsername = arguments(body)?;
    let named = |username: &Option<String>| {
        username.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(asked.username.trim_start_matches('@')))
    };
    let live = context.call.shared.live.read();
    let view = context.view(&live);
    let channel = live.channels.values().find(|channel| named(&channel.username));
    let user = live.accounts.iter().find(|account| named(&account.username));
    let peer = match (channel, user) {
        (Some(channel), _) => super::objects::peer(channel.id),
        (None, Some(user)) => enums::Peer::User(types::PeerUser { user_id: user.user_id }),
        (None, None) => return Err(Refusal::bad("USERNAME_NOT_OCCUPIED")),
    };
    let chats = channel.map(|channel| view.channel(channel)).into_iter().collect();
    let users = user.filter(|_| channel.is_none()).map(|user| view.user(user)).into_iter().collect();
    object(&enums::contacts::ResolvedPeer::Peer(types::contacts::ResolvedPeer { peer, chats, users }))
}

pub(super) fn get_dialogs(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::GetDialogs = arguments(body)?;
    context.not_for_bots()?;
    let live = context.call.shared.live.read();
    let view = context.view(&live);
    let (mut dialogs, mut messages, mut chats) = (Vec::new(), Vec::new(), Vec::new());
    // Everything comes in one page, so that what a client asks for behind it is empty.
    let first =
        matches!(asked.offset_peer, enums::InputPeer::Empty) && asked.folder_id.is_none_or(|folder| folder == 0);
    for channel in live.channels.values().filter(|channel| first && channel.is_seen_by(view.account)) {
        let Some((_, last)) = channel.messages.last_key_value() else { continue };
        dialogs.push(view.dialog(channel));
        messages.push(view.message(channel, last));
        chats.push(view.channel(channel));
    }
    let users = vec![view.user(view.account)];
    object(&enums::messages::Dialogs::Dialogs(types::messages::Dialogs { dialogs, messages, chats, users }))
}

pub(super) fn get_topics(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::GetForumTopics = arguments(body)?;
    // One page holds all topics; a client that pages on finds nothing behind it.
    let first = asked.offset_topic == 0 && asked.offset_id == 0 && asked.offset_date == 0;
    let wanted = asked.q.unwrap_or_default().to_lowercase();
    topics(context, Named::from_peer(&asked.peer)?, |topic| first && topic.title.to_lowercase().contains(&wanted))
}

pub(super) fn get_topics_by_id(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::GetForumTopicsById = arguments(body)?;
    topics(context, Named::from_peer(&asked.peer)?, |topic| asked.topics.contains(&topic.id))
}

fn topics(context: &Context<'_>, named: Named, wanted: impl Fn(&crate::world::Topic) -> bool) -> Answered {
    let live = context.call.shared.live.read();
    let view = context.view(&live);
    let channel: &LiveChannel = named.find(context, &live)?;
    if channel.topics.is_empty() {
        return Err(Refusal::bad("CHANNEL_FORUM_MISSING"));
    }
    let topics: Vec<_> =
        channel.topics.iter().filter(|topic| wanted(topic)).map(|topic| view.topic(channel, topic)).collect();
    object(&enums::messages::ForumTopics::Topics(types::messages::ForumTopics {
        order_by_create_date: false,
        count: channel.topics.len() as i32,
        messages: topics
            .iter()
            .filter_map(|topic| match topic {
                enums::ForumTopic::Topic(topic) => channel.messages.get(&topic.top_message),
                enums::ForumTopic::Deleted(_) => None,
            })
            .map(|message| view.message(channel, message))
            .collect(),
        topics,
        chats: vec![view.channel(channel)],
        users: Vec::new(),
        pts: channel.pts,
    }))
}

pub(super) fn difference(context: &Context<'_>, body: &[u8]) -> Answered {
    let mut cursor = Cursor::from_slice(body);
    let named = u32::deserialize(&mut cursor).and_then(|_flags| Named::deserialize(&mut cursor));
    let live = context.call.shared.live.read();
    let channel = named.map_err(|_| Malformed)?.find(context, &live)?;
    let empty = types::updates::ChannelDifferenceEmpty { r#final: true, pts: channel.pts, timeout: Some(30) };
    object(&enums::updates::ChannelDifference::Empty(empty))
}

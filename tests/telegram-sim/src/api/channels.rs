//! Channels and the messages in them.

use grammers_tl_types::{enums, functions, types};

use super::objects::View;
use super::{Answered, Context, object};
use crate::call::Refusal;
use crate::live::{Live, LiveChannel, LiveMessage};
use crate::session::arguments;

/// Most messages in one answer.
const PAGE: usize = 100;

/// The channel that was named, if this account may see it.
fn channel<'a>(context: &Context<'_>, live: &'a Live, id: i64, access_hash: i64) -> Result<&'a LiveChannel, Refusal> {
    let account = &context.caller.account;
    let channel = live.channels.get(&id).ok_or_else(|| Refusal::bad("CHANNEL_INVALID"))?;
    let hash_is_good = access_hash == channel.access_hash(live.seed, account.user_id);
    // Bots may leave the hash out.
    if !hash_is_good && !(account.bot && access_hash == 0) {
        return Err(Refusal::bad("CHANNEL_INVALID"));
    }
    if channel.is_seen_by(account) { Ok(channel) } else { Err(Refusal::bad("CHANNEL_PRIVATE")) }
}

/// Id and hash out of an `InputChannel`. Some clients send an `InputPeer` in its place, whose layout is the same.
fn input_channel(channel: &enums::InputChannel) -> Result<(i64, i64), Refusal> {
    match channel {
        enums::InputChannel::Channel(channel) => Ok((channel.channel_id, channel.access_hash)),
        enums::InputChannel::Empty | enums::InputChannel::FromMessage(_) => Err(Refusal::bad("CHANNEL_INVALID")),
    }
}

pub(super) fn input_peer(peer: &enums::InputPeer) -> Result<(i64, i64), Refusal> {
    match peer {
        enums::InputPeer::Channel(channel) => Ok((channel.channel_id, channel.access_hash)),
        _ => Err(Refusal::bad("PEER_ID_INVALID")),
    }
}

pub(super) fn get_channels(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::channels::GetChannels = arguments(body)?;
    let live = context.call.shared.live.read();
    let view = View { live: &live, account: &context.caller.account };
    let mut chats = Vec::new();
    for asked in &asked.id {
        let (id, hash) = input_channel(asked)?;
        chats.push(view.channel(channel(context, &live, id, hash)?));
    }
    object(&enums::messages::Chats::Chats(types::messages::Chats { chats }))
}

pub(super) fn get_messages(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::channels::GetMessages = arguments(body)?;
    let live = context.call.shared.live.read();
    let view = View { live: &live, account: &context.caller.account };
    let (id, hash) = input_channel(&asked.channel)?;
    let channel = channel(context, &live, id, hash)?;
    let one = |asked: &enums::InputMessage| {
        let id = match asked {
            enums::InputMessage::Id(message) => message.id,
            _ => 0,
        };
        match channel.messages.get(&id) {
            Some(message) => view.message(channel, message),
            None => enums::Message::Empty(types::MessageEmpty { id, peer_id: None }),
        }
    };
    let messages: Vec<_> = asked.id.iter().take(2 * PAGE).map(one).collect();
    object(&page(&view, channel, messages.len(), messages))
}

fn page(
    view: &View<'_>,
    channel: &LiveChannel,
    count: usize,
    messages: Vec<enums::Message>,
) -> enums::messages::Messages {
    enums::messages::Messages::ChannelMessages(types::messages::ChannelMessages {
        inexact: false,
        pts: channel.pts,
        count: i32::try_from(count).unwrap_or(i32::MAX),
        offset_id_offset: None,
        messages,
        topics: Vec::new(),
        chats: vec![view.channel(channel)],
        users: Vec::new(),
    })
}

/// Which part of a history is asked for, newest first.
struct Part {
    offset_id: i32,
    offset_date: i32,
    add_offset: i32,
    limit: i32,
    max_id: i32,
    min_id: i32,
}

/// The part of `all` (oldest first) that Telegram's rules of paging pick, newest first.
fn pick<'a>(all: &[&'a LiveMessage], part: &Part) -> Vec<&'a LiveMessage> {
    let below = |message: &LiveMessage| {
        (part.offset_id <= 0 || message.id < part.offset_id)
            && (part.offset_date <= 0 || part.offset_id > 0 || message.date < part.offset_date)
    };
    // Newest first; `begin` is where the messages older than the offset start.
    let newest: Vec<_> = all.iter().rev().copied().collect();
    let begin = newest.iter().position(|message| below(message)).unwrap_or(newest.len()) as i64;
    let begin = begin + i64::from(part.add_offset);
    let limit = i64::from(part.limit).clamp(0, PAGE as i64);
    let range = begin.max(0)..(begin + limit).max(0);
    newest
        .into_iter()
        .enumerate()
        .filter(|(index, _)| range.contains(&(*index as i64)))
        .map(|(_, message)| message)
        .filter(|message| (part.max_id <= 0 || message.id < part.max_id) && message.id > part.min_id)
        .collect()
}

pub(super) fn get_history(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::GetHistory = arguments(body)?;
    not_for_bots(context)?;
    let live = context.call.shared.live.read();
    let view = View { live: &live, account: &context.caller.account };
    let (id, hash) = input_peer(&asked.peer)?;
    let channel = channel(context, &live, id, hash)?;
    let functions::messages::GetHistory { offset_id, offset_date, add_offset, limit, max_id, min_id, .. } = asked;
    let all: Vec<_> = channel.messages.values().collect();
    let picked = pick(&all, &Part { offset_id, offset_date, add_offset, limit, max_id, min_id });
    let messages = picked.into_iter().map(|message| view.message(channel, message)).collect();
    object(&page(&view, channel, all.len(), messages))
}

pub(super) fn get_dialogs(context: &Context<'_>, body: &[u8]) -> Answered {
    let _: functions::messages::GetDialogs = arguments(body)?;
    not_for_bots(context)?;
    let live = context.call.shared.live.read();
    let view = View { live: &live, account: &context.caller.account };
    let (mut dialogs, mut messages, mut chats) = (Vec::new(), Vec::new(), Vec::new());
    for channel in live.channels.values().filter(|channel| channel.is_seen_by(view.account)) {
        let Some((_, last)) = channel.messages.last_key_value() else { continue };
        dialogs.push(view.dialog(channel));
        messages.push(view.message(channel, last));
        chats.push(view.channel(channel));
    }
    let users = vec![view.user(view.account)];
    object(&enums::messages::Dialogs::Dialogs(types::messages::Dialogs { dialogs, messages, chats, users }))
}

fn not_for_bots(context: &Context<'_>) -> Result<(), Refusal> {
    if context.caller.account.bot { Err(Refusal::bad("BOT_METHOD_INVALID")) } else { Ok(()) }
}

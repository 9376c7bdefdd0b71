//! Messages: by id, by page, by topic, by search.

use grammers_tl_types::{Cursor, Deserializable, enums, functions, types};

use super::named::Named;
use super::objects::View;
use super::{Answered, Context, object};
use crate::live::{Live, LiveChannel, LiveMessage};
use crate::message::Malformed;
use crate::query::arguments;

/// Most messages in one answer.
const PAGE: usize = 100;

fn wanted_id(asked: &enums::InputMessage) -> i32 {
    match asked {
        enums::InputMessage::Id(message) => message.id,
        enums::InputMessage::ReplyTo(_) | enums::InputMessage::Pinned | enums::InputMessage::CallbackQuery(_) => 0,
    }
}

pub(super) fn get_messages(context: &Context<'_>, body: &[u8]) -> Answered {
    let mut cursor = Cursor::from_slice(body);
    let named = Named::deserialize(&mut cursor).map_err(|_| Malformed)?;
    let asked = Vec::<enums::InputMessage>::deserialize(&mut cursor).map_err(|_| Malformed)?;
    let live = context.call.shared.live.read();
    let view = context.view(&live);
    let channel = named.find(context, &live)?;
    let one = |id: i32| match channel.messages.get(&id) {
        Some(message) => view.message(channel, message),
        None => enums::Message::Empty(types::MessageEmpty { id, peer_id: None }),
    };
    let messages: Vec<_> = asked.iter().take(2 * PAGE).map(wanted_id).map(one).collect();
    object(&page(&view, channel, messages.len(), messages))
}

/// Messages outside of channels: there are none here.
pub(super) fn get_private_messages(body: &[u8]) -> Answered {
    let asked: functions::messages::GetMessages = arguments(body)?;
    let empty = |id: i32| enums::Message::Empty(types::MessageEmpty { id, peer_id: None });
    let messages = asked.id.iter().take(2 * PAGE).map(wanted_id).map(empty).collect();
    object(&enums::messages::Messages::Messages(types::messages::Messages {
        messages,
        topics: Vec::new(),
        chats: Vec::new(),
        users: Vec::new(),
    }))
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
        topics: channel.topics.iter().map(|topic| view.topic(channel, topic)).collect(),
        chats: vec![view.channel(channel)],
        users: Vec::new(),
    })
}

/// Which part of a history is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    offset_id: i32,
    offset_date: i32,
    add_offset: i32,
    limit: i32,
    max_id: i32,
    min_id: i32,
}

/// The ids that Telegram's rules of paging pick out of `all` (id and date, oldest first), newest first.
///
/// The page begins at the newest message older than the offset, shifted by `add_offset`; `max_id` and `min_id` are
/// bounds on what's left of it.
fn pick(all: &[(i32, i32)], part: &Part) -> Vec<i32> {
    let older = |&(id, date): &(i32, i32)| {
        if part.offset_id > 0 { id < part.offset_id } else { part.offset_date <= 0 || date < part.offset_date }
    };
    let newest: Vec<_> = all.iter().rev().copied().collect();
    let begin = newest.iter().position(older).unwrap_or(newest.len()) as i64 + i64::from(part.add_offset);
    let end = begin + i64::from(part.limit).clamp(0, PAGE as i64);
    let index = |at: i64| usize::try_from(at).unwrap_or(0).min(newest.len());
    newest[index(begin)..index(end).max(index(begin))]
        .iter()
        .map(|&(id, _)| id)
        .filter(|&id| (part.max_id <= 0 || id < part.max_id) && id > part.min_id)
        .collect()
}

fn answer(
    context: &Context<'_>,
    live: &Live,
    named: Named,
    part: &Part,
    wanted: impl Fn(&LiveMessage) -> bool,
) -> Answered {
    let view = context.view(live);
    let channel = named.find(context, live)?;
    let all: Vec<_> =
        channel.messages.values().filter(|message| wanted(message)).map(|message| (message.id, message.date)).collect();
    let messages = pick(&all, part).into_iter().filter_map(|id| channel.messages.get(&id));
    let messages = messages.map(|message| view.message(channel, message)).collect();
    object(&page(&view, channel, all.len(), messages))
}

pub(super) fn get_history(context: &Context<'_>, body: &[u8]) -> Answered {
    let functions::messages::GetHistory { peer, offset_id, offset_date, add_offset, limit, max_id, min_id, .. } =
        arguments(body)?;
    context.not_for_bots()?;
    let part = Part { offset_id, offset_date, add_offset, limit, max_id, min_id };
    answer(context, &context.call.shared.live.read(), Named::from_peer(&peer)?, &part, |_| true)
}

pub(super) fn get_replies(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::GetReplies = arguments(body)?;
    context.not_for_bots()?;
    let functions::messages::GetReplies { offset_id, offset_date, add_offset, limit, max_id, min_id, .. } = asked;
    let part = Part { offset_id, offset_date, add_offset, limit, max_id, min_id };
    let topic = Some(asked.msg_id);
    let live = context.call.shared.live.read();
    answer(context, &live, Named::from_peer(&asked.peer)?, &part, |message| message.topic == topic)
}

pub(super) fn search(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::Search = arguments(body)?;
    context.not_for_bots()?;
    let functions::messages::Search { offset_id, add_offset, limit, max_id, min_id, min_date, max_date, .. } = asked;
    let part = Part { offset_id, offset_date: 0, add_offset, limit, max_id, min_id };
    let text = asked.q.to_lowercase();
    let live = context.call.shared.live.read();
    let wanted = |message: &LiveMessage| {
        let document = message.document.and_then(|id| live.document(id)).map(|found| &found.document);
        let name = document.map(|document| document.name.to_lowercase()).unwrap_or_default();
        let of_kind = |prefix: &str| document.is_some_and(|document| document.mime.starts_with(prefix));
        let kind = match asked.filter {
            enums::MessagesFilter::InputMessagesFilterEmpty => true,
            enums::MessagesFilter::InputMessagesFilterDocument => document.is_some(),
            enums::MessagesFilter::InputMessagesFilterVideo => of_kind("video/"),
            enums::MessagesFilter::InputMessagesFilterMusic => of_kind("audio/"),
            _ => false,
        };
        kind && (message.text.to_lowercase().contains(&text) || name.contains(&text))
            && asked.top_msg_id.is_none_or(|topic| message.topic == Some(topic))
            && (min_date <= 0 || message.date >= min_date)
            && (max_date <= 0 || message.date <= max_date)
    };
    answer(context, &live, Named::from_peer(&asked.peer)?, &part, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paging() {
        // Ids 1 to 9, dates ten times that.
        let all: Vec<_> = (1..=9).map(|id| (id, id * 10)).collect();
        let base = Part { limit: 3, ..Part::default() };
        let table = [
            (base, vec![9, 8, 7]),
            (Part { offset_id: 7, ..base }, vec![6, 5, 4]),
            (Part { offset_id: 1, ..base }, vec![]),
            (Part { offset_date: 45, ..base }, vec![4, 3, 2]),
            (Part { add_offset: 2, ..base }, vec![7, 6, 5]),
            (Part { offset_id: 5, add_offset: -2, ..base }, vec![6, 5, 4]),
            // Counting on from the oldest, as clients that list in reverse do.
            (Part { offset_id: 1, add_offset: -3, ..base }, vec![3, 2, 1]),
            (Part { add_offset: -2, ..base }, vec![9]),
            (Part { max_id: 9, ..base }, vec![8, 7]),
            (Part { min_id: 7, ..base }, vec![9, 8]),
            (Part { limit: 0, ..base }, vec![]),
            (Part { limit: -5, ..base }, vec![]),
            (Part { add_offset: i32::MIN, limit: i32::MAX, ..base }, vec![]),
            (Part { add_offset: i32::MAX, limit: i32::MAX, ..base }, vec![]),
        ];
        for (part, expected) in table {
            assert_eq!(pick(&all, &part), expected, "{part:?}");
        }
        assert_eq!(pick(&[], &base), Vec::<i32>::new());
    }
}

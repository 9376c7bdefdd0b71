//! Messages that clients write, forward and delete.

use grammers_tl_types::{Cursor, Deserializable, Identifiable, enums, functions, types};

use super::named::Named;
use super::objects::View;
use super::{Answered, Context, object, uploads};
use crate::call::Refusal;
use crate::clock::unix_now;
use crate::live::{Forward, Live, LiveMessage};
use crate::message::{Fields, Malformed};
use crate::query::arguments;
use crate::world::Document;

pub(super) fn send_media(context: &Context<'_>, body: &[u8]) -> Answered {
    refuse_other_media(body)?;
    let asked: functions::messages::SendMedia = arguments(body)?;
    let named = Named::from_peer(&asked.peer)?;
    named.find(context, &context.call.shared.live.read())?;
    let document = match asked.media {
        enums::InputMedia::UploadedDocument(media) => {
            let (name, bytes) = uploads::claim(context, &media.file)?;
            let named = media.attributes.into_iter().find_map(|attribute| match attribute {
                enums::DocumentAttribute::Filename(name) => Some(name.file_name),
                _ => None,
            });
            let document = Document {
                mime: media.mime_type,
                date: unix_now(),
                ..Document::from_bytes(&named.unwrap_or(name), context.caller.account.home_dc, bytes)
            };
            context.call.shared.live.write().add_document(document)
        }
        enums::InputMedia::Document(media) => {
            let enums::InputDocument::Document(document) = media.id else { return Err(Refusal::bad("MEDIA_EMPTY")) };
            let live = context.call.shared.live.read();
            let user_id = context.caller.account.user_id;
            let found = live.document(document.id);
            found
                .filter(|found| found.access_hash(live.seed, user_id) == document.access_hash)
                .map(|found| found.document.id)
                .ok_or_else(|| Refusal::bad("MEDIA_EMPTY"))?
        }
        _ => return Err(Refusal::bad("MEDIA_INVALID")),
    };
    let topic = match asked.reply_to {
        Some(enums::InputReplyTo::Message(reply)) => Some(reply.top_msg_id.unwrap_or(reply.reply_to_msg_id)),
        _ => None,
    };
    let (document, text) = (Some(document), asked.message);
    let message = LiveMessage { document, text, topic, ..LiveMessage::new(0, unix_now()) };
    let mut live = context.call.shared.live.write();
    append(context, &mut live, named, vec![(asked.random_id, message)])
}

/// Only uploaded and known documents are stored. Other media are refused by their constructor before anything is read:
/// some of them nest, and a stranger would choose how deep.
fn refuse_other_media(body: &[u8]) -> Result<(), Refusal> {
    let mut fields = Fields(body);
    let flags = fields.u32()?;
    let peer = match grammers_tl_types::name_for_id(fields.u32()?) {
        "inputPeerChannel" => 16,
        _ => return Err(Refusal::bad("PEER_ID_INVALID")),
    };
    fields.take(peer)?;
    if flags & 1 != 0 {
        // A reply stands between here and the media. It nests at most one peer, so reading it is safe.
        let mut cursor = Cursor::from_slice(fields.0);
        enums::InputReplyTo::deserialize(&mut cursor).map_err(|_| Malformed)?;
        fields.take(cursor.pos())?;
    }
    match fields.u32()? {
        types::InputMediaUploadedDocument::CONSTRUCTOR_ID | types::InputMediaDocument::CONSTRUCTOR_ID => Ok(()),
        _ => Err(Refusal::bad("MEDIA_INVALID")),
    }
}

pub(super) fn forward(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::messages::ForwardMessages = arguments(body)?;
    if asked.id.is_empty() || asked.id.len() > 100 || asked.id.len() != asked.random_id.len() {
        return Err(Refusal::bad("MESSAGE_IDS_EMPTY"));
    }
    let (from, to) = (Named::from_peer(&asked.from_peer)?, Named::from_peer(&asked.to_peer)?);
    let mut live = context.call.shared.live.write();
    let source = from.find(context, &live)?;
    let mut messages = Vec::new();
    for (id, random_id) in asked.id.iter().zip(&asked.random_id) {
        let original = source.messages.get(id).ok_or_else(|| Refusal::bad("MESSAGE_ID_INVALID"))?;
        let header = Forward { channel: source.id, message: original.id, date: original.date };
        messages.push((
            *random_id,
            LiveMessage {
                date: unix_now(),
                edit_date: None,
                topic: asked.top_msg_id,
                forward: (!asked.drop_author).then_some(header),
                ..original.clone()
            },
        ));
    }
    append(context, &mut live, to, messages)
}

/// Appends messages to a channel and answers with the updates that tell so.
fn append(context: &Context<'_>, live: &mut Live, named: Named, messages: Vec<(i64, LiveMessage)>) -> Answered {
    named.find(context, live)?;
    let mut made = Vec::new();
    if let Some(channel) = live.channels.get_mut(&named.id) {
        for (random_id, message) in messages {
            made.push((random_id, channel.append(message), channel.pts));
        }
    }
    let view = View { live, account: &context.caller.account };
    let channel = named.find(context, live)?;
    let mut updates = Vec::new();
    for (random_id, id, pts) in made {
        updates.push(enums::Update::MessageId(types::UpdateMessageId { id, random_id }));
        if let Some(message) = channel.messages.get(&id) {
            let message = view.message(channel, message);
            updates.push(types::UpdateNewChannelMessage { message, pts, pts_count: 1 }.into());
        }
    }
    object(&enums::Updates::Updates(types::Updates {
        updates,
        users: Vec::new(),
        chats: vec![view.channel(channel)],
        date: unix_now(),
        seq: 0,
    }))
}

pub(super) fn delete(context: &Context<'_>, body: &[u8]) -> Answered {
    let mut cursor = Cursor::from_slice(body);
    let named = Named::deserialize(&mut cursor).map_err(|_| Malformed)?;
    let ids = Vec::<i32>::deserialize(&mut cursor).map_err(|_| Malformed)?;
    let mut live = context.call.shared.live.write();
    named.find(context, &live)?;
    let channel = live.channels.get_mut(&named.id).ok_or_else(|| Refusal::bad("CHANNEL_INVALID"))?;
    let pts_count = ids.iter().filter(|id| channel.messages.remove(id).is_some()).count() as i32;
    channel.pts += pts_count;
    let affected = types::messages::AffectedMessages { pts: channel.pts, pts_count };
    object(&enums::messages::AffectedMessages::Messages(affected))
}

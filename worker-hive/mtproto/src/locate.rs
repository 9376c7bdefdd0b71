//! From a message to its document, and from a chat to the access hash that the message can be asked for with.

use crate::account::Account;
use crate::channels::{Channel, joined};
use crate::fault::{CallFault, LocateFault};
use crate::media::{Identity, Location, MessageRef};
use crate::store::PeerRecord;
use grammers_session::types::{PeerId, PeerKind};
use grammers_tl_types::{enums, functions, types};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

const DIALOGS_PAGE: i32 = 100;
/// Bounds a sweep at 10,000 dialogs.
const DIALOGS_PAGES: usize = 100;
/// A chat that is not found among the dialogs is not looked for there again within this time.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);

/// Nor is a list of dialogs that could not be read.
const FAILED_SWEEP_PAUSE: Duration = Duration::from_secs(2);

const NO_CHAT: &[&str] = &[
    "CHANNEL_INVALID",
    "CHANNEL_PRIVATE",
    "CHANNEL_PUBLIC_GROUP_NA",
    "CHAT_FORBIDDEN",
    "CHAT_ID_INVALID",
    "PEER_ID_INVALID",
    "USER_BANNED_IN_CHANNEL",
];

/// The channels that the dialogs name.
type Swept = Result<Arc<[Channel]>, CallFault>;

/// When the dialogs were last read, and what came of it.
#[derive(Default)]
pub(crate) struct Sweep {
    last: Option<(Instant, Swept)>,
}

impl Account {
    /// Finds the document that a message of a channel or supergroup carries now.
    ///
    /// # Errors
    /// [`LocateFault`]; [`LocateFault::NoChat`] for basic groups and private chats. Whether a missing message is deleted or never was, Telegram doesn't say.
    pub async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        let peer = PeerId::from_bot_api_dialog_id(message.chat_id).ok_or(LocateFault::NoChat)?;
        let id = vec![enums::InputMessage::Id(types::InputMessageId { id: message.message_id })];
        // Elsewhere a message's id is each account's own, so that one name would mean another file to another account.
        if peer.kind() != PeerKind::Channel {
            return Err(LocateFault::NoChat);
        }
        let channel = self.channel(peer).await?;
        let answer = self.invoke(self.store.home_dc(), &functions::channels::GetMessages { channel, id }).await;
        let (messages, chats) = match answer.map_err(locate_fault)? {
            enums::messages::Messages::Messages(found) => (found.messages, found.chats),
            enums::messages::Messages::Slice(found) => (found.messages, found.chats),
            enums::messages::Messages::ChannelMessages(found) => (found.messages, found.chats),
            enums::messages::Messages::NotModified(_) => {
                return Err(CallFault::unexpected("answer to a message").into());
            }
        };
        self.learn(&chats).await;
        let found = messages.into_iter().find_map(|found| match found {
            enums::Message::Message(m) if m.id == message.message_id && PeerId::from(&m.peer_id) == peer => Some(m),
            _ => None,
        });
        location(found.ok_or(LocateFault::NoMessage)?)
    }

    async fn channel(&self, peer: PeerId) -> Result<enums::InputChannel, LocateFault> {
        let (Some(chat_id), Some(channel_id)) = (peer.bot_api_dialog_id(), peer.bare_id()) else {
            return Err(LocateFault::NoChat);
        };
        let known = || {
            let access_hash = self.store.peer(chat_id)?.access_hash?;
            Some(types::InputChannel { channel_id, access_hash }.into())
        };
        if let Some(channel) = known() {
            return Ok(channel);
        }
        // What a bot may do and what a user may do differ, and some origins of a session don't say what it is.
        if self.store.info().user_id == 0 {
            self.identify().await?;
        }
        if self.store.info().bot {
            // A bot need not show an access hash of a channel it is a member of.
            let id = vec![types::InputChannel { channel_id, access_hash: 0 }.into()];
            let request = functions::channels::GetChannels { id };
            let chats = self.invoke(self.store.home_dc(), &request).await.map_err(locate_fault)?.chats();
            self.learn(&chats).await;
        } else {
            let swept = timeout(self.config.call_timeout, self.sweep_dialogs()).await;
            swept.map_err(|_| CallFault::Timeout)??;
        }
        known().ok_or(LocateFault::NoChat)
    }

    /// Reads the account's list of dialogs for the access hashes in it; returns at once what came of it when that was done a moment
    /// ago. Goes on when its caller leaves, so that a crowd of impatient callers doesn't begin it again and again.
    pub(crate) async fn sweep_dialogs(&self) -> Swept {
        let mut sweep = Arc::clone(&self.sweep).lock_owned().await;
        match &sweep.last {
            Some((at, Ok(channels))) if at.elapsed() < SWEEP_PAUSE => return Ok(Arc::clone(channels)),
            Some((at, Err(fault))) if at.elapsed() < FAILED_SWEEP_PAUSE => return Err(fault.since(*at)),
            _ => {}
        }
        let account = self.owned()?;
        let sweeping = async move {
            let swept = account.read_dialogs().await;
            sweep.last = Some((Instant::now(), swept.clone()));
            swept
        };
        let sweeping = tokio::spawn(sweeping.in_current_span());
        sweeping.await.unwrap_or_else(|_| Err(CallFault::Dropped("the task that reads the dialogs ended".to_owned())))
    }

    async fn read_dialogs(&self) -> Swept {
        let mut channels = Vec::<Channel>::new();
        let mut request = functions::messages::GetDialogs {
            exclude_pinned: false,
            folder_id: None,
            offset_date: 0,
            offset_id: 0,
            offset_peer: enums::InputPeer::Empty,
            limit: DIALOGS_PAGE,
            hash: 0,
        };
        for _ in 0..DIALOGS_PAGES {
            let (dialogs, messages, chats) = match self.invoke(self.store.home_dc(), &request).await? {
                enums::messages::Dialogs::Dialogs(all) => {
                    self.learn(&all.chats).await;
                    channels.extend(joined(&all.chats));
                    break;
                }
                enums::messages::Dialogs::Slice(page) => (page.dialogs, page.messages, page.chats),
                enums::messages::Dialogs::NotModified(_) => break,
            };
            self.learn(&chats).await;
            channels.extend(joined(&chats));
            let Some(next) = dialogs.iter().rev().find_map(|dialog| self.page_after(dialog, &messages)) else { break };
            if (next.0, next.1) == (request.offset_date, request.offset_id) {
                break;
            }
            (request.offset_date, request.offset_id, request.offset_peer) = next;
            request.exclude_pinned = true;
        }
        // One with its newest message on two pages, as messages came while they were read, is on both.
        channels.sort_by_key(|channel| channel.chat_id);
        channels.dedup_by_key(|channel| channel.chat_id);
        Ok(channels.into())
    }

    /// Where the page after this dialog begins: date and id of its top message, and its peer.
    fn page_after(&self, dialog: &enums::Dialog, messages: &[enums::Message]) -> Option<(i32, i32, enums::InputPeer)> {
        let enums::Dialog::Dialog(dialog) = dialog else { return None };
        let peer = PeerId::from(&dialog.peer);
        let date = messages.iter().find_map(|message| match message {
            enums::Message::Message(m) if m.id == dialog.top_message && PeerId::from(&m.peer_id) == peer => {
                Some(m.date)
            }
            enums::Message::Service(m) if m.id == dialog.top_message && PeerId::from(&m.peer_id) == peer => {
                Some(m.date)
            }
            _ => None,
        })?;
        let access_hash = self.store.peer(peer.bot_api_dialog_id()?).and_then(|record| record.access_hash);
        let id = peer.bare_id()?;
        let peer = match peer.kind() {
            PeerKind::Chat => types::InputPeerChat { chat_id: id }.into(),
            PeerKind::User => types::InputPeerUser { user_id: id, access_hash: access_hash.unwrap_or(0) }.into(),
            PeerKind::Channel => types::InputPeerChannel { channel_id: id, access_hash: access_hash? }.into(),
        };
        Some((date, dialog.top_message, peer))
    }

    /// Keeps the access hashes of channels. Losing them costs a call later, so a store that fails is no reason to fail.
    async fn learn(&self, chats: &[enums::Chat]) {
        let peers = chats
            .iter()
            .filter_map(|chat| match chat {
                // The hash of a `min` channel is good for avatars only.
                enums::Chat::Channel(channel) if !channel.min => {
                    let id = PeerId::channel(channel.id)?.bot_api_dialog_id()?;
                    Some((id, PeerRecord { access_hash: Some(channel.access_hash?), ..PeerRecord::default() }))
                }
                _ => None,
            })
            .collect();
        if let Err(error) = self.store.save_peers(peers).await {
            tracing::warn!(account = %self.name(), %error, "can't keep what was learned of channels");
        }
    }
}

fn locate_fault(fault: CallFault) -> LocateFault {
    match &fault {
        CallFault::Other(name) if NO_CHAT.contains(&name.as_str()) => LocateFault::NoChat,
        CallFault::Other(name) if name == "MESSAGE_IDS_EMPTY" || name == "MSG_ID_INVALID" => LocateFault::NoMessage,
        _ => LocateFault::Call(fault),
    }
}

fn location(message: types::Message) -> Result<Location, LocateFault> {
    let Some(enums::MessageMedia::Document(media)) = message.media else { return Err(LocateFault::NoDocument) };
    let Some(enums::Document::Document(document)) = media.document else { return Err(LocateFault::NoDocument) };
    let size = u64::try_from(document.size).map_err(|_| CallFault::unexpected("negative size"))?;
    let file_name = document.attributes.into_iter().find_map(|attribute| match attribute {
        enums::DocumentAttribute::Filename(name) => Some(name.file_name),
        _ => None,
    });
    Ok(Location {
        identity: Identity::new(document.id, size),
        dc: document.dc_id,
        mime_type: document.mime_type,
        file_name,
        // The date of a replaced document is that of its message's edit.
        date: u64::try_from(message.edit_date.map_or(message.date, |edited| edited.max(message.date))).ok(),
        document_id: document.id,
        access_hash: document.access_hash,
        file_reference: document.file_reference,
    })
}

//! The world while it runs: indexed, and changed by uploads, edits and deletions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::content::Content;
use crate::derive;
use crate::world::{Account, Channel, Document, EPOCH, Message, Topic, World, chat_id};

/// A document and the generation of its references.
pub(crate) struct LiveDocument {
    pub(crate) document: Document,
    generation: AtomicU32,
}

/// Why a location was turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReferenceFault {
    Empty,
    Expired,
    Invalid,
}

/// A reference's first byte, as Telegram's own have one; the rest is generation and hash.
const REFERENCE_TAG: u8 = 0x02;

impl LiveDocument {
    pub(crate) fn access_hash(&self, seed: u64, user_id: i64) -> i64 {
        derive::number(seed, "document-hash", &[user_id, self.document.id])
    }

    /// The reference that this account gets with a message now.
    pub(crate) fn reference(&self, seed: u64, user_id: i64) -> Vec<u8> {
        self.reference_of(seed, user_id, self.generation.load(Ordering::Acquire))
    }

    fn reference_of(&self, seed: u64, user_id: i64, generation: u32) -> Vec<u8> {
        let hash = derive::bytes32(seed, "reference", &[user_id, self.document.id, i64::from(generation)]);
        let mut reference = vec![REFERENCE_TAG];
        reference.extend_from_slice(&generation.to_be_bytes());
        reference.extend_from_slice(&hash[..20]);
        reference
    }

    pub(crate) fn check_reference(&self, seed: u64, user_id: i64, reference: &[u8]) -> Result<(), ReferenceFault> {
        let [tag, a, b, c, d, ..] = reference else {
            return Err(if reference.is_empty() { ReferenceFault::Empty } else { ReferenceFault::Invalid });
        };
        let generation = u32::from_be_bytes([*a, *b, *c, *d]);
        if *tag != REFERENCE_TAG || self.reference_of(seed, user_id, generation) != reference {
            return Err(ReferenceFault::Invalid);
        }
        if generation < self.generation.load(Ordering::Acquire) {
            return Err(ReferenceFault::Expired);
        }
        Ok(())
    }

    pub(crate) fn expire_references(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

/// Where a message was forwarded from.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub(crate) channel: i64,
    pub(crate) message: i32,
    pub(crate) date: i32,
}

/// A message as it stands now.
#[derive(Clone, Debug)]
pub(crate) struct LiveMessage {
    pub(crate) id: i32,
    pub(crate) date: i32,
    pub(crate) edit_date: Option<i32>,
    pub(crate) text: String,
    pub(crate) topic: Option<i32>,
    pub(crate) document: Option<i64>,
    pub(crate) forward: Option<Forward>,
    /// Set on the service message that opens a topic.
    pub(crate) opens_topic: Option<String>,
}

/// A channel as it stands now.
pub(crate) struct LiveChannel {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) username: Option<String>,
    pub(crate) megagroup: bool,
    pub(crate) topics: Vec<Topic>,
    members: Option<Vec<String>>,
    pub(crate) messages: BTreeMap<i32, LiveMessage>,
    pub(crate) last_id: i32,
    /// Counts changes, as Telegram's pts does.
    pub(crate) pts: i32,
}

impl LiveChannel {
    pub(crate) fn access_hash(&self, seed: u64, user_id: i64) -> i64 {
        derive::number(seed, "channel-hash", &[user_id, self.id])
    }

    pub(crate) fn is_seen_by(&self, account: &Account) -> bool {
        self.members.as_ref().is_none_or(|members| members.contains(&account.name))
    }

    /// Adds a message under the next free id, which is returned.
    pub(crate) fn append(&mut self, mut message: LiveMessage) -> i32 {
        self.last_id += 1;
        self.pts += 1;
        message.id = self.last_id;
        self.messages.insert(message.id, message);
        self.last_id
    }
}

/// The live world.
pub(crate) struct Live {
    pub(crate) seed: u64,
    pub(crate) api_id: i32,
    pub(crate) api_hash: String,
    pub(crate) login_code: String,
    pub(crate) codes_per_hour: u32,
    pub(crate) login_token_seconds: i32,
    pub(crate) data_centres: Vec<i32>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) channels: BTreeMap<i64, LiveChannel>,
    documents: HashMap<i64, Arc<LiveDocument>>,
    made: i64,
}

impl Live {
    pub(crate) fn new(world: World) -> Self {
        let World {
            seed,
            api_id,
            api_hash,
            login_code,
            codes_per_hour,
            login_token_seconds,
            data_centres,
            accounts,
            channels,
        } = world;
        let mut live = Self {
            seed,
            api_id,
            api_hash,
            login_code,
            codes_per_hour,
            login_token_seconds,
            data_centres,
            accounts,
            channels: BTreeMap::new(),
            documents: HashMap::new(),
            made: 0,
        };
        for channel in channels {
            let channel = live.make_channel(channel);
            live.channels.insert(channel.id, channel);
        }
        live
    }

    fn make_channel(&mut self, channel: Channel) -> LiveChannel {
        let Channel { id, title, username, megagroup, topics, members, messages } = channel;
        let opened = topics
            .iter()
            .map(|topic| LiveMessage { opens_topic: Some(topic.title.clone()), ..LiveMessage::new(topic.id, EPOCH) });
        let mut all: BTreeMap<i32, LiveMessage> = opened.map(|message| (message.id, message)).collect();
        for message in messages {
            let Message { id, date, text, topic, document } = message;
            let document = document.map(|document| self.add_document(document));
            all.insert(id, LiveMessage { text, topic, document, ..LiveMessage::new(id, date) });
        }
        let last_id = all.last_key_value().map_or(0, |(id, _)| *id);
        let megagroup = megagroup || !topics.is_empty();
        LiveChannel { id, title, username, megagroup, topics, members, messages: all, last_id, pts: last_id + 1 }
    }

    /// Stores a document and returns its id. An id it has to choose follows from what the document is, so that other
    /// bytes have another id even in another run: caches outlive a simulation.
    pub(crate) fn add_document(&mut self, mut document: Document) -> i64 {
        let name = derive::number(0, &document.name, &[]);
        let content = match &document.content {
            Content::Generated { seed } => *seed as i64,
            Content::Bytes(bytes) => {
                bytes.iter().fold(0, |sum: i64, byte| sum.wrapping_mul(31).wrapping_add(i64::from(*byte)))
            }
            Content::File(_) => i64::from(document.date),
        };
        while document.id == 0 || self.documents.contains_key(&document.id) {
            self.made += 1;
            let parts = [self.made, document.size as i64, name, content];
            // Like Telegram's: 62 bits, positive.
            document.id = (derive::number(self.seed, "document", &parts) & (i64::MAX >> 1)) | (1 << 60);
        }
        let id = document.id;
        let generation = AtomicU32::new(1);
        self.documents.insert(id, Arc::new(LiveDocument { document, generation }));
        id
    }

    pub(crate) fn document(&self, id: i64) -> Option<&Arc<LiveDocument>> {
        self.documents.get(&id)
    }

    pub(crate) fn documents(&self) -> impl Iterator<Item = &Arc<LiveDocument>> {
        self.documents.values()
    }

    /// The channel that users call `chat`.
    pub(crate) fn channel_of_chat(&mut self, chat: i64) -> Option<&mut LiveChannel> {
        self.channels.values_mut().find(|channel| chat_id(channel.id) == chat)
    }
}

impl LiveMessage {
    pub(crate) fn new(id: i32, date: i32) -> Self {
        let text = String::new();
        Self { id, date, edit_date: None, text, topic: None, document: None, forward: None, opens_topic: None }
    }
}

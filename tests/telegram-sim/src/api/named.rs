//! Channels as requests name them.

use grammers_tl_types::{Cursor, Deserializable, Identifiable, deserialize, enums, types};

use super::Context;
use crate::call::Refusal;
use crate::live::{Live, LiveChannel};

/// A channel in a request: id and access hash.
///
/// Read by hand because some clients send an `inputPeerChannel` where an `inputChannel` is due; Telegram takes it, and
/// the two look the same but for the constructor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: i64,
    access_hash: i64,
}

impl Deserializable for Named {
    fn deserialize(buffer: &mut Cursor<'_>) -> deserialize::Result<Self> {
        let constructor = u32::deserialize(buffer)?;
        match constructor {
            types::InputChannel::CONSTRUCTOR_ID | types::InputPeerChannel::CONSTRUCTOR_ID => {
                Ok(Self { id: i64::deserialize(buffer)?, access_hash: i64::deserialize(buffer)? })
            }
            id => Err(deserialize::Error::UnexpectedConstructor { id }),
        }
    }
}

impl Named {
    pub(super) fn from_peer(peer: &enums::InputPeer) -> Result<Self, Refusal> {
        match peer {
            enums::InputPeer::Channel(channel) => Ok(Self { id: channel.channel_id, access_hash: channel.access_hash }),
            _ => Err(Refusal::bad("PEER_ID_INVALID")),
        }
    }

    /// The channel, if the caller may see it.
    pub(super) fn find<'a>(self, context: &Context<'_>, live: &'a Live) -> Result<&'a LiveChannel, Refusal> {
        let account = &context.caller.account;
        let channel = live.channels.get(&self.id).ok_or_else(|| Refusal::bad("CHANNEL_INVALID"))?;
        // Bots may leave the hash out.
        let left_out = account.bot && self.access_hash == 0;
        if !left_out && self.access_hash != channel.access_hash(live.seed, account.user_id) {
            return Err(Refusal::bad("CHANNEL_INVALID"));
        }
        if channel.is_seen_by(account) { Ok(channel) } else { Err(Refusal::bad("CHANNEL_PRIVATE")) }
    }
}

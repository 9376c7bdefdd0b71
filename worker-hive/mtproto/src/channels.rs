//! The channels of an account, for people who look for the numbers that links are made of.

use crate::account::Account;
use crate::fault::CallFault;
use grammers_session::types::PeerId;
use grammers_tl_types::enums;
use std::sync::Arc;

/// A channel or supergroup that an account is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its chat in bot-API form: `-100…`.
    pub chat_id: i64,
    /// Its title, any text.
    pub title: String,
    /// Its public name without `@`, if it has one.
    pub username: Option<String>,
}

impl Account {
    /// The channels among a user's dialogs, at most a minute old, so that whoever asks often costs the account nothing. None of a
    /// bot's: Telegram doesn't list them.
    ///
    /// # Errors
    /// [`CallFault`], when the dialogs can't be read.
    pub async fn channels(&self) -> Result<Arc<[Channel]>, CallFault> {
        if self.is_bot() { Ok(Arc::new([])) } else { self.sweep_dialogs().await }
    }
}

/// The channels out of a page of dialogs. What is only mentioned there, by a forwarded message, is left out.
pub(crate) fn joined(chats: &[enums::Chat]) -> impl Iterator<Item = Channel> {
    chats.iter().filter_map(|chat| match chat {
        enums::Chat::Channel(channel) if !channel.left && !channel.min => Some(Channel {
            chat_id: PeerId::channel(channel.id)?.bot_api_dialog_id()?,
            title: channel.title.clone(),
            username: channel.username.clone().or_else(|| channel.usernames.iter().flatten().find_map(active)),
        }),
        _ => None,
    })
}

/// Bought names come apart from the one that is free.
fn active(name: &enums::Username) -> Option<String> {
    let enums::Username::Username(name) = name;
    name.active.then(|| name.username.clone())
}

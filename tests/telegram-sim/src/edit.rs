//! The world as tests see and change it while it runs.

use serde::{Deserialize, Serialize};

use crate::sim::SimError;
use crate::state::Shared;
use crate::world::{Document, chat_id};

/// A message that carries a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The channel, `-100…`.
    pub chat_id: i64,
    /// The message.
    pub message_id: i32,
    /// The document.
    pub document: i64,
    /// Length in bytes.
    pub size: u64,
    /// The data-centre that has the bytes.
    pub dc: i32,
    /// Media type.
    pub mime: String,
    /// File name.
    pub name: String,
}

/// The live world, as tests read and change it.
pub struct WorldEdit<'a> {
    pub(crate) shared: &'a Shared,
}

impl WorldEdit<'_> {
    /// All messages that carry a document.
    pub fn documents(&self) -> Vec<Placed> {
        let live = self.shared.live.read();
        let mut placed = Vec::new();
        for channel in live.channels.values() {
            for message in channel.messages.values() {
                let Some(found) = message.document.and_then(|id| live.document(id)) else { continue };
                let document = &found.document;
                placed.push(Placed {
                    chat_id: chat_id(channel.id),
                    message_id: message.id,
                    document: document.id,
                    size: document.size,
                    dc: document.dc,
                    mime: document.mime.clone(),
                    name: document.name.clone(),
                });
            }
        }
        placed
    }

    /// Puts another document under a message, as editing it does; returns the new document's id. References to the
    /// old one stay good until they are expired.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such message.
    pub fn replace_document(&self, chat: i64, message: i32, document: Document) -> Result<i64, SimError> {
        let mut live = self.shared.live.write();
        let id = live.add_document(document);
        let channel = live.channel_of_chat(chat).ok_or_else(|| not_found(chat, message))?;
        let found = channel.messages.get_mut(&message).ok_or_else(|| not_found(chat, message))?;
        found.document = Some(id);
        found.edit_date = Some(crate::clock::unix_now());
        channel.pts += 1;
        Ok(id)
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such message.
    pub fn delete_message(&self, chat: i64, message: i32) -> Result<(), SimError> {
        let mut live = self.shared.live.write();
        let channel = live.channel_of_chat(chat).ok_or_else(|| not_found(chat, message))?;
        channel.messages.remove(&message).ok_or_else(|| not_found(chat, message))?;
        channel.pts += 1;
        Ok(())
    }

    /// Bans an account: its calls get this 401 error (`AUTH_KEY_UNREGISTERED` when `None`) until it's lifted with an
    /// empty one.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such account.
    pub fn ban(&self, account: &str, error: Option<&str>) -> Result<(), SimError> {
        let index = self.shared.live.read().accounts.iter().position(|known| known.name == account);
        let index = index.ok_or_else(|| SimError::NotFound(format!("account {account:?}")))?;
        let mut banned = self.shared.banned.write();
        match error.unwrap_or("AUTH_KEY_UNREGISTERED") {
            "" => drop(banned.remove(&index)),
            error => drop(banned.insert(index, error.to_owned())),
        }
        Ok(())
    }

    /// Accepts a login token in an account's name, as its owner does with the phone; `None` takes the one shown last.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such account, or no such token that can still be accepted.
    pub fn accept_login_token(&self, account: &str, token: Option<&[u8]>) -> Result<(), SimError> {
        let index = self.shared.live.read().accounts.iter().position(|known| known.name == account);
        let index = index.ok_or_else(|| SimError::NotFound(format!("account {account:?}")))?;
        let newest = || self.shared.logins.lock().newest();
        let token = token.map(<[u8]>::to_vec).or_else(newest);
        let token = token.ok_or_else(|| SimError::NotFound("login token".to_owned()))?;
        let refused = |error: &str| SimError::NotFound(format!("login token to accept: {error}"));
        self.shared.accept_login_token(&token, index).map_err(refused)
    }

    /// Makes every login code that was sent expire.
    pub fn expire_codes(&self) {
        self.shared.logins.lock().expire_codes();
    }

    /// Login codes that were sent and could still be used.
    pub fn open_codes(&self) -> usize {
        self.shared.logins.lock().open_codes(self.shared.elapsed())
    }

    /// Keys that an account is signed in with, on all data-centres: its seeded ones, and those of who signed in.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such account.
    pub fn signed_in_keys(&self, account: &str) -> Result<usize, SimError> {
        let index = self.shared.live.read().accounts.iter().position(|known| known.name == account);
        let index = index.ok_or_else(|| SimError::NotFound(format!("account {account:?}")))?;
        Ok(self.shared.signed_in_keys(index))
    }

    /// Makes a key that a data-centre knows and nobody is signed in with: for clients that sign in themselves but
    /// can't be given this simulation's RSA key, and so can't agree on a key of their own.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such data-centre.
    pub fn new_key(&self, dc: i32) -> Result<[u8; 256], SimError> {
        if !self.shared.live.read().data_centres.contains(&dc) {
            return Err(SimError::NotFound(format!("data-centre {dc}")));
        }
        let mut key = [0; 256];
        rand::fill(&mut key);
        self.shared.add_key(dc, key, rand::random());
        Ok(key)
    }

    /// Makes every salt that clients hold bad, as happens to a client that was asleep for long.
    pub fn spoil_salts(&self) {
        self.shared.spoil_salts();
    }

    /// Makes every reference handed out so far expire: of one document, or of all.
    ///
    /// # Errors
    /// [`SimError::NotFound`] when there's no such document.
    pub fn expire_references(&self, document: Option<i64>) -> Result<(), SimError> {
        let live = self.shared.live.read();
        match document {
            None => live.documents().for_each(|document| document.expire_references()),
            Some(id) => {
                live.document(id).ok_or_else(|| SimError::NotFound(format!("document {id}")))?.expire_references();
            }
        }
        Ok(())
    }
}

fn not_found(chat: i64, message: i32) -> SimError {
    SimError::NotFound(format!("message {message} in chat {chat}"))
}

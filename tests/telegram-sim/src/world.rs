//! The world a simulation starts from: who exists, what they see, and which bytes lie where.
//!
//! Plain data. Tests build it with the small constructors here, [`crate::WorldFile`] reads it from TOML, and
//! [`World::from_folder`] makes one out of a folder.

use crate::content::Content;

/// Everything a simulation knows when it starts.
#[derive(Clone, Debug)]
pub struct World {
    /// All keys, hashes, references and salts follow from this.
    pub seed: u64,
    /// The API id clients should send; not checked.
    pub api_id: i32,
    /// The API hash clients should send; not checked.
    pub api_hash: String,
    /// The login code that `auth.signIn` accepts from accounts without one of their own.
    pub login_code: String,
    /// Codes that are sent to one number within an hour, before its floods begin.
    pub codes_per_hour: u32,
    /// How long a login token (a QR code) is good for, in seconds.
    pub login_token_seconds: i32,
    /// Ids of the data-centres, each of which gets a listener.
    pub data_centres: Vec<i32>,
    /// Who may sign in.
    pub accounts: Vec<Account>,
    /// What there is to see.
    pub channels: Vec<Channel>,
}

/// A bot or a user.
#[derive(Clone, Debug)]
pub struct Account {
    /// How tests, rules and counters name it.
    pub name: String,
    /// Telegram's id.
    pub user_id: i64,
    /// Bots can't list dialogs or histories.
    pub bot: bool,
    /// Premium accounts are spared `FLOOD_PREMIUM_WAIT`.
    pub premium: bool,
    /// Where it's signed in.
    pub home_dc: i32,
    /// Data-centres other than home where its seeded key is signed in too. Elsewhere the key exists and has to
    /// import an authorization first, as a real client's would.
    pub authorized_dcs: Vec<i32>,
    /// Digits only, for `auth.sendCode`.
    pub phone: Option<String>,
    /// The code that's sent to the phone; `None` is the world's.
    pub code: Option<String>,
    /// Two-step verification.
    pub password: Option<Password>,
    /// For `auth.importBotAuthorization`.
    pub bot_token: Option<String>,
    /// Public name.
    pub username: Option<String>,
}

/// A password of two-step verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// The password itself.
    pub text: String,
    /// What its owner is reminded by.
    pub hint: Option<String>,
}

/// A channel or a forum.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Telegram's bare id, positive; users see `-100…` in front of it.
    pub id: i64,
    /// Shown in listings.
    pub title: String,
    /// Public name.
    pub username: Option<String>,
    /// A supergroup rather than a broadcast channel.
    pub megagroup: bool,
    /// Topics; not empty makes it a forum.
    pub topics: Vec<Topic>,
    /// Names of the accounts that see it; `None` is everybody.
    pub members: Option<Vec<String>>,
    /// Its messages, any order.
    pub messages: Vec<Message>,
}

/// A forum's topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Id of the message that opened it.
    pub id: i32,
    /// Shown in listings.
    pub title: String,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Unique in its channel, positive.
    pub id: i32,
    /// Unix seconds.
    pub date: i32,
    /// Its text or caption.
    pub text: String,
    /// The topic it belongs to.
    pub topic: Option<i32>,
    /// What it carries.
    pub document: Option<Document>,
}

/// A document: a file as Telegram stores it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Unique in the world; 0 lets the world choose one.
    pub id: i64,
    /// The data-centre that has its bytes.
    pub dc: i32,
    /// Length in bytes.
    pub size: u64,
    /// Media type.
    pub mime: String,
    /// File name; empty sends none.
    pub name: String,
    /// Unix seconds.
    pub date: i32,
    /// Its bytes.
    pub content: Content,
}

/// The date that things without one get: 2023-11-14, so that no world depends on the day it runs.
pub(crate) const EPOCH: i32 = 1_700_000_000;

/// `-100…`, the form in which users and bots write a channel's id.
pub(crate) fn chat_id(channel: i64) -> i64 {
    -1_000_000_000_000 - channel
}

impl World {
    /// An empty world with data-centres 2 and 4.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            api_id: 1_000_001,
            api_hash: "0123456789abcdef0123456789abcdef".to_owned(),
            login_code: "12345".to_owned(),
            codes_per_hour: 5,
            login_token_seconds: 30,
            data_centres: vec![2, 4],
            accounts: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Adds an account.
    #[must_use]
    pub fn with_account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    /// Adds a channel.
    #[must_use]
    pub fn with_channel(mut self, channel: Channel) -> Self {
        self.channels.push(channel);
        self
    }
}

impl Account {
    /// A bot at home on data-centre 2, with the token `"{user_id}:{name}"`.
    pub fn bot(name: &str, user_id: i64) -> Self {
        Self {
            name: name.to_owned(),
            user_id,
            bot: true,
            premium: false,
            home_dc: 2,
            authorized_dcs: Vec::new(),
            phone: None,
            code: None,
            password: None,
            bot_token: Some(format!("{user_id}:{name}")),
            username: Some(format!("{}_bot", name.replace('-', "_"))),
        }
    }

    /// A user at home on data-centre 2, with the phone number `"99966{…}"` made from its id.
    pub fn user(name: &str, user_id: i64) -> Self {
        Self {
            bot: false,
            phone: Some(format!("99966{:07}", user_id.rem_euclid(10_000_000))),
            bot_token: None,
            username: Some(name.replace('-', "_")),
            ..Self::bot(name, user_id)
        }
    }

    /// The same account with Telegram Premium.
    #[must_use]
    pub fn premium(mut self) -> Self {
        self.premium = true;
        self
    }

    /// The same account with two-step verification.
    #[must_use]
    pub fn with_password(mut self, text: &str, hint: Option<&str>) -> Self {
        self.password = Some(Password { text: text.to_owned(), hint: hint.map(str::to_owned) });
        self
    }

    /// The same account at home on data-centre `dc`.
    #[must_use]
    pub fn at_home_on(mut self, dc: i32) -> Self {
        self.home_dc = dc;
        self
    }

    /// The same account, its seeded key on `dc` signed in too.
    #[must_use]
    pub fn authorized_on(mut self, dc: i32) -> Self {
        self.authorized_dcs.push(dc);
        self
    }
}

impl Channel {
    /// A broadcast channel that everybody sees.
    pub fn new(id: i64, title: &str) -> Self {
        Self {
            id,
            title: title.to_owned(),
            username: None,
            megagroup: false,
            topics: Vec::new(),
            members: None,
            messages: Vec::new(),
        }
    }

    /// Adds a message that carries `document`.
    #[must_use]
    pub fn with_document(mut self, message_id: i32, document: Document) -> Self {
        let date = document.date;
        let document = Some(document);
        self.messages.push(Message { id: message_id, date, text: String::new(), topic: None, document });
        self
    }

    /// Adds a text message.
    #[must_use]
    pub fn with_text(mut self, message_id: i32, text: &str) -> Self {
        let text = text.to_owned();
        self.messages.push(Message { id: message_id, date: EPOCH, text, topic: None, document: None });
        self
    }

    /// The id users write: `-100…`.
    pub fn chat_id(&self) -> i64 {
        chat_id(self.id)
    }
}

impl Document {
    /// A document with generated content on data-centre `dc`.
    pub fn generated(name: &str, dc: i32, size: u64, seed: u64) -> Self {
        Self {
            id: 0,
            dc,
            size,
            mime: mime_of(name).to_owned(),
            name: name.to_owned(),
            date: EPOCH,
            content: Content::Generated { seed },
        }
    }

    /// A document with the given bytes on data-centre `dc`.
    pub fn from_bytes(name: &str, dc: i32, bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, content: bytes.into(), ..Self::generated(name, dc, 0, 0) }
    }

    /// A document with a file's bytes on data-centre `dc`, named after the file.
    ///
    /// # Errors
    /// Whatever opening the file says.
    pub fn from_file(path: &std::path::Path, dc: i32) -> std::io::Result<Self> {
        let (content, size) = Content::open(path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { size, content, ..Self::generated(&name, dc, 0, 0) })
    }
}

/// The media type a client would send along with a file of this name.
pub(crate) fn mime_of(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "ts" => "video/mp2t",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "ogg" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "txt" => "text/plain",
        "json" => "application/json",
        "vtt" => "text/vtt",
        "srt" => "application/x-subrip",
        _ => "application/octet-stream",
    }
}

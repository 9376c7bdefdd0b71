//! Worlds written down as TOML.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::content::Content;
use crate::world::{Account, Channel, Document, EPOCH, Message, Password, Topic, World, mime_of};

/// Why a world file wasn't taken.
#[derive(Debug, thiserror::Error)]
pub enum WorldFileError {
    /// The file, or one it names, can't be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// It isn't TOML, or not of a world's form.
    #[error(transparent)]
    Syntax(#[from] Box<toml::de::Error>),
    /// A document names no content, or two.
    #[error("document {0:?} needs exactly one of `file`, `generated` and `text`")]
    Content(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldToml {
    #[serde(default = "one")]
    seed: u64,
    api_id: Option<i32>,
    api_hash: Option<String>,
    login_code: Option<String>,
    codes_per_hour: Option<u32>,
    login_token_seconds: Option<i32>,
    data_centres: Option<Vec<i32>>,
    #[serde(default)]
    account: Vec<AccountToml>,
    #[serde(default)]
    channel: Vec<ChannelToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountToml {
    name: String,
    user_id: i64,
    #[serde(default)]
    bot: bool,
    #[serde(default)]
    premium: bool,
    home_dc: Option<i32>,
    #[serde(default)]
    authorized_dcs: Vec<i32>,
    phone: Option<String>,
    code: Option<String>,
    password: Option<String>,
    password_hint: Option<String>,
    bot_token: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelToml {
    id: i64,
    title: String,
    username: Option<String>,
    #[serde(default)]
    megagroup: bool,
    members: Option<Vec<String>>,
    #[serde(default)]
    topic: Vec<TopicToml>,
    #[serde(default)]
    message: Vec<MessageToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicToml {
    id: i32,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageToml {
    id: i32,
    date: Option<i32>,
    #[serde(default)]
    text: String,
    topic: Option<i32>,
    document: Option<DocumentSpec>,
}

/// A document as world files and the control socket write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentSpec {
    #[serde(default)]
    id: i64,
    dc: i32,
    name: Option<String>,
    mime: Option<String>,
    date: Option<i32>,
    file: Option<String>,
    generated: Option<u64>,
    size: Option<u64>,
    text: Option<String>,
}

fn one() -> u64 {
    1
}

impl World {
    /// Reads a world from a TOML file; relative paths in it are relative to it. The form, with everything optional
    /// but ids, names and titles:
    ///
    /// ```toml
    /// seed = 1
    /// data_centres = [2, 4]
    /// login_code = "12345"
    ///
    /// [[account]]
    /// name = "bot-1"
    /// user_id = 7000000001
    /// bot = true
    /// home_dc = 2
    /// authorized_dcs = [4]      # its seeded key there is signed in too
    /// bot_token = "7000000001:secret"
    ///
    /// [[account]]
    /// name = "user-1"
    /// user_id = 5000000001
    /// phone = "999660000001"
    /// code = "54321"            # else login_code
    /// password = "correct horse"  # two-step verification
    /// password_hint = "a horse"
    ///
    /// [[channel]]
    /// id = 1700000001           # users write -1001700000001
    /// title = "Films"
    /// members = ["bot-1"]       # left out: everybody
    /// topic = [{ id = 1, title = "Drama" }]
    ///
    /// [[channel.message]]
    /// id = 2
    /// topic = 1
    /// document = { dc = 4, name = "film.mp4", generated = 7, size = 2147483648 }
    ///
    /// [[channel.message]]
    /// id = 3
    /// document = { dc = 2, file = "films/other.mkv" }
    /// ```
    ///
    /// # Errors
    /// [`WorldFileError`], with the place in the file where there's one.
    pub fn from_toml_file(path: &Path) -> Result<Self, WorldFileError> {
        let text = fs::read_to_string(path).map_err(|source| io_error(path, source))?;
        Self::from_toml(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads a world from TOML; relative paths in it are relative to `folder`.
    ///
    /// # Errors
    /// As [`World::from_toml_file`].
    pub fn from_toml(text: &str, folder: &Path) -> Result<Self, WorldFileError> {
        let read: WorldToml = toml::from_str(text).map_err(Box::new)?;
        let mut world = Self::new(read.seed);
        world.api_id = read.api_id.unwrap_or(world.api_id);
        world.api_hash = read.api_hash.unwrap_or(world.api_hash);
        world.login_code = read.login_code.unwrap_or(world.login_code);
        world.codes_per_hour = read.codes_per_hour.unwrap_or(world.codes_per_hour);
        world.login_token_seconds = read.login_token_seconds.unwrap_or(world.login_token_seconds);
        world.data_centres = read.data_centres.unwrap_or(world.data_centres);
        world.accounts = read.account.into_iter().map(account).collect();
        for read in read.channel {
            world.channels.push(channel(read, folder)?);
        }
        Ok(world)
    }
}

fn account(read: AccountToml) -> Account {
    let made = if read.bot { Account::bot(&read.name, read.user_id) } else { Account::user(&read.name, read.user_id) };
    Account {
        premium: read.premium,
        home_dc: read.home_dc.unwrap_or(made.home_dc),
        authorized_dcs: read.authorized_dcs,
        phone: read.phone.or(made.phone),
        code: read.code,
        password: read.password.map(|text| Password { text, hint: read.password_hint }),
        bot_token: read.bot_token.or(made.bot_token),
        username: read.username.or(made.username),
        ..made
    }
}

fn channel(read: ChannelToml, folder: &Path) -> Result<Channel, WorldFileError> {
    let mut messages = Vec::new();
    for message in read.message {
        let MessageToml { id, date, text, topic, document } = message;
        let document = document.map(|document| document.load(folder)).transpose()?;
        let date = date.or(document.as_ref().map(|document| document.date)).unwrap_or(EPOCH);
        messages.push(Message { id, date, text, topic, document });
    }
    Ok(Channel {
        username: read.username,
        megagroup: read.megagroup,
        topics: read.topic.into_iter().map(|TopicToml { id, title }| Topic { id, title }).collect(),
        members: read.members,
        messages,
        ..Channel::new(read.id, &read.title)
    })
}

impl DocumentSpec {
    /// Makes the document, opening its file where it names one.
    pub(crate) fn load(self, folder: &Path) -> Result<Document, WorldFileError> {
        let Self { id, dc, name, mime, date, file, generated, size, text } = self;
        let label = || name.clone().unwrap_or_default();
        let made = match (file, generated, text) {
            (Some(file), None, None) => {
                let path = folder.join(file);
                Document::from_file(&path, dc).map_err(|source| io_error(&path, source))?
            }
            (None, Some(seed), None) => Document::generated("", dc, size.unwrap_or(0), seed),
            (None, None, Some(text)) => Document::from_bytes("", dc, text.into_bytes()),
            _ => return Err(WorldFileError::Content(label())),
        };
        // A file may be longer than what's shown of it, never shorter.
        let size = match made.content {
            Content::Generated { .. } => made.size,
            Content::File(_) | Content::Bytes(_) => size.unwrap_or(made.size).min(made.size),
        };
        let name = name.unwrap_or(made.name);
        let mime = mime.unwrap_or_else(|| mime_of(&name).to_owned());
        Ok(Document { id, size, mime, name, date: date.unwrap_or(made.date), ..made })
    }
}

fn io_error(path: &Path, source: std::io::Error) -> WorldFileError {
    WorldFileError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_read() {
        let text = r#"
            data_centres = [2, 4]
            [[account]]
            name = "bot-1"
            user_id = 7000000001
            bot = true
            [[channel]]
            id = 1700000001
            title = "Films"
            topic = [{ id = 1, title = "Drama" }]
            [[channel.message]]
            id = 2
            topic = 1
            document = { dc = 4, name = "film.mp4", generated = 7, size = 2147483648 }
            [[channel.message]]
            id = 3
            document = { dc = 2, text = "hello", date = 1700000100 }
        "#;
        let world = World::from_toml(text, Path::new(".")).unwrap();
        let messages = &world.channels[0].messages;
        let film = messages[0].document.as_ref().unwrap();
        assert_eq!((film.size, film.mime.as_str(), film.dc), (1 << 31, "video/mp4", 4));
        assert_eq!((messages[1].date, messages[1].document.as_ref().unwrap().size), (1_700_000_100, 5));
        assert_eq!(world.accounts[0].bot_token.as_deref(), Some("7000000001:bot-1"));
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            ("sed = 1", "unknown field `sed`"),
            ("[[account]]\nname = \"a\"", "missing field `user_id`"),
            (
                "[[channel]]\nid=1\ntitle=\"t\"\n[[channel.message]]\nid=1\ndocument={dc=2,name=\"n\"}",
                "document \"n\" needs exactly one",
            ),
            ("[[channel]]\nid=1\ntitle=\"t\"\n[[channel.message]]\nid=1\ndocument={dc=2,file=\"no\"}", "No such file"),
        ];
        for (text, expected) in table {
            let error = World::from_toml(text, Path::new("/nonexistent")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

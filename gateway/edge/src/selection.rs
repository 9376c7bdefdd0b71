//! Which media a command is about, as people write it and gateways tell each other.

use crate::directory::Directory;
use crate::plugins::LivePlugins;
use cache::{PathPrefix, Scope};
use link::{StreamTarget, TargetMedia, Uri};
use percent_encoding::percent_decode_str;
use plugin_package::Hook;
use serde::{Deserialize, Serialize};
use slice::{ETag, MediaId, Slug};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Some media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Selection {
    /// Everything.
    All,
    /// By its path, or a link to it.
    Media(String),
    /// By the beginning of their paths.
    Prefix(String),
    /// A tenant's channels.
    Tenant(String),
    /// Everything in these chats.
    Chats(BTreeSet<i64>),
    /// A document, wherever it was forwarded: its ETag.
    Document(String),
}

/// Nothing can be selected so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectionError {
    #[error("{0:?} is no media: write /stream/CHAT/MESSAGE or /v/SLUG, or a link to it")]
    Media(String),
    #[error("{0:?} begins no media's path: write /stream/CHAT/, /stream/CHAT/12, /v/abc")]
    Prefix(String),
    #[error(
        "no tenant {0:?} is in the settings, and no plugin has found one since the start: name its channels, by --prefix /stream/CHAT/"
    )]
    Tenant(String),
    #[error("tenant {0:?} has no channels beside tenants that plugins find: it serves nothing")]
    NoChannels(String),
    #[error("{0:?} is no ETag")]
    Document(String),
    #[error("select by one of all, media, prefix, tenant, document")]
    Query,
}

impl Selection {
    /// Out of a query: `media=…`, `prefix=…`, `tenant=…`, `document=…`, or nothing for everything. Gives the parameters that are left.
    pub(crate) fn from_query(query: &str) -> Result<(Self, Vec<(String, String)>), SelectionError> {
        let (mut selected, mut rest) = (None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            let one = match name {
                "media" => Self::Media(value),
                "prefix" => Self::Prefix(value),
                "tenant" => Self::Tenant(value),
                "document" => Self::Document(value),
                _ => {
                    rest.push((name.to_owned(), value));
                    continue;
                }
            };
            if selected.replace(one).is_some() {
                return Err(SelectionError::Query);
            }
        }
        Ok((selected.unwrap_or(Self::All), rest))
    }

    /// The same without names that only this gateway can resolve. The flag says that a tenant has all there is.
    pub(crate) fn resolved(self, directory: &Directory, plugins: &LivePlugins) -> Result<(Self, bool), SelectionError> {
        let Self::Tenant(id) = self else { return Ok((self, false)) };
        match directory.channels_of(&id) {
            Some(Some(channels)) => Ok((Self::Chats(channels), false)),
            Some(None) if plugins.chain(Hook::Tenant, &Arc::from("")).is_none() => Ok((Self::All, true)),
            Some(None) => Err(SelectionError::NoChannels(id)),
            None => Err(SelectionError::Tenant(id)),
        }
    }

    /// For the cache.
    pub(crate) fn scope(&self) -> Result<Scope, SelectionError> {
        Ok(match self {
            Self::All => Scope::All,
            Self::Media(text) => Scope::Media(media(text).ok_or_else(|| SelectionError::Media(text.clone()))?),
            Self::Prefix(text) => {
                Scope::Prefix(PathPrefix::parse(text).map_err(|_| SelectionError::Prefix(text.clone()))?)
            }
            Self::Tenant(id) => return Err(SelectionError::Tenant(id.clone())),
            Self::Chats(chats) => Scope::Chats(chats.clone()),
            Self::Document(text) => {
                // As it stands in a header, too.
                let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
                let good = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
                Scope::Document(good.then(|| ETag::new(tag)).ok_or_else(|| SelectionError::Document(text.clone()))?)
            }
        })
    }
}

/// The media that a path names, or a link: with or without host, file name and token.
pub(crate) fn media(text: &str) -> Option<MediaId> {
    media_of(&Uri::parse(text.as_bytes()).ok()?)
}

/// The media that a request's path names.
pub(crate) fn media_of(uri: &Uri) -> Option<MediaId> {
    Some(match StreamTarget::parse(uri).ok()?.media {
        TargetMedia::Message { chat_id, message_id } => MediaId::Message { chat_id, message_id },
        TargetMedia::Virtual { slug } => MediaId::Virtual(Slug::parse(slug).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::{Selection, SelectionError, media};

    #[test]
    fn a_media_is_named_by_path_or_link() {
        for (text, wanted) in [
            ("/stream/-1001700000001/45", Some("-1001700000001/45")),
            ("/stream/-1001700000001/45/film.mp4?md5=x&expires=1", Some("-1001700000001/45")),
            ("https://films.example.com:8080/stream/-1001700000001/45/a%20b.mp4?md5=x", Some("-1001700000001/45")),
            ("/v/holiday", Some("v/holiday")),
            ("http://a.test/v/holiday/x.mkv", Some("v/holiday")),
            ("/stream/-1001700000001", None),
            ("/other", None),
            ("", None),
        ] {
            assert_eq!(media(text).map(|id| id.to_string()).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_query_selects_by_one_thing() {
        let read = Selection::from_query;
        assert_eq!(read(""), Ok((Selection::All, vec![])));
        let rest = vec![("limit".to_owned(), "5".to_owned())];
        assert_eq!(read("prefix=%2Fstream%2F-1%2F&limit=5"), Ok((Selection::Prefix("/stream/-1/".into()), rest)));
        assert_eq!(read("media=a&tenant=b"), Err(SelectionError::Query));
    }

    #[test]
    fn what_selects_nothing_says_so() {
        for bad in [
            Selection::Media("/film".into()),
            Selection::Prefix("/film".into()),
            Selection::Document("a b".into()),
            Selection::Document(String::new()),
        ] {
            assert!(bad.scope().is_err(), "{bad:?}");
        }
        assert!(Selection::Document("\"5-10\"".into()).scope().is_ok());
    }
}

//! Which media a command is about, as people write it and gateways tell each other.

use crate::directory::Directory;
use crate::plugins::LivePlugins;
use admin_api::Problem;
use cache::{PathPrefix, Scope};
use link::{StreamTarget, TargetMedia, Uri};
use plugin_package::Hook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slice::{ETag, MediaId, Slug};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Some media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(with = "Vec<i64>")]
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
    #[error("select by one of media, prefix, tenant and document")]
    Several,
}

impl Selection {
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

impl From<SelectionError> for Problem {
    fn from(error: SelectionError) -> Self {
        Self::bad_request(error.to_string())
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
    use super::{Selection, media};

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

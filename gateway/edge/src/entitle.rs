//! Fifth step: the tenant has a right to everything that the media is made of.
//!
//! A message says by its path which channel it is of. Of a virtual file only the hive knows: so it is described here, before plugins
//! are asked, and nothing of the description is told to anybody unless the tenant may serve every chat in it.

use crate::accept::Accepted;
use crate::authorize::Signed;
use crate::refusal::Refusal;
use crate::takedown::{Unlisted, Watch};
use crate::tenant::Tenant;
use cache::Cache;
use link::Grant;
use slice::{MediaId, MediaMeta};
use std::sync::Arc;

/// A request whose link holds and whose tenant may serve the media. Only this step makes one, and plugins are asked of nothing less.
pub(crate) struct Authorized<'a> {
    pub(crate) accepted: Accepted<'a>,
    pub(crate) tenant: Arc<Tenant>,
    /// No other tenant is served.
    alone: bool,
    pub(crate) grant: Grant,
    /// The link's time is over, and the tenant's grace is not: a policy must name a later one.
    pub(crate) expired: bool,
    pub(crate) media: MediaId,
    /// What plugins, limits and observers know it by.
    pub(crate) message: Message,
    /// By what it may be served at all.
    pub(crate) watch: Watch,
}

/// A message; of a virtual file its first part's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i32,
}

/// Judges the tenant's right.
pub(crate) async fn entitle<'a>(unlisted: Unlisted<'a>, cache: &Cache) -> Result<Authorized<'a>, Refusal> {
    let Unlisted { signed, watch } = unlisted;
    let Signed { accepted, tenant, alone, grant, expired, media } = signed;
    let message = match media {
        MediaId::Message { chat_id, message_id } if tenant.may_serve(chat_id, alone) => Message { chat_id, message_id },
        MediaId::Message { .. } => return Err(Refusal::ForeignChannel),
        MediaId::Virtual(_) => {
            let described = cache.media(media).await?;
            let message = first_part(&tenant, alone, described.meta())?;
            watch.judge(media, &described).await?;
            message
        }
    };
    Ok(Authorized { accepted, tenant, alone, grant, expired, media, message, watch })
}

impl Authorized<'_> {
    /// Judges a later description of the same media: between the two it may have become another, of other chats.
    pub(crate) fn still(&self, meta: &MediaMeta) -> Result<(), Refusal> {
        match self.media {
            MediaId::Message { .. } => Ok(()),
            MediaId::Virtual(_) => first_part(&self.tenant, self.alone, meta).map(drop),
        }
    }
}

#[cfg(test)]
impl<'a> Authorized<'a> {
    /// A request for a message by a link that nobody checked, of a tenant that is alone.
    pub(crate) fn of_test(accepted: Accepted<'a>, tenant: Arc<Tenant>, grant: Grant, message: Message) -> Self {
        let media = MediaId::Message { chat_id: message.chat_id, message_id: message.message_id };
        let watch = Watch::of_test();
        Self { accepted, tenant, alone: true, grant, expired: false, media, message, watch }
    }
}

/// The first part of a virtual file, if the tenant may serve all of its chats. Who may not is told what those are told who ask for a
/// file that is none: neither its existence nor its size is theirs to know.
fn first_part(tenant: &Tenant, alone: bool, meta: &MediaMeta) -> Result<Message, Refusal> {
    let spans = meta.spans.as_ref().ok_or(Refusal::ForeignVirtual)?;
    let all = !spans.chats.is_empty() && spans.chats.iter().all(|chat| tenant.may_serve(*chat, alone));
    if all && spans.chats.contains(&spans.chat_id) {
        Ok(Message { chat_id: spans.chat_id, message_id: spans.message_id })
    } else {
        Err(Refusal::ForeignVirtual)
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, first_part};
    use crate::outcome::Outcome;
    use crate::refusal::Refusal;
    use crate::tenant::Tenant;
    use slice::{ETag, MediaMeta, Spans};

    fn tenant(channels: Option<Vec<i64>>) -> Tenant {
        let text =
            "[[tenant]]\nid = \"a\"\ndomains = [\"a.test\"]\nlink.secrets = [{ id = \"first\", secret = \"s\" }]\n";
        let text = format!("listen = [{{ address = \"127.0.0.1:0\" }}]\nhive.token = \"t\"\n{text}");
        let loaded = config::parse::<config::GatewaySettings>(&text, std::path::Path::new("gateway.toml"));
        let settings = loaded.unwrap_or_else(|error| panic!("{error}")).settings;
        let settings = config::gateway::Tenant { channels, ..settings.tenant[0].clone() };
        Tenant::new(&settings).unwrap()
    }

    fn meta(chats: Option<&[i64]>) -> MediaMeta {
        MediaMeta {
            etag: ETag::new("v1"),
            size: 10,
            content_type: "video/mp4".into(),
            last_modified: None,
            file_name: None,
            spans: chats.map(|chats| Spans { chat_id: chats[0], message_id: 7, chats: chats.to_vec() }),
        }
    }

    #[test]
    fn one_foreign_chat_is_enough() {
        let first = Ok(Message { chat_id: -5, message_id: 7 });
        let own = tenant(Some(vec![-5, -6]));
        assert_eq!(first_part(&own, false, &meta(Some(&[-5, -6]))), first);
        assert_eq!(first_part(&own, false, &meta(Some(&[-5]))), first);
        for chats in [&[-5, -6, -7][..], &[-7, -5], &[-7]] {
            for alone in [false, true] {
                assert_eq!(first_part(&own, alone, &meta(Some(chats))), Err(Refusal::ForeignVirtual), "{chats:?}");
            }
        }
        assert_eq!(first_part(&own, false, &meta(None)), Err(Refusal::ForeignVirtual));
        let any = tenant(None);
        assert_eq!(first_part(&any, true, &meta(Some(&[-5, -7]))), first);
        assert_eq!(first_part(&any, false, &meta(Some(&[-5]))), Err(Refusal::ForeignVirtual));
    }

    #[test]
    fn a_foreign_file_looks_like_none() {
        let (foreign, none) = (Outcome::ForeignVirtual, Outcome::MediaNotFound);
        assert_eq!((foreign.status(), foreign.viewer_text()), (none.status(), none.viewer_text()));
    }
}

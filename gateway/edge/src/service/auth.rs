//! `/auth/…`: guests, renewal, the end of a session, public keys.

use super::invite::Invited;
use super::{Denial, cookies};
use crate::identify::Identity;
use crate::identities::{Identities, OwnTokens};
use crate::refusal::Refusal;
use crate::sign_outs::SignOuts;
use crate::small::Small;
use crate::tenant::Tenant;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode};
use identity::{Link, RefreshToken, Rotation, Session, Subject};
use serde_json::json;
use std::sync::Arc;
use viewer::Viewer;

/// Where a request is answered: the tenant, its own tokens, and what keeps its sessions. Owned: a change outlives the request.
pub(super) struct At {
    pub(super) identities: Identities,
    pub(super) sign_outs: Arc<SignOuts>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) own: Arc<OwnTokens>,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Over TLS.
    pub(super) secure: bool,
}

impl At {
    /// `POST /auth/guest`: an identity for who has none. Who has one keeps it, also if only what renews it is left.
    pub(super) async fn guest(&self, identity: &Identity, sent: Option<&RefreshToken>) -> Result<Small, Refusal> {
        if let Identity::Verified(viewer) = identity {
            return known(viewer);
        }
        if let Some(used) = sent
            && let Some(small) = self.renew(used).await?
        {
            return Ok(small);
        }
        if !self.own.settings.guests {
            return Err(Denial::Guests.into());
        }
        let subject = Subject::guest(rand::random());
        let refresh = RefreshToken::first(rand::random(), rand::random());
        let access = self.access(&subject, &refresh)?;
        let session = Session::begin(subject.clone(), &refresh, self.now, &self.own.rules);
        let opened = self.identities.store.open(&self.tenant.id, &refresh.sid(), session, self.now).await;
        opened.map_err(|_| Denial::Away)?;
        self.told(&subject, &access, Some(&refresh))
    }

    /// `POST /auth/refresh`: another token, and another refresh token.
    pub(super) async fn refresh(&self, used: &RefreshToken) -> Result<Small, Refusal> {
        self.renew(used).await?.ok_or(Denial::BadIdentity("no such session").into())
    }

    /// Uses a refresh token. `None`: there is no such session, or none any more.
    async fn renew(&self, used: &RefreshToken) -> Result<Option<Small>, Refusal> {
        let next = used.next(rand::random());
        let rotation = self.identities.store.rotate(&self.tenant.id, used, &next, self.now, &self.own.rules).await;
        match rotation.map_err(|_| Denial::Away)? {
            Rotation::Rotated(subject) => {
                let access = self.access(&subject, used)?;
                self.told(&subject, &access, Some(&next)).map(Some)
            }
            Rotation::Lately(subject) => {
                let access = self.access(&subject, used)?;
                self.told(&subject, &access, None).map(Some)
            }
            Rotation::Reused(subject) => {
                let tenant = &*self.tenant.id;
                tracing::warn!(tenant, viewer = subject.name(), "a refresh token was used again: its session is over");
                self.revoke(&used.sid()).await;
                Err(Denial::Reused.into())
            }
            Rotation::Unknown => Ok(None),
        }
    }

    /// `POST /auth/logout`: the end of the session, everywhere. Nobody who has none is told so.
    pub(super) async fn logout(&self, identity: &Identity, sent: Option<&RefreshToken>) -> Result<Small, Refusal> {
        let store = &self.identities.store;
        if let Some(token) = sent
            && store.end(&self.tenant.id, token).await.map_err(|_| Denial::Away)?
        {
            self.revoke(&token.sid()).await;
        }
        if let Identity::Verified(viewer) = identity
            && let Some(sid) = viewer.claim("sid")
        {
            store.close(&self.tenant.id, &sid).await.map_err(|_| Denial::Away)?;
            self.revoke(&sid).await;
        }
        cookies::clear(Small::empty(StatusCode::NO_CONTENT), &self.own, self.secure)
    }

    /// `POST /auth`: uses a one-time link up, and lets in whom it is for.
    pub(super) async fn enter(&self, invited: Invited) -> Result<Small, Refusal> {
        let Invited { magic, next } = invited;
        let refresh = RefreshToken::first(rand::random(), rand::random());
        let access = self.access(&magic.subject, &refresh)?;
        let session = Session::begin(magic.subject, &refresh, self.now, &self.own.rules);
        let link = Link { id: &magic.id, expires: magic.expires };
        let entered = self.identities.store.enter(&self.tenant.id, &link, &refresh.sid(), session, self.now).await;
        if !entered.map_err(|_| Denial::Away)? {
            return Err(Denial::InviteOver("used").into());
        }
        let small = Small::empty(StatusCode::SEE_OTHER).with(LOCATION, next);
        cookies::set(small, &self.own, self.secure, &access, Some(&refresh.text()))
    }

    /// Says who the viewer is from now on, and sets the cookies.
    fn told(&self, subject: &Subject, access: &str, refresh: Option<&RefreshToken>) -> Result<Small, Refusal> {
        let until = self.now.saturating_add(seconds(self.own.settings.access_ttl));
        let small = object(&json!({ "sub": subject.name(), "guest": subject.is_guest(), "expires": until }))?;
        let refresh = refresh.map(RefreshToken::text);
        cookies::set(small, &self.own, self.secure, access, refresh.as_deref())
    }

    fn access(&self, subject: &Subject, refresh: &RefreshToken) -> Result<String, Refusal> {
        let ttl = self.own.settings.access_ttl.get();
        let token = self.own.issuer.access(subject, &refresh.sid(), rand::random(), self.now, ttl);
        token.ok_or(Refusal::Internal("a token can't be signed"))
    }

    /// Tokens of the session that are out there must not hold until they expire.
    async fn revoke(&self, sid: &str) {
        // As long as the last of them, and some seconds for clocks that differ.
        let until = self.now.saturating_add(seconds(self.own.settings.access_ttl)).saturating_add(60);
        self.sign_outs.end(&self.tenant.id, sid, until).await;
    }
}

/// `GET /auth/jwks.json`: the keys by which others verify viewers' tokens. Anybody's to read and to keep for a while.
pub(super) fn keys(own: &OwnTokens) -> Result<Small, Refusal> {
    Ok(object(&own.issuer.published())?
        .with(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))
        .with(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")))
}

/// Who the viewer is already.
fn known(viewer: &Viewer) -> Result<Small, Refusal> {
    let claims = viewer.claims();
    let guest = claims.get("guest").and_then(serde_json::Value::as_bool).unwrap_or(false);
    object(&json!({ "sub": viewer.sub(), "guest": guest, "expires": claims.get("exp") }))
}

pub(super) fn object(value: &serde_json::Value) -> Result<Small, Refusal> {
    Small::json(value).map_err(|_| Refusal::Internal("an answer can't be written"))
}

pub(super) fn seconds(span: config::TimeSpan) -> i64 {
    i64::try_from(span.get().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{At, Denial, Invited};
    use crate::identify::Identity;
    use crate::identities::Identities;
    use crate::kin::Kin;
    use crate::refusal::Refusal;
    use crate::sign_outs::SignOuts;
    use crate::small::Small;
    use crate::tenant::Tenant;
    use config::GatewaySettings;
    use http::HeaderValue;
    use http::header::SET_COOKIE;
    use identity::{Kind, Magic, RefreshToken, Subject};
    use serde_json::Value;
    use std::sync::Arc;

    const NOW: i64 = 1_800_000_000;
    const SETTINGS: &str = r#"
        listen = [{ address = "127.0.0.1:0" }]
        hive.token = "t"
        [[tenant]]
        id = "a"
        domains = ["a.test"]
        link.secrets = [{ id = "1", secret = "s" }]
        identity.keys = [{ id = "1", algorithm = "HS256", key = "a secret of 32 bytes, and some more" }]
    "#;

    fn at() -> At {
        let settings = config::parse::<GatewaySettings>(SETTINGS, std::path::Path::new("t")).unwrap().settings;
        let identities = Identities::new(&settings).unwrap();
        let sign_outs = Arc::new(SignOuts::new(identities.revoked.clone(), None, Arc::new(Kin::new(|_| {}))));
        let tenant = Arc::new(Tenant::new(&settings.tenant[0]).unwrap());
        let own = tenant.own.clone().unwrap();
        At { identities, sign_outs, tenant, own, now: NOW, secure: true }
    }

    /// Who it says the viewer is.
    fn sub(small: &Small) -> String {
        let said: Value = serde_json::from_slice(&small.body).unwrap();
        said["sub"].as_str().unwrap().to_owned()
    }

    /// The refresh token that it sets.
    fn refresh(small: &Small) -> Option<RefreshToken> {
        small.head.fields.of(SET_COOKIE.as_str()).find_map(|cookie| {
            let value = cookie.strip_prefix("session_refresh=")?.split(';').next()?;
            RefreshToken::parse(value)
        })
    }

    fn is_reused(answer: &Result<Small, Refusal>) -> bool {
        matches!(answer, Err(Refusal::Service(Denial::Reused)))
    }

    #[tokio::test]
    async fn who_can_renew_is_no_new_guest() {
        let mut at = at();
        let invited = |id: &str| Invited {
            magic: Magic {
                subject: Subject::named("alice", serde_json::Map::new()).unwrap(),
                id: id.to_owned(),
                expires: NOW + 60,
            },
            next: HeaderValue::from_static("/"),
        };
        let entered = at.enter(invited("x")).await.unwrap();
        assert!(matches!(at.enter(invited("x")).await, Err(Refusal::Service(Denial::InviteOver("used")))));
        let alice = refresh(&entered).unwrap();
        // The token of a quarter of an hour is over, and the frontend asks for a guest.
        at.now += 1200;
        let again = at.guest(&Identity::Anonymous, Some(&alice)).await.unwrap();
        assert_eq!(sub(&again), "alice");
        let renewed = refresh(&again).unwrap();
        assert_eq!(sub(&at.guest(&Identity::Anonymous, Some(&alice)).await.unwrap()), "alice", "two tabs at once");
        at.now += 1200;
        assert!(is_reused(&at.guest(&Identity::Anonymous, Some(&alice)).await), "somebody else has it");
        assert!(at.identities.revoked.has("a", Kind::Session, &alice.sid(), at.now));
        // Who has nothing left begins as a guest, and stays that one.
        let guest = at.guest(&Identity::Anonymous, Some(&renewed)).await.unwrap();
        assert!(sub(&guest).starts_with("guest-"));
        let token = refresh(&guest).unwrap();
        at.now += 86_400;
        assert_eq!(sub(&at.guest(&Identity::Anonymous, Some(&token)).await.unwrap()), sub(&guest));
        assert_ne!(sub(&at.guest(&Identity::Anonymous, None).await.unwrap()), sub(&guest));
    }

    #[tokio::test]
    async fn who_signs_out_is_out() {
        let at = at();
        let token = refresh(&at.guest(&Identity::Anonymous, None).await.unwrap()).unwrap();
        at.logout(&Identity::Anonymous, Some(&token)).await.unwrap();
        assert!(at.identities.revoked.has("a", Kind::Session, &token.sid(), NOW + 900));
        assert!(matches!(at.refresh(&token).await, Err(Refusal::Service(Denial::BadIdentity("no such session")))));
    }
}

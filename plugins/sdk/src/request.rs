use alloc::{
    string::{String, ToString},
    vec::Vec,
};

#[cfg(target_family = "wasm")]
use crate::bindings::policy::streamvault::plugin::requests as wit;
#[cfg(target_family = "wasm")]
use wit::Request as Facts;

#[cfg(not(target_family = "wasm"))]
use crate::testing::Facts;

/// How far the viewer's token (a JWT) was believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The request carries no token.
    Anonymous,
    /// It carries one that did not verify: forged, expired, of another issuer or audience. Its claims are not shown.
    Invalid,
    /// Signature, times, issuer and audience hold. Claims can be read.
    Verified,
}

/// The media that the path names: a message of a Telegram channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Media {
    /// The channel, as Telegram's bots write it (-100…).
    pub chat_id: i64,
    /// The message.
    pub message_id: u32,
}

/// A signed link that held, or held once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name of the secret that signed it.
    pub key_id: String,
    /// Last second at which it is good, since 1970.
    pub expires: u64,
    /// True if that second has passed and the tenant's grace has not. The request is refused unless a policy's allow names a
    /// later end ([`crate::Verdict::expires`]).
    pub expired: bool,
}

/// The request being decided, for the length of one call.
///
/// A getter costs a tenth of a microsecond, one with a text about a third: ask for what is needed only, and once.
#[cfg_attr(target_family = "wasm", repr(transparent))]
#[derive(Debug)]
pub struct Request(pub(crate) Facts);

impl Request {
    /// Sixteen hexadecimal digits; the same in logs and in the answer's X-Request-ID.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The tenant's id.
    pub fn tenant(&self) -> String {
        self.0.tenant()
    }

    /// `GET` or `HEAD`.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// Lower case, without port.
    pub fn host(&self) -> String {
        self.0.host()
    }

    /// Decoded and normalised, as the link signs it.
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// First value of a query parameter as it was sent (not decoded). `None` if absent, and for the parameters that carry the
    /// link's token.
    ///
    /// The link signs path and expiry only: whoever holds a link can change its other parameters.
    pub fn query(&self, name: &str) -> Option<String> {
        self.0.query(name)
    }

    /// The address to return to: scheme, host, path and query, with the link's token in it and without the parameters named in
    /// `without`. A credential: give it only to whom the viewer is sent to.
    pub fn url(&self, without: &[&str]) -> String {
        let without: Vec<String> = without.iter().map(ToString::to_string).collect();
        self.0.url(&without)
    }

    /// First value of a header, `None` if absent, if not named in the manifest's `visible.headers`, or if not UTF-8.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// Value of a cookie, `None` if absent or not named in the manifest's `visible.cookies`.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.0.cookie(name)
    }

    /// Address of the viewer, as text. `None` behind a unix socket.
    pub fn remote_address(&self) -> Option<String> {
        self.0.remote_address()
    }

    /// Whether the viewer's token was believed.
    pub fn identity(&self) -> Identity {
        #[cfg(target_family = "wasm")]
        return match self.0.identity() {
            wit::Identity::Anonymous => Identity::Anonymous,
            wit::Identity::Invalid => Identity::Invalid,
            wit::Identity::Verified => Identity::Verified,
        };
        #[cfg(not(target_family = "wasm"))]
        self.0.identity()
    }

    /// One verified claim: a string as it is, anything else as JSON. `None` if absent or if the identity isn't verified.
    pub fn claim(&self, name: &str) -> Option<String> {
        self.0.claim(name)
    }

    /// Whom streams are counted under unless a policy says otherwise: the verified `sub`, else the address.
    pub fn viewer(&self) -> String {
        self.0.viewer()
    }

    /// The media.
    pub fn media(&self) -> Media {
        let media = self.0.media();
        Media { chat_id: media.chat_id, message_id: media.message_id }
    }

    /// The link.
    pub fn link(&self) -> Link {
        let link = self.0.link();
        Link { key_id: link.key_id, expires: link.expires, expired: link.expired }
    }

    /// The Range header as it was sent.
    pub fn range(&self) -> Option<String> {
        self.0.range()
    }

    /// Bytes of the media. Known to ads hooks; `None` for policy hooks, which run before anything is looked up.
    pub fn size(&self) -> Option<u64> {
        self.0.size()
    }

    /// Content type of the media, on the same terms as its size.
    pub fn content_type(&self) -> Option<String> {
        self.0.content_type()
    }
}

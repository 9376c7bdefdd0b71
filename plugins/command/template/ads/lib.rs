//! Heavy films begin with a visit to an ad page, once an hour; playlists begin with a film of the house.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::{format, string::String};
use streamvault_sdk::{
    Ads, AdsVerdict, Cookie, Edits, MediaPlaylist, PlaylistKind, Request, config,
};

/// One of the manifest's visible.cookies: no other could be read or set.
const SEEN: &str = "ad_seen";

/// The settings, read once for each instance.
#[derive(Debug)]
pub struct Plugin {
    /// Empty: no ad page.
    ad_page: &'static str,
    heavy_bytes: u64,
    seconds: u32,
    /// Empty: nothing in front of playlists.
    preroll: &'static str,
    preroll_seconds: u64,
}

impl Ads for Plugin {
    fn load() -> Result<Self, String> {
        Ok(Self {
            ad_page: config::text("ad_page").unwrap_or_default(),
            heavy_bytes: config::integer("heavy_bytes")
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or(u64::MAX),
            seconds: config::integer("seconds")
                .and_then(|seconds| seconds.try_into().ok())
                .unwrap_or(3_600),
            preroll: config::text("preroll").unwrap_or_default(),
            preroll_seconds: config::integer("preroll_seconds")
                .and_then(|s| s.try_into().ok())
                .unwrap_or_default(),
        })
    }

    fn decide(&self, request: &Request) -> AdsVerdict {
        let heavy = request.size().is_some_and(|size| size >= self.heavy_bytes);
        if self.ad_page.is_empty() || !heavy || request.cookie(SEEN).is_some() {
            return AdsVerdict::serve();
        }
        // Who returns has the cookie, and passes. (The plugin ads-gate gives out signed, one-time tickets instead.)
        let back = encode(&request.url(&[]));
        AdsVerdict::redirect(format!("{}?to={back}", self.ad_page)).cookie(Cookie::new(
            SEEN,
            "1",
            self.seconds,
        ))
    }

    fn playlist(&self, _request: &Request, kind: PlaylistKind, text: &str) -> Edits {
        let mut edits = Edits::none();
        if self.preroll.is_empty() || kind != PlaylistKind::HlsMedia {
            return edits;
        }
        let Some(playlist) = MediaPlaylist::parse(text) else {
            return edits;
        };
        // A live list loses its first segment every few seconds: what is put before it would jump.
        let fits = playlist
            .target_duration
            .as_ref()
            .is_some_and(|(_, most)| self.preroll_seconds <= *most);
        if let (Some(first), true, true) = (playlist.segments.first(), playlist.grows_only, fits) {
            let Self {
                preroll,
                preroll_seconds,
                ..
            } = self;
            edits.insert(
                first.start,
                format!("#EXTINF:{preroll_seconds},\n{preroll}\n#EXT-X-DISCONTINUITY\n"),
            );
        }
        edits
    }
}

streamvault_sdk::ads!(Plugin);

/// Percent-encodes what is not unreserved (RFC 3986 §2.3).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::Plugin;
    use streamvault_sdk::{Ads, AdsVerdict, PlaylistKind, testing};

    fn plugin() -> Plugin {
        testing::setting("ad_page", "https://ads.example/visit");
        testing::setting("heavy_bytes", 1_000);
        testing::setting("seconds", 3_600);
        testing::setting("preroll", "https://cdn.example/intro.ts");
        testing::setting("preroll_seconds", 4);
        Plugin::load().expect("the settings fit")
    }

    #[test]
    fn heavy_films_cost_a_visit() {
        let light = testing::Request::new().file(999, "video/mp4");
        let heavy = testing::Request::new().file(1_000, "video/mp4");
        assert_eq!(plugin().decide(&light.build()), AdsVerdict::serve());
        assert!(matches!(
            plugin().decide(&heavy.build()),
            AdsVerdict::Redirect { url, cookies } if url.contains("to=https%3A%2F%2F") && cookies.len() == 1
        ));
        assert_eq!(
            plugin().decide(&heavy.cookie("ad_seen", "1").build()),
            AdsVerdict::serve()
        );
    }

    #[test]
    fn playlists_begin_with_our_film() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n#EXT-X-ENDLIST\n";
        let request = testing::Request::new().build();
        let edits = plugin().playlist(&request, PlaylistKind::HlsMedia, text);
        let wanted = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:4,\nhttps://cdn.example/intro.ts\n\
                      #EXT-X-DISCONTINUITY\n#EXTINF:6,\n1.ts\n#EXT-X-ENDLIST\n";
        assert_eq!(edits.apply(text).as_deref(), Some(wanted));
        assert!(
            plugin()
                .playlist(&request, PlaylistKind::Vast, "<VAST/>")
                .is_empty()
        );
    }
}

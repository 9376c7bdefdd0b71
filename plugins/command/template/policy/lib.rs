//! Members stream at full speed, up to so many at once. Whoever is not signed in gets one slow stream.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::string::String;
use streamvault_sdk::{Identity, Policy, Request, Verdict, config, info};

/// The settings, read once for each instance.
#[derive(Debug)]
pub struct Plugin {
    member_streams: u32,
    guest_bytes_per_second: u64,
    blocked_pages: &'static [String],
}

impl Policy for Plugin {
    fn load() -> Result<Self, String> {
        // The manifest has a default and bounds for each: what arrives here fits them.
        Ok(Self {
            member_streams: config::integer("member_streams")
                .and_then(|streams| streams.try_into().ok())
                .unwrap_or(3),
            guest_bytes_per_second: config::integer("guest_bytes_per_second")
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or(500_000),
            blocked_pages: config::texts("blocked_pages"),
        })
    }

    fn decide(&self, request: &Request) -> Verdict {
        // `referer` is one of the manifest's visible.headers: without that it would never be seen here.
        if let Some(page) = request.header("referer")
            && self
                .blocked_pages
                .iter()
                .any(|blocked| page.starts_with(blocked.as_str()))
        {
            info!("blocked page {page}");
            return Verdict::deny(403, "This video can't be played from that page.");
        }
        match request.identity() {
            Identity::Verified => Verdict::allow().viewer_streams(self.member_streams),
            Identity::Anonymous => Verdict::allow()
                .viewer_streams(1)
                .bytes_per_second(self.guest_bytes_per_second),
            Identity::Invalid => Verdict::deny(401, "Your sign-in has expired. Sign in again."),
        }
    }
}

streamvault_sdk::policy!(Plugin);

#[cfg(test)]
mod tests {
    use super::Plugin;
    use streamvault_sdk::{Policy, Verdict, testing};

    fn decide(request: testing::Request) -> Verdict {
        testing::setting("member_streams", 3);
        testing::setting("guest_bytes_per_second", 500_000);
        testing::setting("blocked_pages", ["https://thief.example/"]);
        Plugin::load()
            .expect("the settings fit")
            .decide(&request.build())
    }

    #[test]
    fn members_and_guests() {
        assert_eq!(
            decide(testing::Request::new().claim("sub", "anna")),
            Verdict::allow().viewer_streams(3)
        );
        assert_eq!(
            decide(testing::Request::new()),
            Verdict::allow().viewer_streams(1).bytes_per_second(500_000)
        );
    }

    #[test]
    fn a_forged_token_is_no_guest() {
        assert!(matches!(
            decide(testing::Request::new().invalid_token()),
            Verdict::Deny { status: 401, .. }
        ));
    }

    #[test]
    fn blocked_pages() {
        let at = |page| decide(testing::Request::new().header("referer", page));
        assert!(matches!(
            at("https://thief.example/films"),
            Verdict::Deny { status: 403, .. }
        ));
        assert!(matches!(at("https://films.example/"), Verdict::Allow(_)));
    }
}

use alloc::{format, string::String};
use core::time::Duration;
use streamvault_sdk::{Request, clock, config, kv, random, signature::Key, warn};

/// Who a ticket or a pass is for.
#[derive(Clone, Copy, Debug)]
enum Bind {
    Viewer,
    Address,
    Nobody,
}

/// Tickets (back from the ad, good once, for one file) and passes (cookies, for all files of the tenant).
#[derive(Debug)]
pub(crate) struct Tickets {
    ticket: Key,
    pass: Key,
    bind: Bind,
    ticket_life: Duration,
    /// Seconds that an ad takes: before them no ticket is good.
    visit: u64,
    pub(crate) pass_life: Duration,
}

/// What a ticket turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Good, and now used up.
    Good,
    /// Ours, for this viewer and file, but used before, too early or too late; or nobody can note that it is used now.
    Spent,
    /// Forged, or for another tenant, viewer or file.
    Foreign,
}

impl Tickets {
    pub(crate) fn load(secret: &str) -> Result<Self, String> {
        let tickets = Self {
            ticket: Key::new(secret, "ticket"),
            pass: Key::new(secret, "pass"),
            bind: match config::text("bind") {
                None | Some("viewer") => Bind::Viewer,
                Some("address") => Bind::Address,
                Some("nobody") => Bind::Nobody,
                Some(other) => return Err(format!("bind is `viewer`, `address` or `nobody`, not `{other}`")),
            },
            ticket_life: life("ticket_minutes", 15, 60)?,
            visit: config::integer("min_visit_seconds").and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(5),
            pass_life: life("pass_hours", 6, 3_600)?,
        };
        if tickets.visit >= tickets.ticket_life.as_secs() {
            return Err("min_visit_seconds must be shorter than ticket_minutes: no ticket would ever be good".into());
        }
        Ok(tickets)
    }

    /// A ticket for who asks, for the file that is asked for.
    pub(crate) fn issue(&self, request: &Request) -> String {
        let begin = format!("{}", clock::seconds() + self.visit);
        let end = end(self.ticket_life);
        let nonce = random::hex(12);
        let signature = self.ticket.sign(&self.ticket_parts(request, &begin, &end, &nonce).each());
        format!("{begin}.{end}.{nonce}.{signature}")
    }

    /// Takes a ticket.
    pub(crate) fn redeem(&self, request: &Request, ticket: &str) -> Shown {
        let mut pieces = ticket.split('.');
        let (Some(begin), Some(end), Some(nonce), Some(signature), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Shown::Foreign;
        };
        if !self.ticket.verify(&self.ticket_parts(request, begin, end, nonce).each(), signature) {
            return Shown::Foreign;
        }
        if is_ahead(begin) || !is_ahead(end) {
            return Shown::Spent;
        }
        // Used ones are remembered, not issued ones: whoever only asks must not fill the store.
        match kv::set_if_absent(&format!("used:{nonce}"), "1", self.ticket_life) {
            Ok(true) => Shown::Good,
            Ok(false) => Shown::Spent,
            Err(error @ kv::Error::Unavailable) => {
                warn!("a ticket is taken without knowing whether it was used before: {error}");
                Shown::Good
            }
            // Who can fill the store would otherwise make all tickets good for ever.
            Err(error) => {
                warn!("a ticket is refused, since it can't be noted that it is used: {error}");
                Shown::Spent
            }
        }
    }

    /// A short name of the viewer for keys of the store.
    pub(crate) fn viewer(&self, request: &Request) -> String {
        let viewer = request.viewer();
        if viewer.len() <= 128 { viewer } else { self.pass.sign(&["viewer", &viewer]) }
    }

    /// The value of a pass cookie.
    pub(crate) fn pass(&self, request: &Request) -> String {
        let end = end(self.pass_life);
        let signature = self.pass.sign(&[&request.tenant(), &self.bound(request), &end]);
        format!("{end}.{signature}")
    }

    pub(crate) fn holds(&self, request: &Request, pass: &str) -> bool {
        pass.split_once('.').is_some_and(|(end, signature)| {
            is_ahead(end) && self.pass.verify(&[&request.tenant(), &self.bound(request), end], signature)
        })
    }

    fn bound(&self, request: &Request) -> String {
        match self.bind {
            Bind::Viewer => request.viewer(),
            Bind::Address => request.remote_address().unwrap_or_default(),
            Bind::Nobody => String::new(),
        }
    }

    fn ticket_parts(&self, request: &Request, begin: &str, end: &str, nonce: &str) -> Parts {
        let media = request.media();
        Parts([
            request.tenant(),
            self.bound(request),
            format!("{}/{}", media.chat_id, media.message_id),
            begin.into(),
            end.into(),
            nonce.into(),
        ])
    }
}

struct Parts([String; 6]);

impl Parts {
    fn each(&self) -> [&str; 6] {
        self.0.each_ref().map(String::as_str)
    }
}

fn life(setting: &str, default: u64, unit: u64) -> Result<Duration, String> {
    let count = match config::integer(setting) {
        None => default,
        Some(count) => u64::try_from(count).map_err(|_| format!("{setting} must not be below 1"))?,
    };
    // The store keeps nothing longer than 400 days.
    let seconds = count.saturating_mul(unit);
    if (1..=34_560_000).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(format!("{setting} must be at least 1, and not beyond 400 days"))
    }
}

fn end(life: Duration) -> String {
    format!("{}", clock::seconds() + life.as_secs())
}

fn is_ahead(end: &str) -> bool {
    end.parse::<u64>().is_ok_and(|end| clock::seconds() < end)
}

use crate::{
    breaks,
    heavy::Heavy,
    ticket::{Shown, Tickets},
};
use alloc::{format, string::String};
use core::time::Duration;
use streamvault_sdk::{AdsVerdict, Cookie, Request, config, kv, warn};

/// The pass; the manifest makes it visible.
const COOKIE: &str = "sv_pass";

/// Longest address that the contract takes.
const LONGEST: usize = 4_096;

/// Parameters of an address that is made shorter. Looking at thousands of them would take longer than a call may, and a call that is
/// ended serves without an ad.
const MOST_PARAMETERS: usize = 64;

/// How long returns that didn't work are counted.
const ROUND: Duration = Duration::from_secs(600);

/// Heavy files, and what stands before them.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) heavy: Heavy,
    template: &'static str,
    parameter: &'static str,
    /// Where a viewer goes whose returns don't work.
    stuck: String,
    rounds: i64,
    tickets: Tickets,
    /// Whether a passed address may go on with the file without the cookie.
    players: bool,
}

impl Gate {
    pub(crate) fn load() -> Result<Option<Self>, String> {
        let template = config::text("gate_url").unwrap_or_default();
        if template.is_empty() {
            return Ok(None);
        }
        breaks::check_address("gate_url", &template.replace("{return}", "").replace("{tenant}", ""))?;
        if !template.contains("{return}") {
            return Err("gate_url needs `{return}` where the address to return to goes".into());
        }
        if template.replace("{tenant}", &"t".repeat(64)).len() > LONGEST / 2 {
            return Err("gate_url is too long: it leaves no room for the address to return to".into());
        }
        let Some(secret) = config::text("secret").filter(|secret| secret.len() >= 16) else {
            return Err("gate_url needs a `secret` of at least 16 characters".into());
        };
        let stuck = config::text("stuck_url").unwrap_or_default();
        if !stuck.is_empty() {
            breaks::check_address("stuck_url", stuck)?;
        }
        Ok(Some(Self {
            heavy: Heavy::load()?,
            template,
            parameter: config::text("parameter").unwrap_or("ticket"),
            stuck: stuck.into(),
            rounds: config::integer("rounds").unwrap_or(3),
            tickets: Tickets::load(secret)?,
            players: config::boolean("players"),
        }))
    }

    pub(crate) fn decide(&self, request: &Request) -> AdsVerdict {
        if request.cookie(COOKIE).is_some_and(|pass| self.tickets.holds(request, &pass)) {
            return AdsVerdict::serve();
        }
        let shown = request.query(self.parameter).map(|ticket| self.tickets.redeem(request, &ticket));
        if shown == Some(Shown::Good) {
            return self.let_in(request);
        }
        if self.players && self.has_grant(request) {
            return AdsVerdict::serve();
        }
        // Only tickets that we gave to this viewer are counted: what anybody can write must not fill the store.
        if shown == Some(Shown::Spent) && self.is_stuck(request) {
            return AdsVerdict::redirect(self.way_out(request));
        }
        AdsVerdict::redirect(self.to_the_ad(request))
    }

    /// Where the ad is, with the address to return to. A viewer can make his own address as long as he likes, so one that doesn't fit
    /// loses what the link didn't bring; one that still doesn't fit can't be returned to.
    fn to_the_ad(&self, request: &Request) -> String {
        let ticket = self.tickets.issue(request);
        let whole = request.url(&[self.parameter]);
        let address = self.fill(request, &self.with_ticket(whole.clone(), &ticket));
        if address.len() <= LONGEST {
            return address;
        }
        if let Some(bare) = bare(request, &whole) {
            let address = self.fill(request, &self.with_ticket(bare, &ticket));
            if address.len() <= LONGEST {
                return address;
            }
        }
        warn!("the address to return to is too long for a redirect: the viewer is sent to stuck_url");
        self.way_out(request)
    }

    fn let_in(&self, request: &Request) -> AdsVerdict {
        if self.players
            && let Some(key) = grant_key(request)
            && let Err(error) = kv::set(&key, "1", self.tickets.pass_life)
        {
            warn!("a player without cookies will be asked again: {error}");
        }
        let life = u32::try_from(self.tickets.pass_life.as_secs()).unwrap_or(u32::MAX);
        AdsVerdict::serve().cookie(Cookie::new(COOKIE, self.tickets.pass(request), life))
    }

    fn has_grant(&self, request: &Request) -> bool {
        let Some(key) = grant_key(request) else { return false };
        match kv::get(&key) {
            Ok(grant) => grant.is_some(),
            Err(error) => {
                warn!("who has passed is not known: {error}");
                false
            }
        }
    }

    /// Counts a return that didn't work: a browser without cookies would go round for ever.
    fn is_stuck(&self, request: &Request) -> bool {
        let media = request.media();
        let key = format!("round:{}:{}:{}", self.tickets.viewer(request), media.chat_id, media.message_id);
        kv::increment(&key, 1, ROUND).is_ok_and(|rounds| rounds > self.rounds)
    }

    fn way_out(&self, request: &Request) -> String {
        if self.stuck.is_empty() { self.fill(request, "") } else { self.stuck.clone() }
    }

    fn with_ticket(&self, mut address: String, ticket: &str) -> String {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(self.parameter);
        address.push('=');
        address.push_str(ticket);
        address
    }

    fn fill(&self, request: &Request, back: &str) -> String {
        self.template.replace("{tenant}", &request.tenant()).replace("{return}", &escape(back))
    }
}

/// A passed address and file; no cookie needed.
fn grant_key(request: &Request) -> Option<String> {
    let media = request.media();
    Some(format!("grant:{}:{}:{}", request.remote_address()?, media.chat_id, media.message_id))
}

/// An address with only those parameters that carry the link's token: they are the ones that can't be read.
fn bare(request: &Request, whole: &str) -> Option<String> {
    let (path, query) = whole.split_once('?')?;
    if query.split('&').count() > MOST_PARAMETERS {
        return None;
    }
    let mut address = String::from(path);
    let mut mark = '?';
    for pair in query.split('&') {
        if request.query(pair.split('=').next().unwrap_or_default()).is_none() {
            address.push(mark);
            address.push_str(pair);
            mark = '&';
        }
    }
    Some(address)
}

/// For a place in a query.
fn escape(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(char::from(DIGITS[usize::from(byte >> 4)]));
            escaped.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    escaped
}

//! Servers with signed links as tenants.

use crate::cache::Shared;
use crate::domains;
use crate::ledger::Ledger;
use crate::links::{self, LinkSettings};
use crate::listeners::{self, Listener};
use crate::scope::Scope;
use crate::tree::Directive;
use crate::units::size;
use secrecy::SecretString;

/// A link secret, and the file that the settings name for it.
#[derive(Clone, Debug)]
pub struct LinkSecretFile {
    /// Name of the file, without its folder.
    pub name: String,
    /// What is to be in it, without a line break at its end.
    pub secret: SecretString,
}

/// A tenant to be.
#[derive(Clone, Debug)]
pub(crate) struct TenantDraft {
    pub(crate) id: String,
    pub(crate) domains: Vec<String>,
    pub(crate) link: LinkSettings,
    pub(crate) limits: Limits,
}

/// `limit_conn` and `limit_rate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) streams: Option<u32>,
    pub(crate) viewer_streams: Option<u32>,
    pub(crate) viewer_bytes_per_second: Option<u64>,
}

/// What servers came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) tenants: Vec<TenantDraft>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) shared: Shared,
}

impl Found {
    /// Looks at a server; `outer` are the blocks around it.
    pub(crate) fn server(&mut self, outer: &Scope<'_>, server: &Directive, ledger: &mut Ledger) {
        let scope = outer.with(server.children());
        let mut places = Vec::new();
        signed(&scope, server, &mut places);
        let mut link: Option<(LinkSettings, Limits)> = None;
        for (scope, block) in &places {
            let Some(found) = links::read(scope, ledger) else { continue };
            links::verdicts(block.children(), ledger);
            links::verdicts(server.children(), ledger);
            if block.name == "location" {
                let path = block.arguments.last().map_or("", String::as_str);
                let path = path.trim_start_matches('^');
                if !(path == "/" || path.starts_with("/stream")) {
                    ledger.note(
                        block,
                        "paths here are /stream/CHAT/MESSAGE[/NAME] and /v/SLUG[/NAME]: have the frontend sign those",
                    );
                }
            }
            self.shared.read(scope, ledger);
            let limits = limits(scope, ledger);
            match &link {
                None => link = Some((found, limits)),
                Some((first, _)) if first.is_same(&found) => {}
                Some(_) => ledger.note(block, "a tenant has one kind of links: give these a domain of their own"),
            }
        }
        let Some((link, limits)) = link else { return };
        listeners::read(&scope, server.children(), &mut self.listeners, ledger);
        let domains = domains::read(server.children(), ledger);
        self.add(domains, link, limits, server, ledger);
    }

    fn add(
        &mut self,
        mut domains: Vec<String>,
        link: LinkSettings,
        limits: Limits,
        server: &Directive,
        ledger: &mut Ledger,
    ) {
        let same = self.tenants.iter().position(|tenant| tenant.link.is_same(&link));
        for (index, other) in self.tenants.iter().enumerate() {
            domains.retain(|domain| {
                let taken = other.domains.contains(domain);
                if taken && Some(index) != same {
                    ledger.note(server, &format!("{domain} leads to the tenant {} already", other.id));
                }
                !taken
            });
        }
        if let Some(known) = same.and_then(|index| self.tenants.get_mut(index)) {
            known.domains.append(&mut domains);
            if known.limits != limits {
                ledger.note(server, &format!("the limits of the tenant {} are those of its first server", known.id));
            }
            return;
        }
        let Some(first) = domains.first() else {
            ledger.note(server, "has no domain of its own that could be carried over, and is left out");
            return;
        };
        let id = self.free_id(first);
        self.tenants.push(TenantDraft { id, domains, link, limits });
    }

    fn free_id(&self, domain: &str) -> String {
        let text: String = domain.trim_start_matches("*.").chars().map(|c| if c == '.' { '-' } else { c }).collect();
        let text = if text == "*" { "films".to_owned() } else { text.chars().take(60).collect() };
        let taken = |id: &str| self.tenants.iter().any(|tenant| tenant.id == id);
        let numbered = (2..).map(|number: u32| format!("{text}-{number}"));
        std::iter::once(text.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(text)
    }
}

/// The places of a server at which links are signed, inner ones first: what they say of the rest outranks what is around them.
fn signed<'a>(scope: &Scope<'a>, block: &'a Directive, places: &mut Vec<(Scope<'a>, &'a Directive)>) {
    for inner in block.children().iter().filter(|inner| inner.name == "location" && inner.block.is_some()) {
        signed(&scope.with(inner.children()), inner, places);
    }
    if scope.one("secure_link_md5").is_some() {
        places.push((scope.clone(), block));
    }
}

fn limits(scope: &Scope<'_>, ledger: &mut Ledger) -> Limits {
    let mut limits = Limits::default();
    for directive in scope.all("limit_conn") {
        let of_zone = |zone: &&Directive| {
            zone.argument(1)
                .strip_prefix("zone=")
                .is_some_and(|name| name.split(':').next() == Some(directive.argument(0)))
        };
        let zone = scope.every("limit_conn_zone").find(of_zone);
        let streams = directive.argument(1).parse::<u32>().ok().filter(|streams| *streams > 0);
        match (zone.map(|zone| zone.argument(0)), streams) {
            (Some("$binary_remote_addr" | "$remote_addr"), Some(streams)) => {
                limits.viewer_streams = Some(streams);
                ledger.note(directive, "counts films at once, not connections: viewer_streams");
            }
            (Some("$server_name" | "$host" | "$http_host"), Some(streams)) => {
                limits.streams = Some(streams);
                ledger.note(directive, "counts streams at once, not connections: streams");
            }
            _ => {
                ledger.note(directive, "limits go by viewer or by tenant");
                continue;
            }
        }
        if let Some(zone) = zone {
            ledger.take(zone);
        }
    }
    if let Some(directive) = scope.one("limit_rate") {
        match size(directive.argument(0)) {
            Some(0) => ledger.take(directive),
            Some(rate) => {
                let connections = limits.viewer_streams.unwrap_or(1);
                limits.viewer_bytes_per_second = Some(rate.saturating_mul(u64::from(connections)));
                ledger.note(
                    directive,
                    "nginx counts each connection, here it is all that one viewer gets: viewer_bytes_per_second",
                );
            }
            None => ledger.note(directive, "a policy plugin sets rates by request"),
        }
    }
    limits
}

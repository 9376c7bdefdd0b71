//! How often who may ask: rates of the settings and of tenants, and what a decision looks like to the client.
//!
//! Whoever answers a service route asks [`RateBook::check`] once it knows who asks, and tells the client by [`tell`]. Media is asked about by
//! the flow, after the viewer is known.

use crate::fields::Fields;
use crate::identify::{Identified, NamedBy};
use crate::redis_server::server;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::tenant::Tenant;
use arc_swap::ArcSwap;
use config::GatewaySettings;
use config::gateway::{RateLimit, Redis};
use http::header::{HeaderName, HeaderValue};
use rates::{FleetConfig, Passed, Rate, RateStats, Rates, Route, RouteRates, Who};
use redis_link::AddressError;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// In the cache folder: what this gateway has sent for each tenant this month.
const SENT: &str = "sent.json";

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What settings say of one bucket: nothing, that it has no bound, or its rate.
type Choice = Option<Option<Rate>>;

/// What settings say of one route.
#[derive(Clone, Copy, Debug, Default)]
struct Choices {
    address: Choice,
    identity: Choice,
    tenant: Choice,
}

/// What one part of the settings says of all routes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateChoices {
    stream: Choices,
    sign: Choices,
    auth: Choices,
    api: Choices,
}

/// The rates that hold, and who has used them.
pub(crate) struct RateBook {
    pub(crate) rates: Arc<Rates>,
    /// For tenants that don't say otherwise.
    common: ArcSwap<RateChoices>,
}

impl RateChoices {
    pub(crate) fn new(settings: &config::gateway::Rates) -> Self {
        let route = |route: &config::gateway::RouteRates| Choices {
            address: choice(route.address),
            identity: choice(route.identity),
            tenant: choice(route.tenant),
        };
        Self {
            stream: route(&settings.stream),
            sign: route(&settings.sign),
            auth: route(&settings.auth),
            api: route(&settings.api),
        }
    }

    fn of(&self, route: Route) -> &Choices {
        match route {
            Route::Stream => &self.stream,
            Route::Sign => &self.sign,
            Route::Auth => &self.auth,
            Route::Api => &self.api,
        }
    }
}

/// A rate that the settings' own check let pass can be counted.
fn choice(limit: Option<RateLimit>) -> Choice {
    limit.map(|limit| match limit {
        RateLimit::Unlimited => None,
        RateLimit::Bounded { count, window } => Rate::new(count, window.get()).ok(),
    })
}

/// Where neither tenant nor settings say anything.
fn usual(route: Route) -> RouteRates {
    let a_minute = |count| Rate::new(count, Duration::from_secs(60)).ok();
    match route {
        Route::Stream => RouteRates::default(),
        Route::Sign => RouteRates { address: a_minute(5), identity: a_minute(5), tenant: None },
        Route::Auth => RouteRates { address: a_minute(10), ..RouteRates::default() },
        Route::Api => RouteRates { address: a_minute(60), identity: a_minute(60), tenant: None },
    }
}

impl RateBook {
    /// Connects nowhere.
    pub(crate) fn new(settings: &GatewaySettings, now: i64) -> io::Result<Self> {
        let fleet = settings.redis.as_ref().map(|redis| fleet(redis, settings)).transpose();
        let fleet = fleet.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let rates = Rates::new(fleet, Some(settings.cache.folder.join(SENT)), now)?;
        let common = ArcSwap::from_pointee(RateChoices::new(&settings.rates));
        Ok(Self { rates: Arc::new(rates), common })
    }

    /// Other settings hold from now on. What was used stays used.
    pub(crate) fn replace(&self, common: RateChoices) {
        self.common.store(Arc::new(common));
    }

    /// Takes one request of an address, and of an identity that was verified, from its rates. A route without rates costs nothing.
    pub(crate) async fn check(
        &self,
        route: Route,
        tenant: &Tenant,
        remote: Option<&Remote>,
        identity: Option<&str>,
        tick: Duration,
    ) -> Result<Passed, Refusal> {
        let rates = self.effective(route, tenant);
        let address = remote.map(|remote| &*remote.household);
        let who = Who { tenant: &tenant.id, address, identity };
        let checked = self.rates.check(route, &rates, &who, tick).await;
        checked.map_err(|limited| Refusal::TooOften(Box::new(limited)))
    }

    /// The same for a request for media.
    pub(crate) async fn check_stream(&self, identified: &Identified<'_>, tick: Duration) -> Result<Passed, Refusal> {
        let authorized = &identified.authorized;
        let identity = (identified.named_by == NamedBy::Token).then_some(&*identified.viewer);
        self.check(Route::Stream, &authorized.tenant, authorized.accepted.remote, identity, tick).await
    }

    fn effective(&self, route: Route, tenant: &Tenant) -> RouteRates {
        let own = tenant.rates.of(route);
        let common = *self.common.load().of(route);
        let usual = usual(route);
        RouteRates {
            address: own.address.or(common.address).unwrap_or(usual.address),
            identity: own.identity.or(common.identity).unwrap_or(usual.identity),
            tenant: own.tenant.or(common.tenant).unwrap_or(usual.tenant),
        }
    }
}

fn fleet(redis: &Redis, settings: &GatewaySettings) -> Result<FleetConfig, AddressError> {
    let gateways = settings.peers.as_ref().map_or(1, |peers| peers.members.len() as u64);
    Ok(FleetConfig {
        server: server(redis)?,
        prefix: redis.prefix.clone(),
        timeout: redis.rate_timeout.get(),
        gateways,
    })
}

/// Tells the client what it may still do.
pub(crate) fn tell(headers: &mut Fields, policy: Option<String>, limit: Option<String>) {
    for (name, value) in [(RATELIMIT_POLICY, policy), (RATELIMIT, limit)] {
        // Made of our own words and numbers.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Appends the series of rates and months, which tenants come to and go from.
pub(crate) fn write_metrics(stats: &RateStats, text: &mut Vec<u8>) {
    let mut out = String::with_capacity(1 << 10);
    // Writing to a String can't fail.
    let _ = render(stats, &mut out);
    text.extend_from_slice(out.as_bytes());
}

fn render(stats: &RateStats, out: &mut String) -> std::fmt::Result {
    let family = |out: &mut String, name: &str, kind: &str, help: &str| {
        writeln!(out, "# HELP streamvault_{name} {help}\n# TYPE streamvault_{name} {kind}")
    };
    family(out, "rates_total", "counter", "Requests that were held against rates, by what came of it.")?;
    for route in &stats.routes {
        let word = route.route.word();
        writeln!(out, "streamvault_rates_total{{route=\"{word}\",verdict=\"passed\"}} {}", route.passed)?;
        writeln!(out, "streamvault_rates_total{{route=\"{word}\",verdict=\"limited\"}} {}", route.limited)?;
    }
    family(out, "rates_alone_total", "counter", "Of these, requests that this gateway decided without Redis.")?;
    for route in &stats.routes {
        writeln!(out, "streamvault_rates_alone_total{{route=\"{}\"}} {}", route.route.word(), route.alone)?;
    }
    family(
        out,
        "rates_redis_failures_total",
        "counter",
        "Calls about rates, streams and months that Redis did not answer.",
    )?;
    writeln!(out, "streamvault_rates_redis_failures_total {}", stats.redis_failures)?;
    family(out, "rates_state", "gauge", "What rates rest on.")?;
    for (what, value) in [("buckets", stats.buckets), ("gateways", stats.gateways), ("redis_away", stats.redis_away)] {
        writeln!(out, "streamvault_rates_state{{what=\"{what}\"}} {value}")?;
    }
    if !stats.sent.is_empty() {
        family(out, "month_sent_bytes", "gauge", "Bytes that all gateways sent this month, for tenants with a quota.")?;
    }
    for (tenant, bytes) in &stats.sent {
        // Ids have no character that would have to be escaped.
        writeln!(out, "streamvault_month_sent_bytes{{tenant=\"{tenant}\"}} {bytes}")?;
    }
    Ok(())
}

//! Second step: the host picks the tenant, and the tenant may serve.

use crate::accept::Accepted;
use crate::refusal::Refusal;
use config::gateway::{self, Domain, Status};
use link::{LinkKey, LinkRules, RulesError, Scheme, SchemeRules, Verifier};
use std::collections::HashMap;
use std::sync::Arc;

/// One tenant, ready to judge its links.
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) links: Verifier,
}

/// Every tenant by its domains. Immutable: a change of settings makes a new one.
pub(crate) struct Tenants {
    exact: HashMap<String, Arc<Tenant>>,
    below: HashMap<String, Arc<Tenant>>,
    any: Option<Arc<Tenant>>,
    by_id: Vec<Arc<Tenant>>,
}

/// A request whose tenant is known and active.
pub(crate) struct Tenanted<'a> {
    pub(crate) accepted: Accepted<'a>,
    pub(crate) tenant: Arc<Tenant>,
}

/// A tenant's link rules don't hold together.
#[derive(Debug, thiserror::Error)]
#[error("tenant {id}: {source}")]
pub(crate) struct TenantError {
    id: String,
    source: RulesError,
}

impl Tenants {
    pub(crate) fn new(settings: &[gateway::Tenant]) -> Result<Self, TenantError> {
        let mut tenants = Self { exact: HashMap::new(), below: HashMap::new(), any: None, by_id: Vec::new() };
        for settings in settings {
            let links = Verifier::new(rules(&settings.link))
                .map_err(|source| TenantError { id: settings.id.clone(), source })?;
            let tenant = Arc::new(Tenant { id: settings.id.clone(), status: settings.status, links });
            for domain in &settings.domains {
                match domain {
                    Domain::Exact(name) => drop(tenants.exact.insert(name.clone(), tenant.clone())),
                    Domain::Subdomains(parent) => drop(tenants.below.insert(parent.clone(), tenant.clone())),
                    Domain::Any => tenants.any = Some(tenant.clone()),
                }
            }
            tenants.by_id.push(tenant);
        }
        Ok(tenants)
    }

    /// The tenant of a request. An exact name beats the longest `*.parent`, that beats `*`.
    pub(crate) fn resolve<'a>(&self, accepted: Accepted<'a>) -> Result<Tenanted<'a>, Refusal> {
        let tenant = self.of_host(&accepted.host).ok_or(Refusal::UnknownHost)?.clone();
        match tenant.status {
            Status::Active => Ok(Tenanted { accepted, tenant }),
            Status::Suspended => Err(Refusal::Suspended),
        }
    }

    /// The tenant with this id, or the only one there is.
    pub(crate) fn by_id(&self, id: Option<&str>) -> Option<&Arc<Tenant>> {
        match id {
            Some(id) => self.by_id.iter().find(|tenant| tenant.id == id),
            None => self.by_id.first().filter(|_| self.by_id.len() == 1),
        }
    }

    fn of_host(&self, host: &str) -> Option<&Arc<Tenant>> {
        let parents = host.match_indices('.').filter_map(|(dot, _)| self.below.get(host.get(dot + 1..)?));
        self.exact.get(host).or_else(|| parents.into_iter().next()).or(self.any.as_ref())
    }
}

fn rules(settings: &gateway::Link) -> LinkRules {
    let keys =
        settings.secrets.iter().map(|key| LinkKey::new(key.id.clone(), key.secret.expose().to_owned())).collect();
    let scheme = match settings.scheme {
        gateway::Scheme::NginxMd5 => Scheme::NginxMd5,
        gateway::Scheme::HmacSha256 => Scheme::HmacSha256,
    };
    let schemes =
        vec![SchemeRules { scheme, param: settings.token_parameter.clone(), expression: settings.expression.clone() }];
    LinkRules { keys, schemes, expires_param: settings.expires_parameter.clone(), strict: settings.strict }
}

#[cfg(test)]
mod tests {
    use super::Tenants;
    use config::GatewaySettings;

    #[test]
    fn the_closest_domain_wins() {
        let text = r#"
            hive = { address = "unix:/x", token = "t" }
            [[tenant]]
            id = "a"
            domains = ["films.example.com", "*.a.example.com"]
            link.secrets = [{ id = "1", secret = "s" }]
            [[tenant]]
            id = "b"
            domains = ["*.example.com"]
            link.secrets = [{ id = "1", secret = "s" }]
        "#;
        let loaded = config::parse::<GatewaySettings>(text, std::path::Path::new("test")).unwrap();
        let tenants = Tenants::new(&loaded.settings.tenant).unwrap();
        for (host, id) in [
            ("films.example.com", Some("a")),
            ("x.y.a.example.com", Some("a")),
            ("a.example.com", Some("b")),
            ("other.example.com", Some("b")),
            ("example.com", None),
            ("evil-example.com", None),
            ("com", None),
        ] {
            assert_eq!(tenants.of_host(host).map(|t| t.id.as_str()), id, "{host}");
        }
        assert!(tenants.by_id(None).is_none(), "with two tenants one must be named");
        assert!(tenants.by_id(Some("b")).is_some());
    }
}

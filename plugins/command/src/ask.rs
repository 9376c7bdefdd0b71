//! Puts one step's question to a plugin.

use crate::answer;
use crate::error::CommandError;
use crate::facts::{self, TENANT};
use crate::recorded::{self, Step};
use crate::session::{Session, tenant};
use plugin_host::{Chain, Finished, PlaylistKind, Request, Stats};
use plugin_package::Hook;
use std::path::Path;
use std::sync::Arc;
use toml::Table;

/// A question, ready to be put as often as one likes.
pub(crate) enum Question {
    Policy(Arc<Request>),
    Ads(Arc<Request>),
    Playlist(Arc<Request>, PlaylistKind, String),
    Tenant(String),
    Observe(Vec<Finished>),
}

impl Question {
    /// The step's question to a plugin of this hook; `file` is where the step stands, `number` becomes its request's id.
    pub(crate) fn of(step: &Step, hook: Hook, file: &Path, number: usize) -> Result<Self, CommandError> {
        let wrong = |message: String| CommandError::content(file, format!("step {number}: {message}"));
        let request = || facts::request(&step.request, tenant_of(step), number).map_err(wrong);
        let fits = match hook {
            Hook::Policy => step.playlist.is_none() && step.host.is_none() && step.finished.is_empty(),
            Hook::Ads => step.host.is_none() && step.finished.is_empty(),
            Hook::Tenant => step.playlist.is_none() && step.finished.is_empty(),
            Hook::Observe => step.playlist.is_none() && step.host.is_none(),
        };
        if !fits {
            let message = "host is for tenant plugins, finished for observe plugins, playlist for ads plugins";
            return Err(wrong(message.to_owned()));
        }
        Ok(match (hook, &step.playlist) {
            (Hook::Policy, _) => Self::Policy(request()?),
            (Hook::Ads, None) => Self::Ads(request()?),
            (Hook::Ads, Some(playlist)) => {
                let kind = match playlist.kind {
                    recorded::PlaylistKind::HlsMaster => PlaylistKind::HlsMaster,
                    recorded::PlaylistKind::HlsMedia => PlaylistKind::HlsMedia,
                    recorded::PlaylistKind::Vast => PlaylistKind::Vast,
                };
                Self::Playlist(request()?, kind, playlist.read(file)?)
            }
            (Hook::Tenant, _) => Self::Tenant(step.host.clone().unwrap_or_else(|| "films.example".to_owned())),
            (Hook::Observe, _) => {
                let finished = step.finished.iter().enumerate();
                Self::Observe(finished.map(|(index, one)| facts::finished(one, number * 1_000 + index)).collect())
            }
        })
    }

    /// Keys that an expectation may name.
    pub(crate) fn known(&self) -> &'static [&'static str] {
        match self {
            Self::Policy(_) => answer::POLICY,
            Self::Ads(_) => answer::ADS,
            Self::Playlist(..) => answer::PLAYLIST,
            Self::Tenant(_) => answer::TENANT,
            Self::Observe(_) => answer::OBSERVE,
        }
    }

    /// Puts it, and returns what came of it.
    pub(crate) async fn put(&self, session: &Session, chain: &Chain) -> Table {
        match self {
            Self::Policy(request) => answer::policy(chain.policy(request).await),
            Self::Ads(request) => answer::ads(chain.ads(request).await),
            Self::Playlist(request, kind, text) => answer::playlist(chain.playlist(request, *kind, text).await, text),
            Self::Tenant(host) => match chain.tenant(host, &|_| false).await {
                Ok(found) => answer::tenant(found),
                Err(failed) => answer::failed(&failed.failure),
            },
            Self::Observe(finished) => {
                // Nobody waits for an observe plugin, so that only its statistics know whether it failed.
                let before = session.stats();
                chain.observe(finished.clone()).await;
                answer::heard(new_failure(before.as_ref(), session.stats().as_ref()))
            }
        }
    }

    /// The same without looking at the answer; true if there was one.
    pub(crate) async fn put_blindly(&self, chain: &Chain) -> bool {
        match self {
            Self::Policy(request) => !matches!(chain.policy(request).await, plugin_host::Policy::Failed { .. }),
            Self::Ads(request) => !matches!(chain.ads(request).await, plugin_host::Ads::Failed { .. }),
            Self::Playlist(request, kind, text) => {
                !matches!(chain.playlist(request, *kind, text).await, plugin_host::Playlist::Failed { .. })
            }
            Self::Tenant(host) => chain.tenant(host, &|_| false).await.is_ok(),
            Self::Observe(finished) => {
                chain.observe(finished.clone()).await;
                true
            }
        }
    }
}

/// A step for when nobody recorded any: an ordinary request for a large film.
pub(crate) fn ordinary(hook: Hook) -> Step {
    let request = recorded::Facts { size: Some(1 << 30), ..recorded::Facts::default() };
    let finished = if hook == Hook::Observe { vec![recorded::Finished::default()] } else { Vec::new() };
    Step { request, finished, ..Step::default() }
}

/// Who is asked: this plugin alone.
pub(crate) fn chain(session: &Session, of: &str) -> Result<Chain, CommandError> {
    let hook = session.hook();
    let asked = session.plugins.chain(hook, &tenant(hook, of));
    asked.ok_or_else(|| CommandError::failed(format!("plugin {}: is not asked about tenant {of}", session.name)))
}

/// Whose request a step's is.
pub(crate) fn tenant_of(step: &Step) -> &str {
    step.tenant.as_deref().unwrap_or(TENANT)
}

fn new_failure(before: Option<&Stats>, after: Option<&Stats>) -> Option<&'static str> {
    let (before, after) = (before?, after?);
    let more = |((_, old), (word, new)): (&(&'static str, u64), &(&'static str, u64))| (new > old).then_some(*word);
    before.failures.iter().zip(&after.failures).find_map(more)
}

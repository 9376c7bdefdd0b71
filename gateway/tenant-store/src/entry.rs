//! A tenant with its secrets, and what may become of it. Pure.

use crate::record::{Record, SecretNote, TenantSettings};
use config::gateway::{Link, LinkSecret, Tenant};
use config::{Secret, SecretError};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

/// A tenant. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// What is known of it.
    pub record: Record,
    /// Its link secrets by their names.
    pub(crate) secrets: BTreeMap<String, SecretString>,
}

/// Who changes something, and when in Unix seconds.
type By<'a> = (&'a str, u64);

impl Entry {
    /// A new tenant with one secret. `before` is what is left of a deleted one of this id.
    #[must_use]
    pub fn new(
        id: &str,
        settings: TenantSettings,
        secret: SecretString,
        (who, now): By<'_>,
        before: Option<&Self>,
    ) -> Self {
        let version = before.map_or(0, |before| before.record.version) + 1;
        let name = secret_name(version);
        let note = SecretNote { id: name.clone(), made_at: now, until: None };
        let record = Record {
            version,
            changed_at: now,
            changed_by: who.to_owned(),
            deleted: false,
            secrets: vec![note],
            settings,
        };
        Self { id: id.to_owned(), record, secrets: [(name, secret)].into() }
    }

    /// With other settings.
    #[must_use]
    pub fn changed(&self, settings: TenantSettings, by: By<'_>) -> Self {
        let mut entry = self.next(by);
        entry.record.settings = settings;
        entry
    }

    /// With a new secret that signs from now on. The others are accepted until `until`, or until they would have been dropped anyway.
    #[must_use]
    pub fn rotated(&self, secret: SecretString, until: u64, by: By<'_>) -> Self {
        let mut entry = self.next(by);
        let name = secret_name(entry.record.version);
        for note in &mut entry.record.secrets {
            note.until = Some(note.until.map_or(until, |earlier| earlier.min(until)));
        }
        entry.record.secrets.insert(0, SecretNote { id: name.clone(), made_at: by.1, until: None });
        entry.secrets.insert(name, secret);
        entry
    }

    /// Without secrets whose time is over at `now`; `None` if there are none. No change: each gateway sees by itself that they are over, so the
    /// version stays, and nothing that an operator does meanwhile is undone by it.
    #[must_use]
    pub fn pruned(&self, now: u64) -> Option<Self> {
        if !self.record.secrets.iter().any(|note| note.is_over(now)) {
            return None;
        }
        let mut entry = self.clone();
        entry.record.secrets.retain(|note| !note.is_over(now));
        let names: Vec<&str> = entry.record.secrets.iter().map(|note| note.id.as_str()).collect();
        entry.secrets.retain(|name, _| names.contains(&name.as_str()));
        Some(entry)
    }

    /// Gone. What is left tells other gateways so.
    #[must_use]
    pub fn deleted(&self, by: By<'_>) -> Self {
        let mut entry = self.next(by);
        entry.record.deleted = true;
        entry.record.secrets.clear();
        entry.secrets.clear();
        entry
    }

    /// Whether it stands where the other stood: it has been changed more often. Of two that were changed as often, apart from each other, a deleted one
    /// stands, then the one whose record is greater as text: all gateways choose alike.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |entry: &Self| {
            let Record { version, deleted, .. } = entry.record;
            let secrets: Vec<&str> = entry.secrets.values().map(ExposeSecret::expose_secret).collect();
            (version, deleted, serde_json::to_string(&entry.record).unwrap_or_default(), secrets.join(" "))
        };
        rank(self) > rank(other)
    }

    /// As the gateway's settings would have it at `now`: without secrets whose time is over, whether or not they are still kept.
    ///
    /// # Errors
    /// A secret is empty.
    pub fn tenant(&self, now: u64) -> Result<Tenant, SecretError> {
        let TenantSettings { domains, channels, status, branding, limits, link } = self.record.settings.clone();
        let secret = |note: &SecretNote| {
            let text = self.secrets.get(&note.id).map_or("", ExposeSecret::expose_secret);
            Ok(LinkSecret { id: note.id.clone(), secret: Secret::inline(text)?, scheme: None })
        };
        let notes = self.record.secrets.iter().filter(|note| !note.is_over(now));
        let secrets: Result<Vec<_>, SecretError> = notes.map(secret).collect();
        let link = link.apply(Link::with_secrets(secrets?));
        Ok(Tenant {
            id: self.id.clone(),
            domains,
            status,
            channels,
            link,
            branding,
            limits,
            hsts: None,
            rates: None,
            viewer: None,
            identity: None,
            sign: None,
            origins: Vec::new(),
        })
    }

    fn next(&self, (who, now): By<'_>) -> Self {
        let mut entry = self.clone();
        entry.record.version += 1;
        entry.record.changed_at = now;
        who.clone_into(&mut entry.record.changed_by);
        entry
    }
}

/// After the change that made it: no two of a tenant are alike.
fn secret_name(version: u64) -> String {
    format!("s{version}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Entry;
    use crate::record::TenantSettings;

    pub(crate) fn settings(domain: &str) -> TenantSettings {
        serde_json::from_value(serde_json::json!({ "domains": [domain], "channels": [-1001] })).unwrap()
    }

    fn signers(entry: &Entry, now: u64) -> Vec<String> {
        let tenant = entry.tenant(now).unwrap();
        tenant.link.secrets.iter().map(|secret| secret.secret.expose().to_owned()).collect()
    }

    #[test]
    fn secrets_come_first_and_go_when_their_time_is_over() {
        let made = Entry::new("a", settings("a.example"), "one".into(), ("ops", 100), None);
        assert_eq!((made.record.version, signers(&made, 100)), (1, vec!["one".to_owned()]));
        let second = made.rotated("two".into(), 500, ("ops", 200));
        assert_eq!(signers(&second, 200), ["two", "one"]);
        assert!(second.pruned(499).is_none());
        // The first one's end does not move away.
        let third = second.rotated("three".into(), 900, ("ops", 300));
        let until: Vec<_> = third.record.secrets.iter().map(|note| note.until).collect();
        assert_eq!(
            (signers(&third, 499), until),
            (vec!["three".into(), "two".into(), "one".into()], vec![None, Some(900), Some(500)])
        );
        assert_eq!(signers(&third, 500), ["three", "two"], "whether or not it could be dropped");
        let left = third.pruned(500).unwrap();
        assert_eq!((signers(&left, 500), left.record.version), (vec!["three".into(), "two".into()], 3));
        assert_eq!(signers(&left.pruned(900).unwrap(), 900), ["three"]);
        assert!(left.deleted(("ops", 1000)).tenant(1000).unwrap().link.secrets.is_empty());
    }

    #[test]
    fn what_goes_by_itself_undoes_nothing() {
        let made = Entry::new("a", settings("a.example"), "one".into(), ("ops", 100), None);
        let rotated = made.rotated("two".into(), 500, ("ops", 200));
        // Suspended at one gateway, in the moment in which another one drops the old secret.
        let suspended = rotated.changed(settings("suspended.example"), ("ops", 500));
        let pruned = rotated.pruned(500).unwrap();
        assert!(suspended.supersedes(&pruned) && !pruned.supersedes(&suspended));
        let (here, there) = (rotated.pruned(500).unwrap(), rotated.pruned(501).unwrap());
        assert!(!here.supersedes(&there) && !there.supersedes(&here));
    }

    #[test]
    fn all_gateways_choose_alike() {
        let first = Entry::new("a", settings("a.example"), "one".into(), ("ops", 100), None);
        let here = first.changed(settings("b.example"), ("ops", 200));
        let there = first.changed(settings("c.example"), ("ops", 200));
        assert!(here.supersedes(&first) && !first.supersedes(&here) && !here.supersedes(&here));
        assert!(here.supersedes(&there) != there.supersedes(&here));
        let gone = first.deleted(("ops", 150));
        assert!(gone.supersedes(&here) && gone.supersedes(&there));
        let again = Entry::new("a", settings("a.example"), "two".into(), ("ops", 300), Some(&gone));
        assert!(again.supersedes(&gone) && !gone.supersedes(&again));
    }

    #[test]
    fn no_secret_is_printed() {
        let entry = Entry::new("a", settings("a.example"), "the-secret".into(), ("ops", 100), None);
        assert!(!format!("{entry:?}").contains("the-secret"));
    }
}

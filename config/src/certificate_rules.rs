//! Bounds of the settings that are about TLS, and about proxies in front.

use crate::gateway::{AcmeChallenge, CertificateStore, GatewaySettings, Listener};
use crate::report::Report;

const MOST_ORDERS: u32 = 10_000;

impl GatewaySettings {
    pub(crate) fn check_tls(&self, listener: &Listener, key: &str, report: &mut Report<'_>) {
        let Some(tls) = &listener.tls else {
            report.require(listener.https_port != Some(0), &format!("{key}.https_port"), "must be a port");
            return;
        };
        report.require(listener.https_port.is_none(), &format!("{key}.https_port"), "is for addresses without TLS");
        match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(private)) => {
                report.require_absolute(certificate, &format!("{key}.tls.certificate"));
                report.require_absolute(private, &format!("{key}.tls.key"));
            }
            (None, None) => {
                let others = !self.certificates.files.is_empty() || self.certificates.acme.is_some();
                report.require(
                    others,
                    &format!("{key}.tls"),
                    "needs certificate and key, or certificates.files or certificates.acme",
                );
            }
            _ => report.problem(&format!("{key}.tls"), "needs both certificate and key, or neither"),
        }
    }

    pub(crate) fn check_certificates(&self, report: &mut Report<'_>) {
        let settings = &self.certificates;
        for (index, files) in settings.files.iter().enumerate() {
            report.require_absolute(&files.certificate, &format!("certificates.files[{index}].certificate"));
            report.require_absolute(&files.key, &format!("certificates.files[{index}].key"));
        }
        report.require_absolute(&settings.folder, "certificates.folder");
        let redis = settings.store != CertificateStore::Redis || self.redis.is_some();
        report.require(redis, "certificates.store", "needs a redis section");
        if let (CertificateStore::Redis, Some(acme)) = (settings.store, &settings.acme) {
            // A challenge may reach any of the gateways, and only those over HTTP are told to all.
            report.require(
                acme.challenges.contains(&AcmeChallenge::Http01),
                "certificates.acme.challenges",
                "needs \"http-01\" where certificates.store is \"redis\"",
            );
        }
        if let Some(acme) = &settings.acme {
            report.require(
                acme.terms_agreed,
                "certificates.acme.terms_agreed",
                "must be true: read the server's terms first",
            );
            report.require(
                acme.directory.starts_with("https://"),
                "certificates.acme.directory",
                "must be an https:// address",
            );
            let orders = (1..=MOST_ORDERS).contains(&acme.orders_per_hour);
            report.require(orders, "certificates.acme.orders_per_hour", "must be from 1 to 10000");
            report.require(!acme.challenges.is_empty(), "certificates.acme.challenges", "needs at least one");
            for (index, contact) in acme.contact.iter().enumerate() {
                let mail = contact.contains('@') && !contact.contains(':');
                report.require(
                    mail,
                    &format!("certificates.acme.contact[{index}]"),
                    "must be a mail address, without mailto:",
                );
            }
            if let Some(root) = &acme.root {
                report.require_absolute(root, "certificates.acme.root");
            }
        }
        self.check_proxies(report);
    }

    fn check_proxies(&self, report: &mut Report<'_>) {
        let header = &self.proxies.header;
        let is_name =
            !header.is_empty() && header.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        report.require(is_name, "proxies.header", "must be a header's name in lower case");
        for (index, listener) in self.listen.iter().enumerate() {
            if listener.proxy_protocol {
                let trusted = !self.proxies.trusted.is_empty();
                report.require(
                    trusted,
                    &format!("listen[{index}].proxy_protocol"),
                    "needs proxies.trusted: nobody else is believed",
                );
            }
        }
    }
}

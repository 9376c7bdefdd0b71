//! Sums by tenant in Prometheus' text format. Names are bounded by the ledger: so many tenants, and `other`.

use report::{OTHER, Sums, Verdict};
use std::fmt::Write as _;
use std::sync::Arc;

/// Appends each tenant's series. Ids of tenants are 1 to 64 of a-z, 0-9, `-`, `_`, and need no escaping.
pub(crate) fn write(totals: &[(Arc<str>, Sums)], text: &mut Vec<u8>) {
    let mut out = String::with_capacity(1 << 10);
    // Writing to a String can't fail.
    let _ = render(totals, &mut out);
    text.extend_from_slice(out.as_bytes());
}

fn render(totals: &[(Arc<str>, Sums)], out: &mut String) -> std::fmt::Result {
    let name = |id: &Arc<str>| if &**id == OTHER { "other".to_owned() } else { id.to_string() };
    writeln!(out, "# HELP streamvault_tenant_requests_total Requests by tenant, and whether they failed.")?;
    writeln!(out, "# TYPE streamvault_tenant_requests_total counter")?;
    for (id, sums) in totals {
        for verdict in Verdict::ALL {
            let (name, word, count) = (name(id), verdict.word(), sums.count(verdict));
            writeln!(out, "streamvault_tenant_requests_total{{tenant=\"{name}\",result=\"{word}\"}} {count}")?;
        }
    }
    writeln!(out, "# HELP streamvault_tenant_sent_bytes_total Body bytes sent, by tenant.")?;
    writeln!(out, "# TYPE streamvault_tenant_sent_bytes_total counter")?;
    for (id, sums) in totals {
        writeln!(out, "streamvault_tenant_sent_bytes_total{{tenant=\"{}\"}} {}", name(id), sums.bytes)?;
    }
    writeln!(out, "# HELP streamvault_tenant_cache_total Answers with media by tenant, and where they came from.")?;
    writeln!(out, "# TYPE streamvault_tenant_cache_total counter")?;
    for (id, sums) in totals {
        for (from, count) in [("hit", sums.hits), ("miss", sums.misses)] {
            writeln!(out, "streamvault_tenant_cache_total{{tenant=\"{}\",cache=\"{from}\"}} {count}", name(id))?;
        }
    }
    Ok(())
}

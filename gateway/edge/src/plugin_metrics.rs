//! What plugins did, in Prometheus' text format. Plugins come and go with a reload, which a registry of fixed series doesn't.

use plugin_host::{LATENCY_BOUNDS, Stats};
use std::fmt::Write as _;

/// A family of one value for each plugin.
type Single = (&'static str, &'static str, &'static str, fn(&Stats) -> u64);

const SINGLES: &[Single] = &[
    ("plugin_generation", "gauge", "Generation in service, 0 if none is.", |stats| stats.generation),
    ("plugin_canary_generation", "gauge", "Generation on trial, 0 if none is.", |stats| stats.canary.unwrap_or(0)),
    ("plugin_memory_bytes_max", "gauge", "Most memory that one instance ever had.", |stats| stats.memory_high_water),
    ("plugin_instances_created_total", "counter", "Instances made.", |stats| stats.created),
    ("plugin_instances_retired_total", "counter", "Instances let go in good order.", |stats| stats.retired),
    (
        "plugin_instances_discarded_total",
        "counter",
        "Instances thrown away after a failed or abandoned call.",
        |stats| stats.discarded,
    ),
    ("plugin_waits_total", "counter", "Calls that had to wait for an instance.", |stats| stats.waits),
    ("plugin_log_lines_total", "counter", "Log lines written.", |stats| stats.log_written),
    ("plugin_log_lines_dropped_total", "counter", "Log lines over the limit.", |stats| stats.log_dropped),
    ("plugin_kv_operations_total", "counter", "Operations on its store.", |stats| stats.kv_operations),
    ("plugin_calls_aside_total", "counter", "Calls off the requests' threads, since one had run for long.", |stats| {
        stats.aside
    }),
];

/// Appends every plugin's series. Names of plugins are 1 to 64 of a-z, 0-9, `-`, `_`, and need no escaping.
pub(crate) fn write(all: &[Stats], text: &mut Vec<u8>) {
    if all.is_empty() {
        return;
    }
    let mut out = String::with_capacity(4 << 10);
    // Writing to a String can't fail.
    let _ = render(all, &mut out);
    text.extend_from_slice(out.as_bytes());
}

fn render(all: &[Stats], out: &mut String) -> std::fmt::Result {
    for (name, kind, help, value) in SINGLES {
        family(out, name, kind, help)?;
        for stats in all {
            writeln!(
                out,
                "streamvault_{name}{{plugin=\"{}\",hook=\"{}\"}} {}",
                stats.plugin,
                stats.hook,
                value(stats)
            )?;
        }
    }
    family(out, "plugin_instances", "gauge", "Instances at hand.")?;
    for stats in all {
        for (state, count) in [("idle", stats.idle), ("busy", stats.busy)] {
            writeln!(out, "streamvault_plugin_instances{{plugin=\"{}\",state=\"{state}\"}} {count}", stats.plugin)?;
        }
    }
    family(out, "plugin_verdicts_total", "counter", "Calls by what the plugin decided.")?;
    words(out, all, "plugin_verdicts_total", "verdict", |stats| &stats.decisions)?;
    family(out, "plugin_failures_total", "counter", "Calls that failed, by how.")?;
    words(out, all, "plugin_failures_total", "kind", |stats| &stats.failures)?;
    family(out, "plugin_call_seconds", "histogram", "Time of a call, waiting for an instance included.")?;
    for stats in all {
        let mut below = 0;
        for (bound, count) in LATENCY_BOUNDS.iter().zip(stats.latency.buckets) {
            below += count;
            let bound = seconds(*bound);
            writeln!(
                out,
                "streamvault_plugin_call_seconds_bucket{{plugin=\"{}\",le=\"{bound}\"}} {below}",
                stats.plugin
            )?;
        }
        let (plugin, count) = (&stats.plugin, stats.latency.count());
        writeln!(out, "streamvault_plugin_call_seconds_bucket{{plugin=\"{plugin}\",le=\"+Inf\"}} {count}")?;
        writeln!(out, "streamvault_plugin_call_seconds_sum{{plugin=\"{plugin}\"}} {}", seconds(stats.latency.sum))?;
        writeln!(out, "streamvault_plugin_call_seconds_count{{plugin=\"{plugin}\"}} {count}")?;
    }
    Ok(())
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP streamvault_{name} {help}\n# TYPE streamvault_{name} {kind}")
}

fn words(
    out: &mut String,
    all: &[Stats],
    name: &str,
    label: &str,
    values: fn(&Stats) -> &[(&'static str, u64)],
) -> std::fmt::Result {
    for stats in all {
        for (word, count) in values(stats) {
            writeln!(out, "streamvault_{name}{{plugin=\"{}\",{label}=\"{word}\"}} {count}", stats.plugin)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

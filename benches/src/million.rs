//! A cache of a million slices: what its index takes, how soon it serves after a start, and how long a purge takes.

use crate::measure::Samples;
use crate::table::{Table, figure};
use harness::{Failure, binary};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

/// What the cache's example prints: its name there, what it is, and the most that it should be.
const FIGURES: [(&str, &str, Option<f64>); 7] = [
    ("slices", "slices", None),
    ("index_bytes_per_slice", "index, bytes of memory a slice", Some(64.0)),
    ("open_ms", "start: all sidecars read, ms", None),
    ("open_to_first_hit_ms", "start to the first hit, ms", Some(2000.0)),
    ("purge_one_chat_ms", "purge of one tenant's channel of 100, ms", Some(100.0)),
    ("longest_look_up_meanwhile_ms", "longest look-up meanwhile, ms", None),
    ("purge_all_ms", "purge of all the rest, ms", None),
];

pub(crate) async fn run() -> Result<(), Failure> {
    println!("## A million slices\n");
    let program = binary("examples/million")?;
    let mut all: BTreeMap<String, Samples> = BTreeMap::new();
    for round in 0..ROUNDS {
        eprintln!("bench: million: round {} of {ROUNDS}", round + 1);
        let child = Command::new(&program).stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, child).await??;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            let (name, value) = line.split_once(' ').ok_or_else(|| format!("not a figure: {line}"))?;
            all.entry(name.to_owned()).or_default().add(value.parse()?);
        }
    }
    println!(
        "The cache alone, in a process of its own (gateway/cache/examples/million.rs): a thousand films of a thousand slices of 1 MiB in the \
         folder, whose sidecars were just written, so that they come from memory. Medians of {ROUNDS} runs.\n"
    );
    let mut table = Table::new(1, ["what", "measured", "goal", "met"]);
    for (name, what, goal) in FIGURES {
        let value = all.get(name).map_or(f64::NAN, Samples::median);
        if !value.is_finite() {
            return Err(format!("the example says no {name}").into());
        }
        let verdict = goal.map_or("", |goal| if value <= goal { "yes" } else { "NO" });
        let goal = goal.map_or_else(String::new, |goal| format!("at most {goal:.0}"));
        table.row([what.to_owned(), figure(value), goal, verdict.to_owned()]);
    }
    println!("{table}");
    Ok(())
}

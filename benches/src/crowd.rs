//! A thousand viewers of one film that no cache has, all at once.

use crate::load::{Plan, Request};
use crate::measure::Samples;
use crate::rig::{Edge, Rig};
use crate::table::{Table, figure, ratio};
use harness::{Failure, Film, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use telegram_sim::{ChunkCount, Shape};

const MIB: u64 = 1 << 20;
/// Simulated round trip to Telegram, in milliseconds.
const RTT_MS: u64 = 40;
const ROUNDS: usize = 3;
const CLIENTS: usize = 1000;
const FILM: u64 = 16 * MIB;
/// What each viewer asks for.
const RANGE: u64 = MIB;
/// Most of nginx' 99th percentile of first bytes, and of getFile calls for a chunk.
const GOAL: f64 = 0.5;
/// Nobody waits longer for a film; nginx' waiters look every half second whether a slice is there.
const TIME: Duration = Duration::from_secs(60);

/// Where in the film a crowd looks.
const CROWDS: [&str; 2] = ["the first MiB", "1 MiB at random places of 16"];

#[derive(Default)]
struct Row {
    p50: Samples,
    p99: Samples,
    whole: Samples,
    cpu: Samples,
    /// Of the bytes that came from Telegram, how often each was asked for; and the most for one chunk.
    asked: Samples,
    most: Samples,
}

pub(crate) async fn run(seed: u64) -> Result<(), Failure> {
    println!("## {CLIENTS} viewers of one cold film\n");
    let shape = Shape { rtt_ms: RTT_MS, ..Shape::default() };
    let mut settings = Settings { shape, ..Settings::default() }.gateway("threads", "1").film("open.mkv", FILM);
    for name in names() {
        settings = settings.film(&name, FILM);
    }
    let rig = Rig::start(settings, true).await?;
    let edges = rig.edges()?;
    if edges.len() < 2 {
        println!("Without nginx beside it: nginx is not installed (Debian's package `nginx`).\n");
    }
    for edge in &edges {
        edge.fetch(&rig.stack.link(rig.stack.film("open.mkv")?), "bytes=0-", u64::MAX).await?;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rows: Vec<Vec<Row>> = CROWDS.iter().map(|_| edges.iter().map(|_| Row::default()).collect()).collect();
    for round in 0..ROUNDS {
        for (crowd, rows) in rows.iter_mut().enumerate() {
            eprintln!("bench: crowd: round {} of {ROUNDS}", round + 1);
            let last = if crowd == 0 { 0 } else { FILM - RANGE };
            let places: Vec<u64> = (0..CLIENTS).map(|_| rng.random_range(0..=last)).collect();
            let mut pairs: Vec<_> = edges.iter().zip(rows).enumerate().collect();
            if round % 2 == 1 {
                pairs.reverse();
            }
            for (number, (edge, row)) in pairs {
                row.run(&rig, edge, rig.stack.film(&name(number, crowd, round))?, &places).await?;
            }
        }
    }
    print(&edges, &rows);
    Ok(())
}

/// Every crowd has a film of its own: one that was asked for before is not cold, and what was asked of Telegram is counted by film.
fn names() -> impl Iterator<Item = String> {
    let crowds = (0..2).flat_map(|edge| (0..CROWDS.len()).map(move |crowd| (edge, crowd)));
    crowds.flat_map(|(edge, crowd)| (0..ROUNDS).map(move |round| name(edge, crowd, round)))
}

fn name(edge: usize, crowd: usize, round: usize) -> String {
    format!("crowd-{edge}-{crowd}-{round}.mkv")
}

impl Row {
    async fn run(&mut self, rig: &Rig, edge: &Edge, film: &Film, places: &[u64]) -> Result<(), Failure> {
        let link = rig.stack.link(film);
        let requests = places.iter().map(|first| Request::range(&link, *first, RANGE)).collect();
        let load = Plan { requests, once: true, connections: places.len(), time: TIME, tls: None }.run(edge).await?;
        if load.timings.len() != places.len() {
            return Err(format!("{} answered {} of {}", edge.name, load.timings.len(), places.len()).into());
        }
        let first = load.first(|_| true);
        self.p50.add(first.quantile(0.5));
        self.p99.add(first.quantile(0.99));
        self.whole.add(load.wall);
        self.cpu.add(load.cpu);
        let chunks = rig.stack.sim.counters().snapshot().chunks_of(film.document);
        self.asked.add(times(&chunks));
        self.most.add(chunks.iter().map(|chunk| chunk.asked).max().unwrap_or(0) as f64);
        Ok(())
    }
}

/// Bytes asked for, to different bytes among them: chunks of different lengths may overlap.
fn times(chunks: &[ChunkCount]) -> f64 {
    let asked: u64 = chunks.iter().map(|chunk| chunk.limit * chunk.asked).sum();
    let mut spans: Vec<(u64, u64)> = chunks.iter().map(|chunk| (chunk.offset, chunk.offset + chunk.limit)).collect();
    spans.sort_unstable();
    let (mut distinct, mut end) = (0, 0);
    for (from, to) in spans {
        distinct += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    asked as f64 / distinct as f64
}

fn print(edges: &[Edge], rows: &[Vec<Row>]) {
    println!(
        "{CLIENTS} connections are open; then all ask at the same moment for {} MiB of a film of {} MiB that neither edge nor hive \
         heard of, and read it to its end. The round trip to Telegram is {RTT_MS} ms, without other limits. Medians of {ROUNDS} alternating \
         rounds, each with a film of its own; one worker each. getFile counts by bytes: 1.00 if every byte was asked for once.\n",
        RANGE / MIB,
        FILM / MIB
    );
    let head = [
        "range",
        "edge",
        "first byte p50 ms",
        "p99 ms",
        "to nginx",
        "all done ms",
        "CPU ms in all",
        "getFile per chunk",
        "most for one",
    ];
    let mut table = Table::new(2, head);
    let mut goals = Vec::new();
    for (name, rows) in CROWDS.iter().zip(rows) {
        for (edge, row) in edges.iter().zip(rows) {
            table.row([
                (*name).to_owned(),
                edge.name.to_owned(),
                figure(row.p50.median() * 1e3),
                figure(row.p99.median() * 1e3),
                ratio(row.p99.median(), rows.get(1).map_or(f64::NAN, |row| row.p99.median())),
                figure(row.whole.median() * 1e3),
                figure(row.cpu.median() * 1e3),
                figure(row.asked.median()),
                figure(row.most.quantile(1.0)),
            ]);
        }
        let Some(ours) = rows.first() else { continue };
        if let Some(rival) = rows.get(1) {
            let to = ours.p99.median() / rival.p99.median();
            let verdict = if to <= GOAL { "met" } else { "NOT met" };
            goals.push(format!("- {name}: p99 first byte at most {GOAL:.2}× nginx', measured {to:.2}×: {verdict}"));
        }
        let (asked, most) = (ours.asked.quantile(1.0), ours.most.quantile(1.0));
        let verdict = if asked <= 1.0 && most <= 1.0 { "met" } else { "NOT met" };
        goals.push(format!("- {name}: one getFile for each chunk in every round, measured {asked:.2}: {verdict}"));
    }
    println!("{table}\nGoals:\n\n{}\n", goals.join("\n"));
}

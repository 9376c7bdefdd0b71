//! What is not cached, beside nginx: seeks into cold films by many viewers at once, and hits with some such seeks among them.

use crate::hits::{list, warm};
use crate::load::{Cache, Load, Plan, Request};
use crate::measure::{Samples, cpu_seconds};
use crate::rig::{Edge, Rig};
use crate::table::{Table, figure, ratio};
use harness::{Failure, Film, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::Shape;

const MIB: u64 = 1 << 20;
/// Simulated round trip to Telegram, in milliseconds.
const RTT_MS: u64 = 40;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 8;
const MIX_CONNECTIONS: usize = 16;
const COLD: usize = 8;
const COLD_FILM: u64 = 4 << 30;
/// From one place to the next: more than a server fetches for a viewer who took what he asked for.
const STRIDE: u64 = 8 * MIB;
const WARM: usize = 4;
const WARM_FILM: u64 = 64 * MIB;
/// Places for one run; more than the simulator can serve in its time.
const PLACES: usize = 600;
const SIZES: [(&str, u64); 2] = [("64 KiB", 64 << 10), ("1 MiB", MIB)];
/// The mix: ranges of this size, one in so many of them a miss.
const MIX_SIZE: u64 = 64 << 10;
const ONE_IN: usize = 10;
/// Part of the answers that may be something else than a miss: where a place lies just before the next one's slice.
const STRAY: f64 = 0.02;

#[derive(Default)]
struct Row {
    per_second: Samples,
    cpu: Samples,
    hive: Samples,
    hit_p50: Samples,
    hit_p99: Samples,
    miss_p50: Samples,
    miss_p99: Samples,
}

/// Nothing but misses.
pub(crate) async fn misses(seed: u64) -> Result<(), Failure> {
    println!("## Misses\n");
    let (rig, edges, mut places) = start(seed, 0).await?;
    let mut rows = empty(SIZES.len(), &edges);
    for round in 0..ROUNDS {
        for ((name, size), rows) in SIZES.iter().zip(&mut rows) {
            eprintln!("bench: misses: round {} of {ROUNDS}, {name}", round + 1);
            let requests: Arc<[Request]> = places
                .split_off(places.len().saturating_sub(PLACES))
                .iter()
                .map(|(link, first)| Request::range(link, *first, *size))
                .collect();
            for (edge, row) in turns(&edges, rows, round) {
                let load = row.run(&rig, edge, requests.clone(), CONNECTIONS).await?;
                if load.others(Cache::Miss) as f64 > STRAY * load.count() {
                    let strays = load.others(Cache::Miss);
                    return Err(format!("{}: {strays} of {} were no misses", edge.name, load.count()).into());
                }
            }
        }
    }
    println!(
        "Random places of {COLD} films of {} GiB that no cache has, each asked for once; the round trip to Telegram is \
         {RTT_MS} ms, without other limits. {CONNECTIONS} viewers at once, each with one range after the other; {} s a run, medians of {ROUNDS} \
         alternating rounds; one worker each. CPU is the edge's; the hive's stands beside it, and says how much was fetched for an \
         answer. The simulator and the hive share the machine and limit requests/s.\n",
        COLD_FILM >> 30,
        TIME.as_secs()
    );
    let head = [
        "range",
        "edge",
        "requests/s",
        "CPU µs each",
        "to nginx",
        "hive CPU µs",
        "first byte p50 ms",
        "p99 ms",
        "to nginx",
    ];
    let mut table = Table::new(2, head);
    for ((name, _), rows) in SIZES.iter().zip(&rows) {
        for (edge, row) in edges.iter().zip(rows) {
            let against = |of: fn(&Row) -> f64| ratio(of(row), rows.get(1).map_or(f64::NAN, of));
            table.row([
                (*name).to_owned(),
                edge.name.to_owned(),
                figure(row.per_second.median()),
                figure(row.cpu.median() * 1e6),
                against(|row| row.cpu.median()),
                figure(row.hive.median() * 1e6),
                figure(row.miss_p50.median() * 1e3),
                figure(row.miss_p99.median() * 1e3),
                against(|row| row.miss_p99.median()),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

/// Nine hits to a miss.
pub(crate) async fn mix(seed: u64) -> Result<(), Failure> {
    println!("## Nine hits to a miss\n");
    let (rig, edges, mut places) = start(seed, WARM).await?;
    let films: Vec<&Film> = rig.stack.films.iter().skip(COLD).collect();
    for edge in &edges {
        warm(&rig, edge, &films).await?;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rows = empty(1, &edges);
    let rows = rows.first_mut().ok_or("rows")?;
    for round in 0..ROUNDS {
        eprintln!("bench: mix: round {} of {ROUNDS}", round + 1);
        let hits = list(&rig, &films, MIX_SIZE, PLACES * ONE_IN, &mut rng)?;
        let cold = places.split_off(places.len().saturating_sub(PLACES));
        let mut cold = cold.iter().map(|(link, first)| Request::range(link, *first, MIX_SIZE));
        let mixed = hits.iter().enumerate().map(|(number, hit)| match number % ONE_IN {
            0 => cold.next().unwrap_or_else(|| hit.clone()),
            _ => hit.clone(),
        });
        let requests: Arc<[Request]> = mixed.collect();
        for (edge, row) in turns(&edges, rows, round) {
            row.run(&rig, edge, requests.clone(), MIX_CONNECTIONS).await?;
        }
    }
    println!(
        "Ranges of 64 KiB: one in {ONE_IN} a place of a cold film that nobody asked for before, the others from {WARM} cached films; the \
         round trip to Telegram is {RTT_MS} ms. {MIX_CONNECTIONS} viewers at once, {} s a run, medians of {ROUNDS} alternating rounds; one \
         worker each. First bytes of hits and misses apart, as X-Cache-Status tells them. Misses take most of a viewer's time, \
         and limit requests/s; CPU is the edge's.\n",
        TIME.as_secs()
    );
    let head = [
        "edge",
        "requests/s",
        "CPU µs each",
        "to nginx",
        "hits: first byte p50 ms",
        "p99 ms",
        "to nginx",
        "misses: first byte p50 ms",
        "p99 ms",
        "to nginx",
    ];
    let mut table = Table::new(1, head);
    for (edge, row) in edges.iter().zip(rows.iter()) {
        let against = |of: fn(&Row) -> f64| ratio(of(row), rows.get(1).map_or(f64::NAN, of));
        table.row([
            edge.name.to_owned(),
            figure(row.per_second.median()),
            figure(row.cpu.median() * 1e6),
            against(|row| row.cpu.median()),
            figure(row.hit_p50.median() * 1e3),
            figure(row.hit_p99.median() * 1e3),
            against(|row| row.hit_p99.median()),
            figure(row.miss_p50.median() * 1e3),
            figure(row.miss_p99.median() * 1e3),
            against(|row| row.miss_p99.median()),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// Everything, the hive's connections open and the films known to all; and places in the cold ones, in random order.
async fn start(seed: u64, warm_films: usize) -> Result<(Rig, Vec<Edge>, Vec<(String, u64)>), Failure> {
    let shape = Shape { rtt_ms: RTT_MS, ..Shape::default() };
    let settings = Settings { shape, ..Settings::default() }
        .gateway("threads", "1")
        .hive("pool.streams_per_session", "64")
        .hive("pool.streams_premium", "64");
    let settings = (0..COLD).fold(settings, |all, number| all.film(&format!("cold-{number}.mkv"), COLD_FILM));
    let settings = (0..warm_films).fold(settings, |all, number| all.film(&format!("warm-{number}.mkv"), WARM_FILM));
    let rig = Rig::start(settings, true).await?;
    let edges = rig.edges()?;
    if edges.len() < 2 {
        println!("Without nginx beside it: nginx is not installed (Debian's package `nginx`).\n");
    }
    let mut places = Vec::new();
    let mut rng = StdRng::seed_from_u64(seed);
    for film in rig.stack.films.iter().take(COLD) {
        let link = rig.stack.link(film);
        for edge in &edges {
            edge.fetch(&link, &format!("bytes={}-{}", COLD_FILM - 4 * MIB, COLD_FILM - 1), u64::MAX).await?;
        }
        let last = COLD_FILM / STRIDE - 1;
        places.extend((0..last).map(|number| (link.clone(), number * STRIDE + rng.random_range(0..MIB))));
    }
    for left in (1..places.len()).rev() {
        places.swap(left, rng.random_range(0..=left));
    }
    Ok((rig, edges, places))
}

fn empty(count: usize, edges: &[Edge]) -> Vec<Vec<Row>> {
    (0..count).map(|_| edges.iter().map(|_| Row::default()).collect()).collect()
}

/// Every server with its row: whoever was first comes second in the next round.
fn turns<'a>(edges: &'a [Edge], rows: &'a mut [Row], round: usize) -> Vec<(&'a Edge, &'a mut Row)> {
    let mut pairs: Vec<_> = edges.iter().zip(rows).collect();
    if round % 2 == 1 {
        pairs.reverse();
    }
    pairs
}

impl Row {
    async fn run(
        &mut self,
        rig: &Rig,
        edge: &Edge,
        requests: Arc<[Request]>,
        connections: usize,
    ) -> Result<Load, Failure> {
        let hive = [rig.hive_pid()?];
        let before = cpu_seconds(&hive)?;
        let load = Plan { requests, once: true, connections, time: TIME, tls: None }.run(edge).await?;
        self.per_second.add(load.count() / load.wall);
        self.cpu.add(load.cpu / load.count());
        self.hive.add((cpu_seconds(&hive)? - before) / load.count());
        let (hits, misses) = (load.first(|cache| cache == Cache::Hit), load.first(|cache| cache != Cache::Hit));
        self.hit_p50.add(hits.quantile(0.5));
        self.hit_p99.add(hits.quantile(0.99));
        self.miss_p50.add(misses.quantile(0.5));
        self.miss_p99.add(misses.quantile(0.99));
        Ok(load)
    }
}

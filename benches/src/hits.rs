//! How fast cached bytes leave, beside nginx.

use crate::measure::Samples;
use crate::rig::{Edge, Rig, is_installed, put};
use crate::table::{Table, figure, ratio};
use crate::wrk::Plan;
use harness::{Failure, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const SIZES: [(&str, u64); 3] = [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];
const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 32;
const FILMS: usize = 8;
const FILM: u64 = 64 << 20;
/// Requests prepared for each size; the load generator repeats them.
const REQUESTS: usize = 4096;

#[derive(Default)]
struct Row {
    per_second: Samples,
    bytes_per_second: Samples,
    cpu: Samples,
    busy: Samples,
    p50: Samples,
    p99: Samples,
}

pub(crate) async fn run(seed: u64) -> Result<(), Failure> {
    println!("## Hits over HTTP\n");
    if !is_installed("wrk") {
        println!("Skipped: wrk is not installed (Debian's package `wrk`).\n");
        return Ok(());
    }
    let settings = (0..FILMS).fold(Settings::default().gateway("threads", "1"), |settings, number| {
        settings.film(&format!("hits-{number}.mkv"), FILM)
    });
    let rig = Rig::start(settings, true).await?;
    let edges = rig.edges()?;
    if edges.len() < 2 {
        println!("Without nginx beside it: nginx is not installed (Debian's package `nginx`).\n");
    }
    for edge in &edges {
        warm(&rig, edge).await?;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rows: Vec<Vec<Row>> = Vec::new();
    let mut lists = Vec::new();
    for (_, size) in SIZES {
        lists.push(list(&rig, size, &mut rng)?);
        rows.push(edges.iter().map(|_| Row::default()).collect());
    }
    for round in 0..ROUNDS {
        for ((list, rows), (name, size)) in lists.iter().zip(&mut rows).zip(SIZES) {
            eprintln!("bench: hits: round {} of {ROUNDS}, {name}", round + 1);
            // Whoever comes second finds the machine as the first left it, so they take turns at that too.
            let mut pairs: Vec<_> = edges.iter().zip(rows).collect();
            if round % 2 == 1 {
                pairs.reverse();
            }
            for (edge, row) in pairs {
                load(edge, list, size, row).await?;
            }
        }
    }
    print(&edges, &rows);
    Ok(())
}

/// Reads all films until all of them come out of the cache.
async fn warm(rig: &Rig, edge: &Edge) -> Result<(), Failure> {
    for film in &rig.stack.films {
        for attempt in 0.. {
            let fetch = edge.fetch(&rig.stack.link(film), "bytes=0-", u64::MAX).await?;
            if fetch.bytes != film.size {
                return Err(format!("{}: {} of {} bytes of {}", edge.name, fetch.bytes, film.size, film.name).into());
            }
            if fetch.cache == "HIT" {
                break;
            }
            if attempt == 5 {
                return Err(format!("{} does not keep {}: {}", edge.name, film.name, fetch.cache).into());
            }
        }
    }
    Ok(())
}

/// Writes signed links and random ranges for the load generator: the same for all servers.
fn list(rig: &Rig, size: u64, rng: &mut StdRng) -> Result<PathBuf, Failure> {
    let links: Vec<String> = rig.stack.films.iter().map(|film| rig.stack.link(film)).collect();
    let mut text = String::new();
    for _ in 0..REQUESTS {
        let link = links.get(rng.random_range(0..links.len())).ok_or("no film")?;
        let first = rng.random_range(0..=FILM - size);
        writeln!(text, "{link} bytes={first}-{}", first + size - 1)?;
    }
    let path = rig.folder().join(format!("requests-{size}"));
    put(&path, text.as_bytes())?;
    Ok(path)
}

async fn load(edge: &Edge, list: &Path, size: u64, row: &mut Row) -> Result<(), Failure> {
    let plan = Plan { list, host: None, connections: CONNECTIONS, seconds: SECONDS, size };
    let load = plan.run(edge).await?;
    row.per_second.add(load.requests / load.seconds);
    row.bytes_per_second.add(load.requests * size as f64 / load.seconds);
    row.cpu.add(load.cpu / load.requests);
    row.busy.add(load.cpu / load.wall);
    row.p50.add(load.p50);
    row.p99.add(load.p99);
    Ok(())
}

fn print(edges: &[Edge], rows: &[Vec<Row>]) {
    println!(
        "Random ranges of {FILMS} cached films of {} MiB, links checked, access log on; one worker each, {CONNECTIONS} \
         connections kept alive, {SECONDS} s a run, medians of {ROUNDS} alternating rounds. wrk shares the machine; \
         times are to the last byte.\n",
        FILM >> 20
    );
    let mut table = Table::new(
        2,
        ["range", "edge", "requests/s", "to nginx", "MB/s", "CPU µs each", "to nginx", "busy", "p50 ms", "p99 ms"],
    );
    for ((name, _), rows) in SIZES.iter().zip(rows) {
        let rival = rows.get(1);
        for (edge, row) in edges.iter().zip(rows) {
            let against = |of: fn(&Row) -> f64| ratio(of(row), rival.map_or(f64::NAN, of));
            table.row([
                (*name).to_owned(),
                edge.name.to_owned(),
                figure(row.per_second.median()),
                against(|row| row.per_second.median()),
                figure(row.bytes_per_second.median() / 1e6),
                figure(row.cpu.median() * 1e6),
                against(|row| row.cpu.median()),
                format!("{:.0} %", row.busy.median() * 100.0),
                figure(row.p50.median() / 1e3),
                figure(row.p99.median() / 1e3),
            ]);
        }
    }
    println!("{table}");
}

//! How fast cached bytes leave, beside nginx, in the clear and over TLS.

use crate::load::{Cache, Connection, Load, Plan, Request, Viewer};
use crate::measure::Samples;
use crate::rig::{Edge, Rig};
use crate::table::{Table, figure, ratio};
use harness::{Failure, Film, Settings};
use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

const MIB: u64 = 1 << 20;
const FILMS: usize = 8;
const FILM: u64 = 64 * MIB;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_millis(2500);
const CONNECTIONS: usize = 32;
/// Requests prepared for each size; the load generator repeats them.
const REQUESTS: usize = 4096;
/// Part of a core below which something else than the server was the limit.
const BUSY: f64 = 0.95;

/// A range's length, and the goals against nginx: least requests a second, most processor time over HTTP and over TLS.
struct Size {
    name: &'static str,
    bytes: u64,
    speed: f64,
    cpu: f64,
    cpu_tls: f64,
}

const SIZES: [Size; 4] = [
    Size { name: "4 KiB", bytes: 4 << 10, speed: 1.1, cpu: 1.0, cpu_tls: 0.75 },
    Size { name: "64 KiB", bytes: 64 << 10, speed: 1.1, cpu: 1.0, cpu_tls: 0.55 },
    Size { name: "1 MiB", bytes: MIB, speed: 1.5, cpu: 1.0, cpu_tls: 0.55 },
    Size { name: "8 MiB", bytes: 8 * MIB, speed: 1.5, cpu: 1.0, cpu_tls: 0.55 },
];

/// What the bytes go over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Plain,
    Tls,
}

#[derive(Default)]
struct Row {
    per_second: Samples,
    bytes_per_second: Samples,
    cpu: Samples,
    busy: Samples,
    p50: Samples,
    p99: Samples,
}

pub(crate) async fn run(seed: u64, scheme: Scheme) -> Result<(), Failure> {
    println!("## Hits over {}\n", if scheme == Scheme::Tls { "TLS" } else { "HTTP" });
    let settings = (0..FILMS).fold(Settings::default().gateway("threads", "1"), |settings, number| {
        settings.film(&format!("hits-{number}.mkv"), FILM)
    });
    let rig = Rig::start(settings, true).await?;
    let edges = rig.edges()?;
    if edges.len() < 2 {
        println!("Without nginx beside it: nginx is not installed (Debian's package `nginx`).\n");
    }
    let films: Vec<&Film> = rig.stack.films.iter().collect();
    for edge in &edges {
        warm(&rig, edge, &films).await?;
    }
    let tls = if scheme == Scheme::Tls { Some(agree(&rig, &edges).await?) } else { None };
    let mut rng = StdRng::seed_from_u64(seed);
    let lists: Vec<Arc<[Request]>> =
        SIZES.iter().map(|size| list(&rig, &films, size.bytes, REQUESTS, &mut rng)).collect::<Result<_, _>>()?;
    let mut rows: Vec<Vec<Row>> = SIZES.iter().map(|_| edges.iter().map(|_| Row::default()).collect()).collect();
    for round in 0..ROUNDS {
        for ((requests, rows), size) in lists.iter().zip(&mut rows).zip(&SIZES) {
            eprintln!("bench: hits: round {} of {ROUNDS}, {}", round + 1, size.name);
            // Whoever comes second finds the machine as the first left it, so they take turns at that too.
            let mut pairs: Vec<_> = edges.iter().zip(rows).collect();
            if round % 2 == 1 {
                pairs.reverse();
            }
            for (edge, row) in pairs {
                let (requests, tls) = (requests.clone(), tls.clone());
                let plan = Plan { requests, once: false, connections: CONNECTIONS, time: TIME, tls };
                row.add(edge, size, &plan.run(edge).await?)?;
            }
        }
    }
    print(&edges, &rows, scheme);
    Ok(())
}

/// Reads films until all of them come out of the cache, and some of their bytes compared.
pub(crate) async fn warm(rig: &Rig, edge: &Edge, films: &[&Film]) -> Result<(), Failure> {
    for film in films {
        let link = rig.stack.link(film);
        for attempt in 0.. {
            let fetch = edge.fetch(&link, "bytes=0-", u64::MAX).await?;
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
        // Across the border of two slices, at odd ends.
        let (first, last) = (MIB - 77_777, 2 * MIB + 4_321);
        let answer = edge.client.ask(Method::GET, &link, &[("range", &format!("bytes={first}-{last}"))]).await?;
        if answer.body.len() as u64 != last - first + 1 {
            return Err(format!("{}: {} bytes of a range", edge.name, answer.body.len()).into());
        }
        film.compare(first, &answer.body)?;
    }
    Ok(())
}

/// Random ranges of films: the same for all servers.
pub(crate) fn list(
    rig: &Rig,
    films: &[&Film],
    size: u64,
    count: usize,
    rng: &mut StdRng,
) -> Result<Arc<[Request]>, Failure> {
    let links: Vec<String> = films.iter().map(|film| rig.stack.link(film)).collect();
    let mut requests = Vec::new();
    for _ in 0..count {
        let number = rng.random_range(0..links.len());
        let (link, film) = (links.get(number).ok_or("no film")?, films.get(number).ok_or("no film")?);
        requests.push(Request::range(link, rng.random_range(0..=film.size - size), size));
    }
    Ok(requests.into())
}

/// A client, after it has found out and said what the servers do with it.
async fn agree(rig: &Rig, edges: &[Edge]) -> Result<TlsConnector, Failure> {
    let tls = rig.certificate.connector()?;
    println!("One ECDSA P-256 certificate. What client and server agreed on:\n");
    for edge in edges {
        println!("- {}: {}", edge.name, Connection::open(edge, Some(&tls), Viewer::Fast).await?.agreed());
    }
    println!();
    Ok(tls)
}

impl Row {
    fn add(&mut self, edge: &Edge, size: &Size, load: &Load) -> Result<(), Failure> {
        if load.others(Cache::Hit) > 0 {
            let all = load.timings.len();
            return Err(format!("{}: {} of {all} answers were no hits", edge.name, load.others(Cache::Hit)).into());
        }
        let first = load.first(|_| true);
        self.per_second.add(load.count() / load.wall);
        self.bytes_per_second.add(load.count() * size.bytes as f64 / load.wall);
        self.cpu.add(load.cpu / load.count());
        self.busy.add(load.cpu / load.wall);
        self.p50.add(first.quantile(0.5));
        self.p99.add(first.quantile(0.99));
        Ok(())
    }
}

fn print(edges: &[Edge], rows: &[Vec<Row>], scheme: Scheme) {
    println!(
        "Random ranges of {FILMS} cached films of {} MiB, links checked, access log on; one worker each, {CONNECTIONS} \
         connections kept alive, {:.1} s a run, medians of {ROUNDS} alternating rounds. The load generator shares the \
         machine. First byte: of the body, in the same runs, with {CONNECTIONS} requests always under way.\n",
        FILM / MIB,
        TIME.as_secs_f64()
    );
    let head = [
        "range",
        "edge",
        "requests/s",
        "to nginx",
        "MB/s",
        "CPU µs each",
        "to nginx",
        "busy",
        "first byte p50 ms",
        "p99 ms",
    ];
    let mut table = Table::new(2, head);
    let mut goals = Vec::new();
    let mut idle = false;
    for (size, rows) in SIZES.iter().zip(rows) {
        let rival = rows.get(1);
        for (edge, row) in edges.iter().zip(rows) {
            let against = |of: fn(&Row) -> f64| ratio(of(row), rival.map_or(f64::NAN, of));
            idle |= row.busy.median() < BUSY;
            table.row([
                size.name.to_owned(),
                edge.name.to_owned(),
                figure(row.per_second.median()),
                against(|row| row.per_second.median()),
                figure(row.bytes_per_second.median() / 1e6),
                figure(row.cpu.median() * 1e6),
                against(|row| row.cpu.median()),
                format!("{:.0} %", row.busy.median() * 100.0),
                figure(row.p50.median() * 1e3),
                figure(row.p99.median() * 1e3),
            ]);
        }
        if let [ours, rival] = rows.as_slice() {
            let speed = ours.per_second.median() / rival.per_second.median();
            let cpu = ours.cpu.median() / rival.cpu.median();
            if scheme == Scheme::Plain {
                goals.push(goal(size.name, "requests/s", speed, size.speed, speed >= size.speed, "at least"));
            }
            let most = if scheme == Scheme::Tls { size.cpu_tls } else { size.cpu };
            goals.push(goal(size.name, "CPU", cpu, most, cpu <= most, "at most"));
        }
    }
    println!("{table}");
    if idle {
        println!(
            "Busy below {:.0} %: the load generator or the machine was the limit there, and requests/s say little; CPU does.\n",
            BUSY * 100.0
        );
    }
    if !goals.is_empty() {
        println!("Goals, to nginx:\n\n{}\n", goals.join("\n"));
    }
}

fn goal(size: &str, what: &str, measured: f64, bound: f64, met: bool, how: &str) -> String {
    let verdict = if met { "met" } else { "NOT met" };
    format!("- {size}: {what} {how} {bound:.2}×, measured {measured:.2}×: {verdict}")
}

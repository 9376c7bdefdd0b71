//! What viewers notice of hostile clients: slow ones, idle ones by the thousand, bombs; beside nginx.

use crate::hits::{list, warm};
use crate::idle::{memory, raise};
use crate::load::{Cache, Plan, Request};
use crate::measure::Samples;
use crate::rig::{Edge, Rig};
use crate::table::{Table, figure, ratio};
use harness::hostile::{Door, PREFACE, Wire, frame, knock};
use harness::{Failure, Film, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

const KIB: u64 = 1 << 10;
const FILMS: usize = 4;
const FILM: u64 = 64 << 20;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(1200);
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 4096;
const SIZES: [(&str, u64); 2] = [("4 KiB", 4 * KIB), ("64 KiB", 64 * KIB)];
/// Slow heads, half of them over TLS.
const SLOW: usize = 2000;
/// Idle connections, half of them over TLS.
const IDLE: usize = 10_000;
/// Bombs, and how long each rests between two.
const BOMBERS: usize = 8;
const BOMB: usize = 1 << 20;
const REST: Duration = Duration::from_millis(400);
/// Connections that are opened at the same time.
const AT_ONCE: usize = 100;
/// Files that a server and the benchmark need besides.
const SPARE: u64 = 2000;
/// Most that viewers may notice: their p99, divided by what it is without.
const GOAL: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Slow,
    Idle,
    Bombs,
    Http2,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Slow, "2,000 heads at a byte a second"),
    (Kind::Idle, "10,000 idle connections"),
    (Kind::Bombs, "20 heads of 1 MiB a second"),
    (Kind::Http2, "floods over HTTP/2"),
];

/// Hostile clients on a thread of their own, until they are dropped.
struct Force {
    over: Arc<AtomicBool>,
    /// Connections that they hold, or blows that they have struck.
    done: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// One edge's figures of one scheme and size, without and with the attacks.
#[derive(Default)]
struct Row {
    per_second: Vec<Samples>,
    p50: Vec<Samples>,
    p99: Vec<Samples>,
}

type Tls = Arc<dyn Fn(&[u8]) -> TlsConnector + Send + Sync>;

pub(crate) async fn run(seed: u64) -> Result<(), Failure> {
    println!("## Viewers among hostile clients\n");
    if let Err(error) = raise(IDLE as u64 + SPARE) {
        println!("Skipped: so many open files are not allowed here ({error}).\n");
        return Ok(());
    }
    let settings = (0..FILMS).fold(Settings::default().gateway("threads", "1"), |settings, number| {
        settings.film(&format!("hostile-{number}.mkv"), FILM)
    });
    let rig = Rig::start(settings, true).await?;
    let edges = rig.edges()?;
    let films: Vec<&Film> = rig.stack.films.iter().collect();
    for edge in &edges {
        warm(&rig, edge, &films).await?;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let lists: Vec<Arc<[Request]>> =
        SIZES.iter().map(|(_, size)| list(&rig, &films, *size, REQUESTS, &mut rng)).collect::<Result<_, _>>()?;
    let plain = rig.certificate.connector()?;
    let http2 = rig.certificate.connector_of(b"h2")?;
    let tls: Tls = {
        let plain = plain.clone();
        Arc::new(move |protocol: &[u8]| if protocol == b"h2" { http2.clone() } else { plain.clone() })
    };
    let loads: Vec<(String, Plan)> = [("HTTP", None), ("TLS", Some(plain))]
        .into_iter()
        .flat_map(|(scheme, tls)| {
            SIZES.iter().zip(&lists).map(move |((size, _), requests)| {
                let (requests, tls) = (requests.clone(), tls.clone());
                let plan = Plan { requests, once: false, connections: CONNECTIONS, time: TIME, tls };
                (format!("{size} over {scheme}"), plan)
            })
        })
        .collect();
    let mut idle: Vec<Samples> = edges.iter().map(|_| Samples::default()).collect();
    let mut rows: Vec<Vec<Row>> = edges.iter().map(|_| loads.iter().map(|_| Row::new()).collect()).collect();
    for round in 0..ROUNDS {
        let mut pairs: Vec<_> = edges.iter().zip(&mut rows).zip(&mut idle).collect();
        if round % 2 == 1 {
            pairs.reverse();
        }
        for ((edge, rows), idle) in pairs {
            eprintln!("bench: hostile: round {} of {ROUNDS}, {}", round + 1, edge.name);
            // What is measured without stands next to each attack: the machine is not the same for minutes.
            for (number, (kind, _)) in KINDS.iter().enumerate() {
                if *kind == Kind::Http2 && edge.name != "gateway" {
                    continue;
                }
                for (row, (_, plan)) in rows.iter_mut().zip(&loads) {
                    row.add(2 * number, plan, edge).await?;
                }
                let alone = memory(edge)?.resident;
                let force = Force::send(*kind, edge, &tls, round).await?;
                let before = force.done.load(Ordering::Relaxed);
                for (row, (_, plan)) in rows.iter_mut().zip(&loads) {
                    row.add(2 * number + 1, plan, edge).await?;
                }
                let after = force.done.load(Ordering::Relaxed);
                eprintln!("bench: hostile: {kind:?}: {before} before, {after} after");
                if matches!(kind, Kind::Slow | Kind::Idle) && after < before {
                    return Err(format!(
                        "{}: {} of {before} connections were closed meanwhile",
                        edge.name,
                        before - after
                    )
                    .into());
                }
                if *kind == Kind::Idle {
                    idle.add((memory(edge)?.resident - alone) / IDLE as f64);
                }
                drop(force);
                tokio::time::sleep(REST).await;
            }
        }
    }
    print(&edges, &loads, &rows);
    for (edge, idle) in edges.iter().zip(&idle) {
        // What a round leaves behind serves the next one: the first is the one that tells.
        println!(
            "- {}: at most {:.1} KiB resident more for an idle connection",
            edge.name,
            idle.quantile(1.0) / KIB as f64
        );
    }
    println!();
    Ok(())
}

impl Row {
    fn new() -> Self {
        let samples = || (0..2 * KINDS.len()).map(|_| Samples::default()).collect();
        Self { per_second: samples(), p50: samples(), p99: samples() }
    }

    async fn add(&mut self, at: usize, plan: &Plan, edge: &Edge) -> Result<(), Failure> {
        let load = plan.run(edge).await?;
        if load.others(Cache::Hit) > 0 {
            return Err(format!("{}: {} answers were no hits", edge.name, load.others(Cache::Hit)).into());
        }
        let first = load.first(|_| true);
        for (samples, value) in [
            (&mut self.per_second, load.count() / load.wall),
            (&mut self.p50, first.quantile(0.5)),
            (&mut self.p99, first.quantile(0.99)),
        ] {
            if let Some(samples) = samples.get_mut(at) {
                samples.add(value);
            }
        }
        Ok(())
    }
}

impl Force {
    /// Returns once all of them are there.
    async fn send(kind: Kind, edge: &Edge, tls: &Tls, round: usize) -> Result<Self, Failure> {
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let fighters =
            Fighters { kind, edge: edge.clone(), tls: tls.clone(), round, over: over.clone(), done: done.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(fighters.fight(ready));
            }
        });
        let force = Self { over, done, thread: Some(thread) };
        is_ready.await??;
        Ok(force)
    }
}

impl Drop for Force {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Fighters {
    kind: Kind,
    edge: Edge,
    tls: Tls,
    round: usize,
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Fighters {
    async fn fight(self, ready: tokio::sync::oneshot::Sender<Result<(), String>>) {
        let result = match self.kind {
            Kind::Slow => self.hold(SLOW, b"GET / HTTP/1.1\r\nHost: films.test\r\nX-Slow: ", false).await,
            Kind::Idle => self.hold(IDLE, b"GET / HTTP/1.1\r\nHost: films.test\r\n\r\n", true).await,
            Kind::Bombs | Kind::Http2 => Ok(Vec::new()),
        };
        let (mut held, said) = match result {
            Ok(held) => (held, Ok(())),
            Err(error) => (Vec::new(), Err(error.to_string())),
        };
        let _ = ready.send(said);
        match self.kind {
            Kind::Slow => {
                while !self.over.load(Ordering::Relaxed) {
                    // Each a byte a second, not all at the same moment.
                    for some in held.chunks_mut(SLOW / 20) {
                        for wire in some {
                            if wire.write_all(b"x").await.is_err() || wire.flush().await.is_err() {
                                self.done.fetch_sub(1, Ordering::Relaxed);
                            }
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            Kind::Idle => self.until_over().await,
            Kind::Bombs | Kind::Http2 => {
                let mut striking = JoinSet::new();
                for number in 0..BOMBERS {
                    let fighters = self.clone();
                    striking.spawn(async move { fighters.strike(number).await });
                }
                self.until_over().await;
                striking.abort_all();
            }
        }
    }

    async fn until_over(&self) {
        while !self.over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn from(&self, number: usize) -> IpAddr {
        // Few enough by address that none runs out of ports while the last round's are not free yet.
        let network = u8::try_from(10 * self.round + self.kind as usize + 100).unwrap_or(u8::MAX);
        let edge = if self.edge.name == "gateway" { 2 } else { 3 };
        IpAddr::from([127, edge, network, u8::try_from(number % 200 + 1).unwrap_or(1)])
    }

    async fn open(&self, door: Door, number: usize) -> Result<Box<dyn Wire>, Failure> {
        let secure = matches!(door, Door::Tls | Door::TlsH2);
        let address = if secure { self.edge.tls.ok_or("it has no TLS")? } else { self.edge.client.address };
        knock(door, address, self.from(number), &*self.tls).await
    }

    /// Opens connections and sends this on each, after which each is answered, or none is.
    async fn hold(&self, count: usize, first: &'static [u8], answered: bool) -> Result<Vec<Box<dyn Wire>>, Failure> {
        let numbers: Vec<usize> = (0..count).collect();
        let mut held = Vec::new();
        for some in numbers.chunks(AT_ONCE) {
            let mut opening = JoinSet::new();
            for number in some {
                let (door, fighters, number) =
                    (if number % 2 == 0 { Door::Plain } else { Door::Tls }, self.clone(), *number);
                opening.spawn(async move {
                    let mut wire = fighters.open(door, number).await?;
                    wire.write_all(first).await?;
                    wire.flush().await?;
                    let mut answer = [0; 4096];
                    if answered && wire.read(&mut answer).await? == 0 {
                        return Err("closed at once".into());
                    }
                    Ok::<_, Failure>(wire)
                });
            }
            while let Some(wire) = opening.join_next().await {
                held.push(wire??);
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(held)
    }

    /// Blow after blow, each on a connection of its own.
    async fn strike(&self, number: usize) {
        let bomb = match self.kind {
            Kind::Http2 => {
                let settings = frame(4, 0, 0, &[]);
                let resets = (0..500).flat_map(|n| {
                    let ask = [&[0x82, 0x86, 0x84, 0x01, 10][..], b"films.test"].concat();
                    [frame(1, 5, 2 * n + 1, &ask), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
                });
                let pings = frame(6, 0, 0, &[0; 8]).repeat(20_000);
                [PREFACE, &settings, &if number.is_multiple_of(2) { resets.collect() } else { pings }].concat()
            }
            _ => [&b"GET / HTTP/1.1\r\nHost: films.test\r\nX-Bomb: "[..], &vec![b'x'; BOMB]].concat(),
        };
        let door = match (self.kind, number % 2) {
            (Kind::Http2, _) => Door::TlsH2,
            (_, 0) => Door::Plain,
            _ => Door::Tls,
        };
        while !self.over.load(Ordering::Relaxed) {
            if let Ok(mut wire) = self.open(door, number).await {
                let _ = wire.write_all(&bomb).await;
                let _ = wire.flush().await;
                let _ = tokio::time::timeout(Duration::from_secs(2), wire.read(&mut [0; 4096])).await;
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(REST).await;
        }
    }
}

fn print(edges: &[Edge], loads: &[(String, Plan)], rows: &[Vec<Row>]) {
    println!(
        "{CONNECTIONS} connections ask for random ranges of {FILMS} cached films of {} MiB, one request each under way, one worker each, \
         without and with hostile clients, {:.1} s a run, medians of {ROUNDS} alternating rounds. Hostile clients come from {} addresses; the bound \
         on connections by address is off, so that they get in. Load generator and hostile clients share the machine. p50 and p99 are \
         of the body's first byte.\n",
        FILM >> 20,
        TIME.as_secs_f64(),
        200,
    );
    let head = ["hostile", "viewers", "edge", "requests/s", "with", "p50 ms", "with", "p99 ms", "with", "p99 ratio"];
    let mut table = Table::new(3, head);
    let mut goals = Vec::new();
    for (number, (kind, name)) in KINDS.iter().enumerate() {
        let mut worst = f64::NEG_INFINITY;
        for (at, (viewers, _)) in loads.iter().enumerate() {
            for (edge, rows) in edges.iter().zip(rows) {
                let Some(row) = rows.get(at) else { continue };
                let of =
                    |samples: &[Samples], with: usize| samples.get(2 * number + with).map_or(f64::NAN, Samples::median);
                let p99 = (of(&row.p99, 0), of(&row.p99, 1));
                if *kind == Kind::Http2 && edge.name != "gateway" {
                    continue;
                }
                if edge.name == "gateway" {
                    worst = worst.max(p99.1 / p99.0);
                }
                table.row([
                    (*name).to_owned(),
                    viewers.clone(),
                    edge.name.to_owned(),
                    figure(of(&row.per_second, 0)),
                    figure(of(&row.per_second, 1)),
                    figure(of(&row.p50, 0) * 1e3),
                    figure(of(&row.p50, 1) * 1e3),
                    figure(p99.0 * 1e3),
                    figure(p99.1 * 1e3),
                    ratio(p99.1, p99.0),
                ]);
            }
        }
        let verdict = if worst <= GOAL { "met" } else { "NOT met" };
        goals.push(format!(
            "- {name}: viewers' p99 at most {GOAL:.0}× of what it is without, measured {worst:.2}× at worst: {verdict}"
        ));
    }
    println!("{table}\nGoals:\n\n{}\n", goals.join("\n"));
}

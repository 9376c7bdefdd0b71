//! How fast the hive alone is: one viewer, many viewers, a seek, and what the processor would allow.

use crate::alone::{Alone, Setup};
use crate::clients::{PythonClient, python};
use crate::measure::{Samples, cpu_seconds, now};
use crate::rig::Meter;
use crate::table::{Table, figure, ratio};
use grammers_crypto::aes::ige_decrypt;
use harness::Failure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: f64 = (1_u64 << 30) as f64;
const FILM: u64 = 256 * MIB;
const ROUNDS: usize = 3;
const RTT_MS: u64 = 40;
/// What one connection carries, as on Telegram in practice.
const WIDTH: u64 = 6_000_000;
/// Connections of an account, as the hive's settings have it.
const CONNECTIONS: u64 = 8;
const VIEWERS: usize = 4;
/// Least part of what the connections carry together.
const GOAL: f64 = 0.9;
/// What a Python client downloads on the slow network: its speed is even, and more would take minutes.
const SHARE: u64 = 32 * MIB;
const SEEKS: usize = 200;
/// Most round trips to a cold seek's first byte, in the median.
const SEEK_GOAL: f64 = 1.3;
const LONG_FILM: u64 = 8 << 30;
/// A viewer looks for so long before seeking on.
const PAUSE: Duration = Duration::from_millis(50);
const RIVALS: [(&str, &str); 2] = [("Telethon iter_download", "telethon"), ("Kurigram stream_media", "kurigram")];

#[derive(Default)]
struct Row {
    bytes: u64,
    per_second: Samples,
    cpu: Samples,
    /// Of the simulator, for this contender's bytes.
    sim_cpu: Samples,
    /// Cores that the simulator had busy meanwhile.
    sim_busy: Samples,
}

impl Row {
    fn add(&mut self, bytes: u64, wall: f64, cpu: f64, sim: f64) {
        self.bytes = bytes;
        self.per_second.add(bytes as f64 / 1e6 / wall);
        self.cpu.add(cpu / (bytes as f64 / GIB));
        self.sim_cpu.add(sim / (bytes as f64 / GIB));
        self.sim_busy.add(sim / wall);
    }
}

pub(crate) async fn run(seed: u64) -> Result<(), Failure> {
    println!("## The hive alone\n");
    let python = python().await;
    if let Err(error) = &python {
        println!("Skipped: the Python clients: {error}\n");
    }
    let python = python.ok();
    println!(
        "No gateway; the simulator is a process of its own. Medians of {ROUNDS} alternating rounds of {} MiB that no cache has, from \
         accounts whose connections were opened by a viewer before, but for the first row. CPU s/GiB is the contender's process.\n",
        FILM / MIB
    );
    let mut table = Table::new(
        2,
        [
            "network",
            "who",
            "MiB",
            "MB/s",
            "of the wire",
            "CPU s/GiB",
            "to Telethon",
            "MB/s a core",
            "sim s/GiB",
            "sim cores",
        ],
    );
    let slow = format!("{RTT_MS} ms, 6 MB/s a connection");
    let wire = |accounts: usize| accounts as f64 * (CONNECTIONS * WIDTH) as f64 / 1e6;
    let (first, one) = shaped(python.as_deref()).await?;
    let four = viewers().await?;
    let free =
        contest(&Setup { rtt_ms: 0, connection_bytes_per_second: 0, ..setup(1) }, python.as_deref(), FILM).await?;
    rows(&mut table, &slow, &[("hive, first stream of all".to_owned(), first)], wire(1));
    rows(&mut table, &slow, &one, wire(1));
    let name = format!("hive, {VIEWERS} viewers, {VIEWERS} accounts");
    rows(&mut table, &slow, &[(name, four.0)], wire(VIEWERS));
    rows(&mut table, "unshaped", &free, f64::NAN);
    println!("{table}");
    let limit = aes_limit();
    println!(
        "AES-IGE decryption, one core, chunks of 512 KiB, by the crate that the hive's client uses: {limit:.0} MB/s."
    );
    let ours = free.first().map_or(f64::NAN, |(_, row)| GIB / 1e6 / row.cpu.median());
    println!("The hive gets {ours:.0} MB out of a second of processor: {} of that.\n", ratio(ours, limit));
    let single = one.first().map_or(f64::NAN, |(_, row)| row.per_second.median());
    goal("one stream, one account", single, wire(1));
    goal("four streams, four accounts", four.1, wire(VIEWERS));
    seek(seed).await
}

fn goal(what: &str, measured: f64, wire: f64) {
    let verdict = if measured >= GOAL * wire { "met" } else { "NOT met" };
    println!("Goal: {what} at {:.0} % of {wire:.0} MB/s. Measured {measured:.1}: {verdict}.\n", GOAL * 100.0);
}

fn setup(accounts: usize) -> Setup {
    let films = ROUNDS * VIEWERS + 1;
    Setup { rtt_ms: RTT_MS, connection_bytes_per_second: WIDTH, accounts, films, film: FILM }
}

fn rows(table: &mut Table, network: &str, rows: &[(String, Row)], wire: f64) {
    let rival = rows.iter().find(|(who, _)| who == RIVALS[0].0).map_or(f64::NAN, |(_, row)| row.cpu.median());
    for (who, row) in rows {
        let (speed, cpu) = (row.per_second.median(), row.cpu.median());
        table.row([
            network.to_owned(),
            who.clone(),
            (row.bytes / MIB).to_string(),
            figure(speed),
            if wire.is_finite() { format!("{:.0} %", speed / wire * 100.0) } else { "-".to_owned() },
            figure(cpu),
            ratio(cpu, rival),
            figure(GIB / 1e6 / cpu),
            figure(row.sim_cpu.median()),
            figure(row.sim_busy.median()),
        ]);
    }
}

/// The very first stream, then the contest.
async fn shaped(python: Option<&Path>) -> Result<(Row, Vec<(String, Row)>), Failure> {
    let setup = setup(1);
    let alone = Alone::start(&setup).await?;
    let mut first = Row::default();
    watch(&alone, &[setup.films], &mut first).await?;
    eprintln!("bench: speed: {} connections after the first stream", alone.connections().await?);
    drop(alone);
    Ok((first, contest(&setup, python, SHARE).await?))
}

/// One viewer of the hive beside the Python clients, in turns.
async fn contest(setup: &Setup, python: Option<&Path>, share: u64) -> Result<Vec<(String, Row)>, Failure> {
    let alone = Alone::start(setup).await?;
    watch(&alone, &[setup.films], &mut Row::default()).await?;
    let mut rivals = Vec::new();
    for (who, script) in RIVALS {
        let (Some(python), Some(seed)) = (python, alone.seeds.first()) else { break };
        match PythonClient::start(python, script, seed, 1, alone.folder()).await {
            Ok(mut client) => {
                client.download(MIB).await?;
                rivals.push((who, client));
            }
            Err(error) => println!("Skipped: {who}: {error}\n"),
        }
    }
    let mut rows = vec![("hive".to_owned(), Row::default())];
    rows.extend(rivals.iter().map(|(who, _)| ((*who).to_owned(), Row::default())));
    for round in 1..=ROUNDS {
        eprintln!("bench: speed: round {round} of {ROUNDS}");
        watch(&alone, &[round], &mut rows.first_mut().ok_or("row")?.1).await?;
        for ((who, client), (_, row)) in rivals.iter_mut().zip(rows.iter_mut().skip(1)) {
            let (own, sim) = ([client.pid], [alone.sim_pid]);
            let (own, sim) = (Meter::start(&own)?, Meter::start(&sim)?);
            let bytes = client.download(share).await?;
            let (wall, cpu) = own.stop()?;
            if bytes != share {
                return Err(format!("{who} got {bytes} bytes").into());
            }
            row.add(bytes, wall, cpu, sim.stop()?.1);
        }
    }
    Ok(rows)
}

/// Four viewers of as many films and accounts. What they get together, and the median of it.
async fn viewers() -> Result<(Row, f64), Failure> {
    let setup = setup(VIEWERS);
    let alone = Alone::start(&setup).await?;
    let all = |round: usize| (1..=VIEWERS).map(|viewer| round * VIEWERS + viewer).collect::<Vec<_>>();
    watch(&alone, &all(0), &mut Row::default()).await?;
    let mut row = Row::default();
    for round in 0..ROUNDS {
        eprintln!("bench: speed: {VIEWERS} viewers, round {} of {ROUNDS}", round + 1);
        watch(&alone, &all(round), &mut row).await?;
    }
    let together = row.per_second.median();
    Ok((row, together))
}

/// Reads whole films at once.
async fn watch(alone: &Alone, films: &[usize], row: &mut Row) -> Result<(), Failure> {
    let (hive, sim) = (alone.hive.pids.as_slice(), [alone.sim_pid]);
    let (before, meter) = (cpu_seconds(&sim)?, Meter::start(hive)?);
    let mut reading = tokio::task::JoinSet::new();
    for film in films {
        let (hive, (path, token)) = (alone.hive.clone(), alone.film(*film));
        let whole = format!("bytes=0-{}", FILM - 1);
        reading.spawn(
            async move { hive.fetch_as(&path, &[("range", &whole), ("authorization", &token)], u64::MAX).await },
        );
    }
    let mut bytes = 0;
    while let Some(fetched) = reading.join_next().await {
        bytes += fetched??.bytes;
    }
    let (wall, cpu) = meter.stop()?;
    if bytes != FILM * films.len() as u64 {
        return Err(format!("{bytes} bytes of {} films", films.len()).into());
    }
    row.add(bytes, wall, cpu, cpu_seconds(&sim)? - before);
    Ok(())
}

/// MB/s of AES-IGE decryption on one core: the best of some runs, as it is a limit.
fn aes_limit() -> f64 {
    const CHUNK: usize = 512 * 1024;
    const CHUNKS: usize = 128;
    let mut chunk = vec![7_u8; CHUNK];
    let mut best = f64::MAX;
    for _ in 0..5 {
        let started = now();
        for _ in 0..CHUNKS {
            ige_decrypt(black_box(&mut chunk), &[1; 32], &[2; 32]);
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    (CHUNK * CHUNKS) as f64 / 1e6 / best
}

async fn seek(seed: u64) -> Result<(), Failure> {
    let setup = Setup { rtt_ms: RTT_MS, connection_bytes_per_second: 0, accounts: 1, films: 1, film: LONG_FILM };
    let alone = Alone::start(&setup).await?;
    let (path, token) = alone.film(1);
    let hive = &alone.hive;
    let ask = async |from: u64, length: u64, most: u64| {
        let range = format!("bytes={from}-{}", from + length - 1);
        hive.fetch_as(&path, &[("range", &range), ("authorization", &token)], most).await
    };
    // Opens the connections, and tells the hive about the film.
    ask(0, 64 * MIB, u64::MAX).await?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut first_byte = Samples::default();
    for _ in 0..SEEKS {
        let from = rng.random_range(64 * MIB..LONG_FILM - 4 * MIB);
        first_byte.add_time(ask(from, 4 * MIB, 1).await?.first_byte);
        tokio::time::sleep(PAUSE).await;
    }
    let trips = |part| first_byte.quantile(part) * 1e3 / RTT_MS as f64;
    let mut table = Table::new(1, ["cold seek, hive alone", "n", "median ms", "median RTT", "p90 RTT", "p99 RTT"]);
    table.row([
        format!("{RTT_MS} ms"),
        first_byte.count().to_string(),
        figure(first_byte.median() * 1e3),
        figure(trips(0.5)),
        figure(trips(0.9)),
        figure(trips(0.99)),
    ]);
    println!("{table}");
    let verdict = if trips(0.5) <= SEEK_GOAL { "met" } else { "NOT met" };
    println!(
        "Goal: a cold seek's first byte within {SEEK_GOAL} round trips (median). Measured {:.2}: {verdict}.\n",
        trips(0.5)
    );
    Ok(())
}

//! How long a viewer waits after seeking to a place that nobody watched yet.

use crate::measure::Samples;
use crate::rig::{Edge, Meter, Rig};
use crate::table::{Table, figure, ratio};
use harness::{Failure, Film, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use telegram_sim::Shape;

/// Simulated round trip to Telegram, in milliseconds.
const RTT_MS: u64 = 40;
/// Most round trips to the first byte of a cold seek, in the median.
const GOAL: f64 = 2.0;
const ROUNDS: u32 = 10;
const SEEKS: u32 = 20;
const OPENS: u32 = 4;
const SLICE: u64 = 1 << 20;
const FILM: u64 = 2 << 30;
/// Slices from one seek to the next: more than a server fetches for a viewer who leaves after the first byte.
const STRIDE: u64 = 10;
/// Bytes that a seek asks for. With an open end, parts fetched before would lie in the range and it could be told by no
/// header that this place was not cached.
const WATCHED: u64 = 4 << 20;
/// The viewer looks for so long before seeking on; what was still under way for the last seek may go on meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Row {
    first_byte: Samples,
    cpu: Samples,
}

pub(crate) async fn run(seed: u64) -> Result<(), Failure> {
    let shape = Shape { rtt_ms: RTT_MS, ..Shape::default() };
    let mut settings = Settings { shape, ..Settings::default() }.film("seek.mkv", FILM);
    // The hive remembers where a film lies, so each server has unseen films of its own.
    for server in 0..2 {
        for number in 0..ROUNDS * OPENS {
            settings = settings.film(&format!("open-{server}-{number}.mkv"), FILM);
        }
    }
    let rig = Rig::start(settings, true).await?;
    let edges = rig.edges()?;
    let film = rig.stack.film("seek.mkv")?;
    let mut rng = StdRng::seed_from_u64(seed);
    let strides = u64::from(ROUNDS * SEEKS);
    let mut places: Vec<u64> = (0..strides).map(|n| n * STRIDE * SLICE + rng.random_range(0..SLICE)).collect();
    for left in (1..places.len()).rev() {
        places.swap(left, rng.random_range(0..=left));
    }
    // Opens all connections on the way, and tells the servers about the film. Behind the last stride.
    for edge in &edges {
        edge.fetch(&rig.stack.link(film), &format!("bytes={}-", strides * STRIDE * SLICE), 16 * SLICE).await?;
    }
    let mut seeks: Vec<Row> = edges.iter().map(|_| Row::default()).collect();
    let mut opens: Vec<Row> = edges.iter().map(|_| Row::default()).collect();
    let hive = rig.hive_pid()?;
    for (round, places) in (0..ROUNDS).zip(places.chunks(SEEKS as usize)) {
        for (number, edge) in edges.iter().enumerate() {
            let mut pids = edge.pids.clone();
            pids.push(hive);
            let jumps = places.iter().map(|place| (film, format!("bytes={place}-{}", place + WATCHED - 1)));
            fill(&rig, edge, &pids, jumps, seeks.get_mut(number).ok_or("row")?).await?;
            let fresh = (round * OPENS..(round + 1) * OPENS)
                .map(|film| Ok((rig.stack.film(&format!("open-{number}-{film}.mkv"))?, "bytes=0-".to_owned())))
                .collect::<Result<Vec<_>, Failure>>()?;
            fill(&rig, edge, &pids, fresh, opens.get_mut(number).ok_or("row")?).await?;
        }
    }
    print(&edges, &seeks, &opens);
    Ok(())
}

/// Asks for each place once and looks whether nobody had it.
async fn fill(
    rig: &Rig,
    edge: &Edge,
    pids: &[u32],
    places: impl IntoIterator<Item = (&Film, String)>,
    row: &mut Row,
) -> Result<(), Failure> {
    let meter = Meter::start(pids)?;
    let mut asked = 0.0;
    for (film, range) in places {
        let fetch = edge.fetch(&rig.stack.link(film), &range, 1).await?;
        if fetch.cache != "MISS" {
            return Err(format!("{}: {range} of {} was no miss: {}", edge.name, film.name, fetch.cache).into());
        }
        row.first_byte.add_time(fetch.first_byte);
        asked += 1.0;
        tokio::time::sleep(PAUSE).await;
    }
    row.cpu.add(meter.stop()?.1 / asked);
    Ok(())
}

fn print(edges: &[Edge], seeks: &[Row], opens: &[Row]) {
    println!("## First byte of a cold seek\n");
    println!(
        "Round trip to Telegram {RTT_MS} ms, connections warm, generated films of 2 GiB, random bytes that no cache has; \
         the viewer leaves at the first byte. CPU is edge and hive together.\n"
    );
    let mut table = Table::new(
        2,
        [
            "what",
            "edge",
            "n",
            "median ms",
            "p90 ms",
            "p99 ms",
            "median RTT",
            "p90 RTT",
            "p99 RTT",
            "to nginx",
            "CPU ms each",
        ],
    );
    for (what, rows) in [("seek, film known", seeks), ("first open of a film", opens)] {
        let rival = rows.get(1).map_or(f64::NAN, |row| row.first_byte.median());
        for (edge, row) in edges.iter().zip(rows) {
            let at = |part| row.first_byte.quantile(part) * 1e3;
            let trips = |part| figure(at(part) / RTT_MS as f64);
            table.row([
                what.to_owned(),
                edge.name.to_owned(),
                row.first_byte.count().to_string(),
                figure(at(0.5)),
                figure(at(0.9)),
                figure(at(0.99)),
                trips(0.5),
                trips(0.9),
                trips(0.99),
                ratio(row.first_byte.median(), rival),
                figure(row.cpu.median() * 1e3),
            ]);
        }
    }
    println!("{table}");
    let trips = seeks.first().map_or(f64::NAN, |row| row.first_byte.median()) * 1e3 / RTT_MS as f64;
    let verdict = if trips <= GOAL { "met" } else { "NOT met" };
    println!("Goal: a cold seek's first byte within {GOAL} round trips (median). Measured {trips:.2}: {verdict}.\n");
}

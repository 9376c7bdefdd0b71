//! Measures the gateway and the hive beside what users would pick instead, on this machine, in one run.
//!
//! What it does: prints Markdown tables to standard output, one for each argument (`seek`, `speed`, `hits`, …: see README.md; without
//! arguments all). What it refuses to do: print a figure that it did not measure just now, or compare runs that did not
//! alternate. Who calls it: `make bench`, through `scripts/bench`. What stays true: a missing rival is named in the output
//! and left out; a server that answers wrongly fails the table. See README.md beside it for what each row means.

mod alone;
mod clients;
mod crowd;
mod download;
mod hits;
mod hostile;
mod idle;
mod load;
mod measure;
mod million;
mod misses;
mod nginx;
mod plugins;
mod rig;
mod seek;
mod speed;
mod table;
mod tls;
mod wrk;

use harness::Failure;
use hits::Scheme;
use std::process::{Command, ExitCode};
use tokio::signal::unix::{SignalKind, signal};

const TABLES: [&str; 12] =
    ["seek", "speed", "download", "hits", "tls", "misses", "mix", "crowd", "idle", "hostile", "million", "plugins"];

#[tokio::main]
async fn main() -> ExitCode {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !TABLES.contains(&name.as_str())) {
        eprintln!("bench: no such table: {unknown}; there are {}", TABLES.join(", "));
        return ExitCode::from(2);
    }
    if wanted.is_empty() {
        wanted = TABLES.map(str::to_owned).into();
    }
    let seed = match std::env::var("BENCH_SEED").ok().map(|seed| seed.parse()) {
        None => 1,
        Some(Ok(seed)) => seed,
        Some(Err(_)) => {
            eprintln!("bench: BENCH_SEED is no number");
            return ExitCode::from(2);
        }
    };
    print_machine(seed);
    let started = measure::now();
    let mut status = ExitCode::SUCCESS;
    for name in &wanted {
        eprintln!("bench: {name}");
        // Told to stop, it drops what it started, and with that ends it.
        let ended = tokio::select! {
            ended = run(name, seed) => ended,
            () = told_to_stop() => return ExitCode::FAILURE,
        };
        if let Err(error) = ended {
            println!("FAILED: {name}: {error}\n");
            status = ExitCode::FAILURE;
        }
    }
    eprintln!("bench: {:.0} s", started.elapsed().as_secs_f64());
    status
}

async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn run(name: &str, seed: u64) -> Result<(), Failure> {
    match name {
        "seek" => seek::run(seed).await,
        "speed" => speed::run(seed).await,
        "download" => download::run().await,
        "plugins" => plugins::run().await,
        "misses" => misses::misses(seed).await,
        "mix" => misses::mix(seed).await,
        "crowd" => crowd::run(seed).await,
        "idle" => idle::run(seed).await,
        "hostile" => hostile::run(seed).await,
        "million" => million::run().await,
        "tls" => hits::run(seed, Scheme::Tls).await,
        _ => hits::run(seed, Scheme::Plain).await,
    }
}

fn print_machine(seed: u64) {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile =
        if cfg!(debug_assertions) { "development build: these figures mean nothing" } else { "optimised build" };
    let date = said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    println!("# streamvault bench\n");
    println!("- {date}, {profile}, seed {seed}");
    println!("- {} × {}, Linux {}", cores, processor.map_or("unknown processor", |(_, name)| name), kernel.trim());
    println!("- {}, {}\n", said("nginx", &["-v"]), said("wrk", &["-v"]));
}

/// The first line that a program says, on whichever output.
fn said(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return format!("no {program}") };
    let all = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&all).lines().next().unwrap_or_default().to_owned()
}

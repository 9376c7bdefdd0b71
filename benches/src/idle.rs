//! What a viewer costs who is there and hardly takes anything: ten thousand of them.

use crate::hits::warm;
use crate::load::{Connection, Request, Viewer};
use crate::rig::{Edge, Rig};
use crate::table::{Table, figure};
use harness::{Failure, Film, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

const MIB: u64 = 1 << 20;
const KIB: f64 = 1024.0;
const STREAMS: usize = 10_000;
const FILMS: usize = 4;
const FILM: u64 = 64 * MIB;
/// What each stream asks for, of which it takes next to nothing.
const RANGE: u64 = 8 * MIB;
/// Bytes that a stream takes in each sweep, and how many sweeps there are.
const SIP: usize = 16;
const SWEEPS: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Streams that are opened at the same time.
const AT_ONCE: usize = 250;
/// Streams from one address of this machine, so that none runs out of ports.
const BY_ADDRESS: usize = 5000;
/// Files that a server of so many streams and what holds them open need besides.
const SPARE: u64 = 2000;
/// Most bytes of memory for a stream over HTTP.
const GOAL: f64 = 25.0 * KIB;

/// A process's memory, in bytes: all that is resident, and what of it is no page of a file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    anonymous: f64,
}

struct Row {
    scheme: &'static str,
    edge: &'static str,
    before: Memory,
    half: Memory,
    after: Memory,
    /// Bytes that the kernel holds for all sockets of the machine, less what it held before.
    sockets: f64,
    cpu: f64,
}

pub(crate) async fn run(seed: u64) -> Result<(), Failure> {
    println!("## {STREAMS} idle streams\n");
    let needed = STREAMS as u64 + SPARE;
    if let Err(error) = raise(needed) {
        println!("Skipped: {needed} open files are not allowed here ({error}).\n");
        return Ok(());
    }
    let mut rows = Vec::new();
    // Programs are started anew for each: memory that one crowd left behind would be there for the next.
    for (number, scheme) in ["HTTP", "TLS"].into_iter().enumerate() {
        // As nginx' send_timeout in its settings: viewers so idle would be cut after a minute, by default of both.
        let settings = Settings::default().gateway("threads", "1").gateway("limits.write_timeout", "\"10m\"");
        let settings = (0..FILMS).fold(settings, |settings, film| settings.film(&format!("idle-{film}.mkv"), FILM));
        let rig = Rig::start(settings, true).await?;
        let films: Vec<&Film> = rig.stack.films.iter().collect();
        let tls = if scheme == "TLS" { Some(rig.certificate.connector()?) } else { None };
        for (turn, edge) in rig.edges()?.iter().enumerate() {
            eprintln!("bench: idle: {}, {scheme}", edge.name);
            warm(&rig, edge, &films).await?;
            let mut rng = StdRng::seed_from_u64(seed);
            let requests: Vec<Request> = (0..STREAMS)
                .map(|stream| {
                    let film = films.get(stream % FILMS).ok_or("no film")?;
                    Ok(Request::range(&rig.stack.link(film), rng.random_range(0..=FILM - RANGE), RANGE))
                })
                .collect::<Result<_, Failure>>()?;
            // Ports of the crowd before may not be free yet.
            let network = u8::try_from(2 * number + turn + 1)?;
            rows.push(hold(edge, scheme, tls.as_ref(), &requests, network).await?);
        }
    }
    print(&rows);
    Ok(())
}

/// Lets this process, and those that it starts, open so many files.
pub(crate) fn raise(files: u64) -> Result<(), rustix::io::Errno> {
    let now = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= files);
    if enough(now.current) && enough(now.maximum) {
        return Ok(());
    }
    let maximum = if enough(now.maximum) { now.maximum } else { Some(files) };
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })
}

/// Opens all streams, keeps them for a while, and looks at the server's memory meanwhile.
async fn hold(
    edge: &Edge,
    scheme: &'static str,
    tls: Option<&TlsConnector>,
    requests: &[Request],
    network: u8,
) -> Result<Row, Failure> {
    let (before, sockets) = (memory(edge)?, socket_bytes()?);
    let mut half = before;
    let mut streams: Vec<Connection> = Vec::new();
    for some in requests.chunks(AT_ONCE) {
        let mut opening = JoinSet::new();
        for (number, request) in some.iter().enumerate() {
            let host = u8::try_from((streams.len() + number) / BY_ADDRESS + 1)?;
            let source = SocketAddr::from((Ipv4Addr::new(127, 1, network, host), 0));
            let (edge, tls, request) = (edge.clone(), tls.cloned(), request.clone());
            opening.spawn(async move {
                let mut stream = Connection::open(&edge, tls.as_ref(), Viewer::Slow(source)).await?;
                stream.ask(&request, 1).await?;
                Ok::<_, Failure>(stream)
            });
        }
        while let Some(stream) = opening.join_next().await {
            streams.push(stream??);
        }
        if streams.len() == STREAMS / 2 {
            half = memory(edge)?;
        }
    }
    let started = crate::measure::cpu_seconds(&edge.pids)?;
    for _ in 0..SWEEPS {
        tokio::time::sleep(PAUSE).await;
        for stream in &mut streams {
            // Nothing there is no end: the other side may send again only once there is room for a whole segment.
            let sip = tokio::time::timeout(Duration::ZERO, stream.skip(SIP)).await;
            match sip {
                Ok(Ok(0)) => return Err(format!("{} gave up on a slow viewer", edge.name).into()),
                Ok(Err(error)) => return Err(format!("{}: a slow viewer: {error}", edge.name).into()),
                Ok(Ok(_)) | Err(_) => {}
            }
        }
    }
    let cpu = crate::measure::cpu_seconds(&edge.pids)? - started;
    let (after, sockets) = (memory(edge)?, socket_bytes()? - sockets);
    Ok(Row { scheme, edge: edge.name, before, half, after, sockets, cpu })
}

pub(crate) fn memory(edge: &Edge) -> Result<Memory, Failure> {
    let mut memory = Memory::default();
    for pid in &edge.pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            kib.map(|kib| kib * KIB).ok_or_else(|| format!("process {pid} has no {name}"))
        };
        memory.resident += field("VmRSS:")?;
        memory.anonymous += field("RssAnon:")?;
    }
    Ok(memory)
}

/// Pages that the kernel has for TCP, of the whole machine.
fn socket_bytes() -> Result<f64, Failure> {
    let all = std::fs::read_to_string("/proc/net/sockstat")?;
    let line = all.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let pages = line.split_ascii_whitespace().skip_while(|word| *word != "mem").nth(1);
    Ok(pages.unwrap_or_default().parse::<f64>()? * rustix::param::page_size() as f64)
}

fn print(rows: &[Row]) {
    println!(
        "Each viewer has a connection of its own with a receive buffer of 16 KiB, asks for {} MiB of {FILMS} cached \
         films, and takes {SIP} bytes a second at most; {STREAMS} at once, held for {} s, one worker each. Memory is what the server has \
         resident, and of that what is no page of a file (anonymous), less what it had before the first viewer, for each of them. \
         What the kernel keeps for the sockets is no process's memory; for both ends together it stands beside.\n",
        RANGE / MIB,
        PAUSE.as_secs() * SWEEPS as u64
    );
    let head = [
        "over",
        "edge",
        "before MiB",
        "with all MiB",
        "KiB a stream",
        "second half KiB",
        "anonymous KiB",
        "sockets KiB",
        "CPU ms a second",
    ];
    let mut table = Table::new(2, head);
    let each = |more: f64, streams: usize| more / KIB / streams as f64;
    for row in rows {
        table.row([
            row.scheme.to_owned(),
            row.edge.to_owned(),
            figure(row.before.resident / KIB / KIB),
            figure(row.after.resident / KIB / KIB),
            figure(each(row.after.resident - row.before.resident, STREAMS)),
            figure(each(row.after.resident - row.half.resident, STREAMS - STREAMS / 2)),
            figure(each(row.after.anonymous - row.before.anonymous, STREAMS)),
            figure(each(row.sockets, STREAMS)),
            figure(row.cpu * 1e3 / (PAUSE.as_secs_f64() * SWEEPS as f64)),
        ]);
    }
    println!("{table}");
    if let Some(ours) = rows.first() {
        let bytes = (ours.after.resident - ours.before.resident) / STREAMS as f64;
        let verdict = if bytes <= GOAL { "met" } else { "NOT met" };
        let (bytes, goal) = (bytes / KIB, GOAL / KIB);
        println!("Goal: at most {goal:.0} KiB resident for a stream over HTTP. Measured {bytes:.1}: {verdict}.\n");
    }
}

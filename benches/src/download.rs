//! How fast one viewer gets a film that nobody watched yet, beside Python clients on the same simulated Telegram.

use crate::clients::{PythonClient, python};
use crate::measure::Samples;
use crate::rig::{Meter, Rig};
use crate::table::{Table, figure, ratio};
use harness::{Failure, Settings};
use http::Method;
use telegram_sim::Shape;

const ROUNDS: usize = 5;
const MIB: u64 = 1 << 20;
const GIB: f64 = (1_u64 << 30) as f64;
const FILM: u64 = 256 * MIB;
/// A network, and how much a Python client downloads on it: their speed is even, and a slow one would take minutes.
const NETWORKS: [(&str, u64, u64, u64); 2] =
    [("40 ms, 6 MB/s a connection", 40, 6_000_000, 32 * MIB), ("unshaped", 0, 0, FILM)];
const RIVALS: [(&str, &str); 2] = [("Telethon iter_download", "telethon"), ("Kurigram stream_media", "kurigram")];

#[derive(Default)]
struct Row {
    megabytes: u64,
    per_second: Samples,
    cpu: Samples,
    /// The gateway's part.
    cpu_gateway: Samples,
}

impl Row {
    fn add(&mut self, bytes: u64, (wall, cpu): (f64, f64)) {
        self.megabytes = bytes / MIB;
        self.per_second.add(bytes as f64 / 1e6 / wall);
        self.cpu.add(cpu / (bytes as f64 / GIB));
    }
}

pub(crate) async fn run() -> Result<(), Failure> {
    println!("## Download of a cold film by one viewer\n");
    let python = python().await;
    if let Err(error) = &python {
        println!("Skipped: the Python clients: {error}\n");
    }
    println!(
        "Medians of {ROUNDS} alternating rounds, each with a film of {} MiB that no cache has, one account. CPU of ours is \
         gateway and hive, of a Python client the client, which is viewer too.\n",
        FILM / MIB
    );
    let mut table =
        Table::new(2, ["network", "who", "MiB", "MB/s", "to Telethon", "CPU s/GiB", "to Telethon", "of it gateway"]);
    for network in NETWORKS {
        let (name, rows) = (network.0, measure(network, python.as_deref().ok()).await?);
        let rival =
            |of: fn(&Row) -> f64| rows.iter().find(|(who, _)| *who == RIVALS[0].0).map_or(f64::NAN, |row| of(&row.1));
        for (who, row) in &rows {
            let (speed, cpu) = (row.per_second.median(), row.cpu.median());
            table.row([
                name.to_owned(),
                (*who).to_owned(),
                row.megabytes.to_string(),
                figure(speed),
                ratio(speed, rival(|row| row.per_second.median())),
                figure(cpu),
                ratio(cpu, rival(|row| row.cpu.median())),
                figure(row.cpu_gateway.median()),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

async fn measure(
    (name, rtt_ms, connection_bytes_per_second, share): (&str, u64, u64, u64),
    python: Option<&std::path::Path>,
) -> Result<Vec<(&'static str, Row)>, Failure> {
    let shape = Shape { rtt_ms, connection_bytes_per_second, ..Shape::default() };
    let settings = Settings { shape, ..Settings::default() };
    // One film more: what opens the connections is not measured.
    let settings = (0..=ROUNDS).fold(settings, |settings, round| settings.film(&format!("film-{round}.mkv"), FILM));
    let rig = Rig::start(settings, false).await?;
    let edge = rig.edges()?.into_iter().next().ok_or("no gateway")?;
    let (gateway, hive) = ([rig.gateway_pid()?], rig.hive_pid()?);
    let both = [gateway[0], hive];
    let link =
        |round: usize| -> Result<String, Failure> { Ok(rig.stack.link(rig.stack.film(&format!("film-{round}.mkv"))?)) };
    edge.fetch(&link(ROUNDS)?, "bytes=0-", 16 * MIB).await?;

    let mut rivals = Vec::new();
    for (who, script) in RIVALS {
        let Some(python) = python else { break };
        let film = rig.stack.film("film-0.mkv")?;
        let seed = rig.stack.sim.seeds().into_iter().next().ok_or("no account")?;
        match PythonClient::start(python, script, &seed, film.message_id, rig.folder()).await {
            Ok(mut client) => {
                client.download(MIB).await?;
                rivals.push((who, client));
            }
            Err(error) => println!("Skipped: {who}: {error}\n"),
        }
    }
    let mut rows = vec![("streamvault", Row::default())];
    rows.extend(rivals.iter().map(|(who, _)| (*who, Row::default())));
    for round in 0..ROUNDS {
        eprintln!("bench: download: {name}, round {} of {ROUNDS}", round + 1);
        let link = link(round)?;
        // The Python clients know their film too.
        edge.client.ask(Method::HEAD, &link, &[]).await?;
        let (all, own) = (Meter::start(&both)?, Meter::start(&gateway)?);
        let fetch = edge.fetch(&link, "bytes=0-", u64::MAX).await?;
        let (_, cpu) = all.stop()?;
        if fetch.bytes != FILM || fetch.cache != "MISS" {
            return Err(format!("{} bytes came as {}", fetch.bytes, fetch.cache).into());
        }
        let (_, row) = rows.first_mut().ok_or("row")?;
        row.add(fetch.bytes, (fetch.whole.as_secs_f64(), cpu));
        row.cpu_gateway.add(own.stop()?.1 / (FILM as f64 / GIB));
        for ((who, client), (_, row)) in rivals.iter_mut().zip(rows.iter_mut().skip(1)) {
            let pid = [client.pid];
            let meter = Meter::start(&pid)?;
            let bytes = client.download(share).await?;
            row.add(bytes, meter.stop()?);
            if bytes != share {
                return Err(format!("{who} got {bytes} bytes").into());
            }
        }
    }
    Ok(rows)
}

//! `telegram-sim`: the simulator as a program. Results go to stdout, logs to stderr.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use telegram_sim::{ControlSocket, FolderOptions, Placement, Shape, Sim, World, rsa_public_pem};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "telegram-sim", version, about = "A simulated Telegram data-centre on loopback")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a folder or a world until SIGINT or SIGTERM
    #[command(after_help = RUN_HELP)]
    Run(Box<Run>),
    /// Print the RSA public key that clients need for the full key exchange
    Key,
}

const RUN_HELP: &str = "\
Examples:
  telegram-sim run --library ~/films --seeds /tmp/seeds --rtt-ms 40
  telegram-sim run --world world.toml --control unix:/tmp/sim.sock
  telegram-sim run --library ~/films --foreign alternate --base-port 9000

Prints, one line each:
  DC <id> <ip> <port>
  CONTROL <address>
  SEED <account> <file>
  RSA <file>
  FILE <chat id> <message id> <size> <dc> <name>
  READY

The control socket takes one JSON object a line, for example:
  {\"do\":\"add_fault\",\"rule\":{\"method\":\"upload.getFile\",\"when\":{\"nth\":3},\"then\":{\"flood_wait\":7}}}
  {\"do\":\"counters\"}

Exit codes: 0 stopped, 1 failed, 2 wrong usage.";

#[derive(Args)]
struct Run {
    /// Folder whose files become the messages of a channel
    #[arg(long, value_name = "DIR", conflicts_with = "world", required_unless_present = "world")]
    library: Option<PathBuf>,
    /// World in TOML
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// With --library: which files lie on the foreign data-centre
    #[arg(long, value_enum, default_value = "none", conflicts_with = "world")]
    foreign: Foreign,
    /// With --library: how many bots there are
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "world")]
    bots: u32,
    /// With --library: how many premium users there are
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "world")]
    users: u32,
    /// With --library: what keys, hashes and references are made from
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "world")]
    seed: u64,
    /// Folder to write one session seed per account to, and the RSA public key
    #[arg(long, value_name = "DIR")]
    seeds: Option<PathBuf>,
    /// Round-trip time in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0)]
    rtt_ms: u64,
    /// Bytes a second on one connection (0: any)
    #[arg(long, value_name = "N", default_value_t = 0)]
    bytes_per_second: u64,
    /// Bytes a second of one account, all its connections together (0: any)
    #[arg(long, value_name = "N", default_value_t = 0)]
    account_bytes_per_second: u64,
    /// Where to listen for control: IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDR")]
    control: Option<String>,
    /// Port of the first data-centre, the others follow it (0: any)
    #[arg(long, value_name = "N", default_value_t = 0)]
    base_port: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Foreign {
    None,
    Alternate,
    All,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let result = match cli.command {
        Command::Run(options) => run(&options),
        Command::Key => print(&rsa_public_pem()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Run) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is printed: whoever reads READY may stop us at once.
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let control = match &options.control {
            Some(address) => Some(ControlSocket::bind(address).await.map_err(|error| format!("{address}: {error}"))?),
            None => None,
        };
        let shape = Shape {
            rtt_ms: options.rtt_ms,
            connection_bytes_per_second: options.bytes_per_second,
            account_bytes_per_second: options.account_bytes_per_second,
            flood: None,
        };
        let sim = Arc::new(Sim::start_on(world(options)?, shape, options.base_port)?);
        print(&announcement(&sim, control.as_ref(), options.seeds.as_deref())?)?;
        let serve = async {
            match control {
                Some(control) => control.serve(Arc::clone(&sim), std::env::current_dir().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = serve => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopped");
        Ok(())
    })
}

fn world(options: &Run) -> Result<World, Failure> {
    if let Some(path) = &options.world {
        return Ok(World::from_toml_file(path)?);
    }
    let placement = match options.foreign {
        Foreign::None => Placement::Home,
        Foreign::Alternate => Placement::Alternate,
        Foreign::All => Placement::Foreign,
    };
    let folder = FolderOptions { seed: options.seed, placement, bots: options.bots, users: options.users };
    Ok(World::from_folder(options.library.as_deref().unwrap_or(Path::new(".")), &folder)?)
}

/// Writes the seeds and says everything a reader of stdout wants to know.
fn announcement(sim: &Sim, control: Option<&ControlSocket>, seeds: Option<&Path>) -> Result<String, Failure> {
    use std::fmt::Write;
    let mut text = String::new();
    for dc in sim.seeds().first().map(|seed| seed.dcs.clone()).unwrap_or_default() {
        writeln!(text, "DC {} {} {}", dc.id, dc.ip, dc.port)?;
    }
    if let Some(control) = control {
        writeln!(text, "CONTROL {}", control.address())?;
    }
    if let Some(folder) = seeds {
        std::fs::create_dir_all(folder)?;
        for seed in sim.seeds() {
            let path = folder.join(format!("{}.json", seed.account));
            write_file(&path, &serde_json::to_string_pretty(&seed)?)?;
            writeln!(text, "SEED {} {}", seed.account, path.display())?;
        }
        let path = folder.join("rsa_public.pem");
        write_file(&path, &rsa_public_pem())?;
        writeln!(text, "RSA {}", path.display())?;
    }
    for placed in sim.world().documents() {
        let name = placed.name.replace(char::is_control, "?");
        writeln!(text, "FILE {} {} {} {} {name}", placed.chat_id, placed.message_id, placed.size, placed.dc)?;
    }
    text.push_str("READY\n");
    Ok(text)
}

#[expect(clippy::disallowed_methods, reason = "seeds are this program's output")]
fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

//! `gateway top`: a live view of a running gateway.
#![expect(clippy::disallowed_methods, reason = "readings are timed here")]

use crate::top::{Page, Reading};
use admin_client::{AdminClient, AdminError, Gateway};
use clap::Args;
use http::Method;
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);
/// Columns where there is no terminal.
const WIDTH: usize = 160;
/// A gateway is asked no oftener.
const SHORTEST: Duration = Duration::from_millis(200);

/// ECMA-48 and xterm: the other screen and no cursor; the first screen and the cursor; begin of an empty page.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";
const HOME_AND_CLEAR: &str = "\x1b[H\x1b[2J";
const ESCAPE: u8 = 0x1b;
const CTRL_C: u8 = 3;

/// `gateway top`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  gateway top --config gateway.toml\n  gateway top --config gateway.toml --once --interval 5s\n\nq, Esc or Ctrl-C ends it."
)]
pub(crate) struct Top {
    #[command(flatten)]
    gateway: Gateway,
    /// Time between two readings; rates are over it.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    interval: config::TimeSpan,
    /// Print one page and end. So does standard output that is no terminal.
    #[arg(long)]
    once: bool,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopFailure {
    #[error(transparent)]
    Asked(#[from] AdminError),
    #[error("terminal: {0}")]
    Terminal(#[from] std::io::Error),
}

struct Taken {
    reading: Reading,
    at: Instant,
}

impl Top {
    fn take(&self, client: &AdminClient) -> Result<Taken, AdminError> {
        let text = client.ask(Method::GET, "/metrics")?;
        Ok(Taken { reading: Reading::parse(&text), at: Instant::now() })
    }

    fn interval(&self) -> Duration {
        self.interval.get().max(SHORTEST)
    }
}

fn page(before: &Taken, now: &Taken, address: &str, width: usize) -> String {
    let between = now.at.saturating_duration_since(before.at);
    Page { before: &before.reading, now: &now.reading, between }.text(address, width)
}

/// Runs it.
pub(crate) fn run(top: &Top) -> Result<(), TopFailure> {
    let client = AdminClient::new(&top.gateway, PATIENCE)?;
    let address = client.address().to_owned();
    let before = top.take(&client)?;
    if top.once || !stdout().is_terminal() || !stdin().is_terminal() {
        std::thread::sleep(top.interval());
        let text = page(&before, &top.take(&client)?, &address, WIDTH);
        return Ok(stdout().write_all(text.as_bytes())?);
    }
    let screen = Screen::enter()?;
    let shown = watch(top, &client, before, &address);
    drop(screen);
    shown
}

fn watch(top: &Top, client: &AdminClient, mut before: Taken, address: &str) -> Result<(), TopFailure> {
    let mut text = format!("gateway at {address}\n");
    loop {
        show(&text)?;
        if wait(top.interval())? {
            return Ok(());
        }
        match top.take(client) {
            Ok(now) => {
                text = page(&before, &now, address, size().0);
                before = now;
            }
            // It may be on its way up again.
            Err(error) => text = format!("{error}\n"),
        }
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let known = tcgetwinsize(stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

fn show(text: &str) -> std::io::Result<()> {
    let mut frame = HOME_AND_CLEAR.to_owned();
    for line in text.lines().take(size().1.saturating_sub(1)) {
        frame.push_str(line);
        frame.push_str("\r\n");
    }
    let mut out = stdout().lock();
    out.write_all(frame.as_bytes())?;
    out.flush()
}

/// Waits, and says whether a key was pressed that ends it, or the terminal is gone.
fn wait(time: Duration) -> std::io::Result<bool> {
    let began = Instant::now();
    let mut keys = [0; 16];
    while began.elapsed() < time {
        // Returns after a tenth of a second at most.
        let read = stdin().lock().read(&mut keys)?;
        let pressed = keys.get(..read).unwrap_or_default();
        if pressed == [ESCAPE] || pressed.iter().any(|key| matches!(*key, b'q' | CTRL_C)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The terminal's other screen, without echo and lines; the first one comes back with the drop.
struct Screen {
    before: Termios,
}

impl Screen {
    fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // A read waits for a key, but no longer than a tenth of a second.
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 1;
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before };
        stdout().write_all(ENTER)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no tidying.
        let _ = stdout().write_all(LEAVE);
        let _ = stdout().flush();
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

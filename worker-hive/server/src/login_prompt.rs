//! Asks whoever sits at the terminal, or reads the answers of a script, one line each.
//!
//! Questions go to standard error: standard output is for results. What is hidden is not echoed, and each answer is wiped from memory
//! once it has been used.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Longest answer in bytes.
const LONGEST: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    #[error("the input ended before `{0}` was answered")]
    Ended(&'static str),
    #[error("the answer to `{0}` is longer than {LONGEST} bytes, or not UTF-8")]
    Unreadable(&'static str),
    #[error("can't read answers: {0}")]
    Io(#[from] io::Error),
}

/// Whether an answer is echoed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Shown,
    Hidden,
}

type Reply = Result<Option<SecretString>, io::Error>;

/// The one who is asked.
pub(crate) struct Prompter {
    requests: mpsc::Sender<oneshot::Sender<Reply>>,
}

impl Prompter {
    /// Reads from standard input.
    pub(crate) fn new() -> io::Result<Self> {
        let (requests, asked) = mpsc::channel::<oneshot::Sender<Reply>>();
        // A thread that nobody waits for: a read from a terminal can't be called off, and must not keep the process from ending.
        std::thread::Builder::new().name("prompt".to_owned()).spawn(move || {
            while let Ok(reply) = asked.recv() {
                if reply.send(read_line()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests })
    }

    /// True when a person can see what is drawn.
    pub(crate) fn is_terminal() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks, with a note such as a hint behind the question. Spaces around an answer are cut off where it is shown.
    pub(crate) async fn ask(
        &self,
        question: &'static str,
        note: Option<&str>,
        echo: Echo,
    ) -> Result<SecretString, PromptError> {
        // Before the question, as somebody may type ahead.
        let hidden = if echo == Echo::Hidden { Hidden::begin()? } else { None };
        let note = note.map(|note| format!(" ({})", printable(note))).unwrap_or_default();
        write!(io::stderr(), "{question}{note}: ")?;
        io::stderr().flush()?;
        let (reply, answer) = oneshot::channel();
        let ended = || PromptError::Ended(question);
        self.requests.send(reply).map_err(|_| ended())?;
        let answer = answer.await.map_err(|_| ended())?;
        // The line's end was not echoed by a terminal that hides, nor by what is none.
        if hidden.is_some() || !Self::is_terminal() {
            writeln!(io::stderr())?;
        }
        match answer {
            Ok(Some(text)) if echo == Echo::Shown => Ok(text.expose_secret().trim().into()),
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(ended()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(PromptError::Unreadable(question)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells the person at the terminal something; nobody needs to hear it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// What others wrote must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Shows again what is typed, once dropped: however the question ends.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let shown = tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes -= LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Some(Self(shown)))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// One line without its end; `None` at the end of the input. Byte by byte, so that no buffer keeps what was read.
fn read_line() -> Reply {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    loop {
        let mut byte = Zeroizing::new([0]);
        match rustix::io::read(io::stdin(), &mut *byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            // Not grown: growing would leave a copy behind.
            Ok(_) if line.len() == LONGEST => return Err(io::ErrorKind::InvalidData.into()),
            Ok(_) => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nobody_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}d ü"), "a?[2Jb??c?d ü");
    }
}

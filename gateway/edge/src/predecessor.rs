//! The process whose place this one takes: it has started this one, with a socket as standard input.

use crate::kin::{Kin, Link, Side, Word};
use crate::sockets::Inherited;
use parking_lot::Mutex;
use rustix::stdio;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a word that takes the other one no work.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the folders: disk calls that are under way end first.
const FOLDERS: Duration = Duration::from_secs(60);

/// Why this process can't take the other one's place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuccessionError {
    #[error("--upgrade is for a gateway that is started by another one: send SIGQUIT to that one")]
    NotStarted,
    #[error("the gateway that is to be replaced: {0}")]
    Link(#[from] io::Error),
    #[error("the gateway that is to be replaced has ended")]
    Ended,
    #[error("the gateway that is to be replaced said something else")]
    Confused,
}

/// It.
pub(crate) struct Predecessor {
    link: Arc<Link>,
    /// Acts of its operators that came before there was anything here to do them to.
    early: Mutex<Vec<String>>,
}

impl Predecessor {
    /// Takes the sockets over that it listens on.
    pub(crate) fn greet() -> Result<(Self, Vec<Inherited>), SuccessionError> {
        let stdin = stdio::stdin();
        if rustix::net::sockopt::socket_type(stdin) != Ok(rustix::net::SocketType::SEQPACKET) {
            return Err(SuccessionError::NotStarted);
        }
        let link = Link::new(stdin.try_clone_to_owned()?);
        // Nobody else is to find it there.
        stdio::dup2_stdin(std::fs::File::open("/dev/null")?).map_err(io::Error::from)?;
        let mut inherited = Vec::new();
        loop {
            match link.receive(Some(PATIENCE))?.ok_or(SuccessionError::Ended)? {
                (Word::Listener { role, address }, Some(socket)) => {
                    inherited.push(Inherited { role, address, socket });
                }
                (Word::Go, _) => {
                    return Ok((Self { link: Arc::new(link), early: Mutex::default() }, inherited));
                }
                (Word::Unknown, _) => {}
                _ => return Err(SuccessionError::Confused),
            }
        }
    }

    /// Waits until the folders that only one process may have are this one's. To be called when nothing is left to do before that may fail:
    /// until then the other one goes on as if nothing were.
    pub(crate) fn take_folders(&self) -> Result<(), SuccessionError> {
        self.link.send(&Word::Ready, None)?;
        loop {
            match self.link.receive(Some(FOLDERS))?.ok_or(SuccessionError::Ended)? {
                (Word::Yours, _) => return Ok(()),
                // It may have been done when the folders were not its own any more.
                (Word::Told { body }, _) => self.early.lock().push(body),
                (Word::Unknown, _) => {}
                _ => return Err(SuccessionError::Confused),
            }
        }
    }

    /// What its operators do from now on is heard as it is done, although this process does not serve yet. To be called as soon as there is
    /// something to do it to.
    pub(crate) fn listen(&self, kin: &Arc<Kin>) -> Result<(), SuccessionError> {
        for body in self.early.lock().drain(..) {
            kin.hear(Side::Predecessor, body);
        }
        let (kin, link) = (kin.clone(), self.link.clone());
        let listen = move || {
            kin.listen(Side::Predecessor, &link);
            kin.leave(Side::Predecessor);
            tracing::info!("the gateway that was replaced is done");
        };
        std::thread::Builder::new().name("predecessor".to_owned()).spawn(listen)?;
        Ok(())
    }

    /// This process serves. From now on each tells the other what operators do.
    pub(crate) fn replace(&self, kin: &Kin) {
        kin.join(Side::Predecessor, self.link.clone());
        if let Err(error) = self.link.tell(&Word::Serving) {
            // It has ended, with its sockets left to this one.
            tracing::warn!(%error, "the gateway that was replaced could not be told");
            kin.leave(Side::Predecessor);
        }
    }
}

//! What can be wrong with a session that comes or goes.

use crate::session::Format;

/// The input is no session that can be used. Says what is wrong, never what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Nothing known has this length and these letters.
    #[error("not a session string of Pyrogram, one of its forks, or Telethon: cut off, perhaps")]
    UnknownString,
    /// An SQLite database, but of another program.
    #[error("not a session file of Pyrogram, one of its forks, or Telethon")]
    UnknownDatabase,
    /// The format is clear, its content can't be.
    #[error("{format} that is damaged: {what}")]
    Damaged {
        /// What it is.
        format: Format,
        /// What about it.
        what: &'static str,
    },
    /// SQLite can't make sense of the file.
    #[error("a session file that SQLite can't read: damaged, or changed while it was read")]
    Unreadable,
    /// The program that has the file was interrupted while it wrote, or is writing now.
    #[error("the session file is in the middle of a change: let its program finish, or start it once more and end it")]
    Unfinished,
    /// There is no authorization in it.
    #[error("{0} that was never signed in")]
    NotSignedIn(Format),
}

/// The target format needs what the session doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format needs the session's {0}, which is not known")]
pub struct MissingField(pub &'static str);

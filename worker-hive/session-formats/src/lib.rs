//! Sessions as other people's Telegram clients keep them, so that an account that is signed in there is signed in here, and back.
//!
//! What it does: tells by itself which format a string or a database is of; reads session strings of Pyrogram and its forks (three
//! layouts) and of Telethon (IPv4 and IPv6), and their SQLite files with a journal that was not folded in yet; writes strings of both.
//! What it refuses to do: touch the disk or the network, guess what a format doesn't say (a Telethon string names no account), print
//! a secret. Who calls it: `hive-server`'s `import` and `export`. What stays true: [`read_string`] undoes [`write_pyrogram`] and
//! [`write_telethon`]; no input panics; no error and no `Debug` text holds a key, an access hash or any part of the input.
//!
//! The layouts are those of Pyrogram 2.0.106, Pyrofork 2.3, Kurigram 2.2 and Telethon 1.45.

mod centres;
mod database;
mod error;
mod fold;
mod session;
mod strings;

pub use database::{is_database, read_database};
pub use error::{FormatError, MissingField};
pub use session::{AuthKey, Format, Peer, PortableSession};
pub use strings::{read_string, write_pyrogram, write_telethon};

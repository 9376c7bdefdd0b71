//! Commands' way to a running gateway: its admin listener.
//!
//! What it does: finds address and token in the gateway's own settings, asks one question at a time, and gives the body of a good answer; lines rows of
//! such an answer up.
//! What it refuses to do: know what is asked, print, run inside of a server (it blocks). Who calls it: `plugin-command` and `edge`'s own
//! commands. What stays true: the token is sent to the admin address alone, and stands in no message.

mod client;
mod columns;

pub use client::{AdminClient, AdminError, Gateway};
pub use columns::align;

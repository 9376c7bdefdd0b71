//! What one gateway is told and all gateways must do, by way of Redis.
//!
//! What it does: keeps one log of messages that every gateway follows, from where it stopped last; tells a follower when it missed some;
//! counts who took a message; keeps a board of records on which the later one of each key stands. What it refuses to do: know what
//! messages and records mean, keep anything on disk, apply anything. Who calls it: `edge`. What stays true: a follower either hears every
//! message once, in order, or is told that it missed some, also when Redis lost its memory; whoever can't reach Redis waits for nothing
//! and catches up later.
//!
//! The log is a stream of bounded length. Each message has a number, a random tag, and the tag of the one before it: so a follower sees by
//! the tags alone that nothing was cut off before it came, and that Redis is still the one that it knew. A Redis without a memory is given
//! back its place in the log by the first gateway that comes; if another one comes that was further, all are told that they missed
//! something. Only one loss goes unseen: of two gateways that heard different things of a Redis at its end, the one that was further comes
//! back after the other has published as many messages as it is behind.

mod board;
mod broadcast;
mod follow;
mod log;
mod marks;
mod scripts;

pub use board::Posted;
pub use broadcast::{Away, Broadcast, SetupError, Taken};
pub use follow::Listener;
pub use log::Cursor;

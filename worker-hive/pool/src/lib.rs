//! Many sessions that act as one source of documents: who is asked, for what, and what happens when it goes wrong.
//!
//! What it does: finds the document under a message; leases a session to each stream; keeps a sliding window of chunks under way;
//! moves a chunk to another session on a flood, a loss or a silence; asks a second time for a chunk that straggles; follows a
//! document to another data-centre; renews its permission mid-stream; lets streams wait in a line when all sessions are full. What it refuses to do: speak to Telegram (`mtproto` does), choose HTTP statuses (`hive-server` does). Who
//! calls it: `hive-server`. What stays true: a body is exactly the range of one document's version or ends with an error; no session
//! is asked while it rests, or carries more streams than its cap; a stream holds at most its window in memory; a chunk that arrived
//! is not asked for again.
//!
//! Pure, with `now` and the dice handed in: `plan` (which chunks), `window` (how many), `choice` (who), `trust` and `health` (who may
//! be asked), `retry` and `budget` (again, and how often), `line` and `ends` (who waits, and for how long), `meter` (how fast).

mod body;
mod budget;
mod choice;
mod ends;
mod fault;
mod fetch;
mod health;
mod hedge;
mod line;
mod locations;
mod meter;
mod news;
mod places;
mod plan;
mod pool;
mod retry;
mod search;
mod session;
mod source;
mod stats;
mod trust;
mod window;

pub use body::Body;
pub use fault::PoolFault;
pub use locations::Freshness;
pub use places::Observer;
pub use pool::{Opened, Pool, PoolConfig};
pub use session::SessionId;
pub use source::Source;
pub use stats::{PoolReport, SessionCounts, SessionReport, SessionState};

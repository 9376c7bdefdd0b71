//! Many sessions that act as one source of documents: who is asked, for what, and what happens when it goes wrong.
//!
//! What it does: finds the document under a message; leases a session to each stream; keeps a sliding window of chunks under way;
//! moves a chunk to another session on a flood, a loss or a silence; follows a document to another data-centre; renews its
//! permission mid-stream. What it refuses to do: speak to Telegram (`mtproto` does), choose HTTP statuses (`hive-server` does). Who
//! calls it: `hive-server`. What stays true: a body is exactly the range of one document's version or ends with an error; no session
//! is asked while it rests, or carries more streams than its cap; a stream holds at most its window in memory; a chunk that arrived
//! is not asked for again.
//!
//! Pure, with `now` and the dice handed in: `plan` (which chunks), `window` (how many), `health` (who), `retry` (how long).

mod body;
mod fault;
mod fetch;
mod health;
mod locations;
mod plan;
mod pool;
mod retry;
mod search;
mod session;
mod source;
mod stats;
mod window;

pub use body::Body;
pub use fault::PoolFault;
pub use locations::Freshness;
pub use pool::{Opened, Pool, PoolConfig};
pub use session::SessionId;
pub use source::Source;
pub use stats::SessionReport;

//! A simulated Telegram data-centre that unmodified MTProto clients talk to.

mod api;
mod call;
mod clock;
mod connection;
mod content;
mod counters;
mod crypto;
mod derive;
mod exchange;
mod faults;
mod live;
mod message;
mod session;
mod shape;
mod sim;
mod state;
mod transport;
mod world;

pub use content::{Content, OpenFile};
pub use counters::{CallCount, ChunkCount, Counters, Counts};
pub use faults::{Fault, Faults, Reachability, Rule, When};
pub use shape::{Flood, Shape};
pub use sim::{DcAddress, Placed, SessionSeed, Sim, SimError, WorldEdit};
pub use world::{Account, Channel, Document, Message, Topic, World};

//! A simulated Telegram data-centre that unmodified MTProto clients talk to.

mod api;
mod call;
mod clock;
mod connection;
mod content;
mod control;
mod counters;
mod crypto;
mod derive;
mod edit;
mod exchange;
mod faults;
mod folder;
mod live;
mod message;
mod numbers;
mod query;
mod session;
mod shape;
mod sim;
mod state;
mod transport;
mod world;
mod world_check;
mod world_file;

pub use content::{Content, OpenFile};
pub use control::ControlSocket;
pub use counters::{CallCount, ChunkCount, Counters, Counts};
pub use edit::{Placed, WorldEdit};
pub use faults::{Fault, Faults, Reachability, Rule, When};
pub use folder::{FolderOptions, Placement};
pub use numbers::rsa_public_pem;
pub use shape::{Flood, Shape};
pub use sim::{DcAddress, SessionSeed, Sim, SimError};
pub use world::{Account, Channel, Document, Message, Topic, World};
pub use world_file::WorldFileError;

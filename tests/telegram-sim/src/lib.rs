//! A simulated Telegram on loopback that unmodified MTProto clients talk to.
//!
//! What it does: runs several data-centres with real transports, real encryption and Telegram's own limits and errors; accounts, channels
//! and documents out of a [`World`]; faults by rule; and counters of what was asked. No test machine reaches Telegram,
//! so this is the test double of the whole project. It's held to other people's clients: grammers, Telethon and
//! Kurigram run against it in its tests.
//!
//! ```no_run
//! use telegram_sim::{Account, Channel, Document, Fault, Rule, Sim, When, World};
//!
//! # fn main() -> Result<(), telegram_sim::SimError> {
//! let film = Document::generated("film.mp4", 2, 2 << 30, 7);
//! let world = World::new(1)
//!     .with_account(Account::bot("bot-1", 7_000_000_001))
//!     .with_channel(Channel::new(1_700_000_001, "Films").with_document(2, film));
//! let sim = Sim::start(world)?;
//! // What a client needs to be signed in: addresses, and a key per data-centre.
//! let seed = &sim.seeds()[0];
//! sim.faults().add(Rule::on("upload.getFile", Fault::FloodWait(3)).when(When::Nth(5)));
//! // … run a client with `seed` …
//! assert_eq!(sim.counters().snapshot().calls("auth.exportAuthorization"), 0);
//! # let _ = seed;
//! # Ok(())
//! # }
//! ```
//!
//! # What it refuses to do
//! It never listens on anything but loopback, never talks to the outside, and doesn't judge API ids. It pushes no
//! updates but one, that a login token was accepted: nothing else happens behind a client's back. It has no photos, chats, private messages, secret chats, CDN
//! data-centres, temporary keys, and nobody signs up; methods it doesn't know get 400 `METHOD_INVALID`. Where Telegram's error for
//! a case is unknown, the choice made is said next to the code.
//!
//! # Who calls it
//! Tests, in process; the end-to-end tests and the demo, as the program `telegram-sim run`, steered through a control
//! socket ([`ControlSocket`], [`Sim::control`]); benchmarks, with clients in other languages.
//!
//! # What stays true
//! - All keys, access hashes, references and generated content follow from the world's seed; two runs agree on them.
//! - Access hashes and file references belong to one account; another's are refused.
//! - A seeded key is signed in at home, and elsewhere only where the account says so; an authorization is imported
//!   once, and one that was imported isn't exported further.
//! - An answer leaves one round trip after its question came in, whatever else is under way on the connection.
//! - No bytes that a client sends make it panic or keep it from serving others.
//! - A simulation has threads of its own and ends when it's dropped.
//!
//! # Order of the rules for `upload.getFile`
//! Signed in, offset and limit, access hash (`FILE_ID_INVALID`), data-centre (`FILE_MIGRATE_n`), reference
//! (`FILE_REFERENCE_*`), flood budget, bytes.

mod api;
mod call;
mod clock;
mod conduct;
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
mod front;
mod ige;
mod live;
mod logins;
mod message;
mod numbers;
mod query;
mod session;
mod shape;
mod sim;
mod srp;
mod state;
mod transport;
mod usage;
mod world;
mod world_check;
mod world_file;

pub use conduct::Conduct;
pub use content::{Content, OpenFile};
pub use control::ControlSocket;
pub use counters::{CallCount, ChunkCount, Counters, Counts};
pub use edit::{Placed, WorldEdit};
pub use faults::{Fault, Faults, Reachability, Rule, When};
pub use folder::{FolderOptions, Placement};
pub use numbers::rsa_public_pem;
pub use shape::{Flood, Shape};
pub use sim::{DcAddress, SessionSeed, Sim, SimError};
pub use usage::SharedKey;
pub use world::{Account, Channel, Document, Message, Password, Topic, World};
pub use world_file::WorldFileError;

//! A plugin on disk: manifest, settings, pins and signatures.
//!
//! What it does: reads a plugin's folder (`plugin.toml`, the component, its signature), checks each word of it, puts what
//! the operator says in the place of what the author said, and hands out plain values.
//! What it refuses to do: compile or run anything, look into the component, use the network, guess at a misspelt key,
//! follow a link out of the folder, print a secret.
//! Who calls it: `plugin-host`, for each plugin at start and at each reload, and the commands `gateway plugin
//! check|sign|keygen`.
//! What stays true: each file is read once, and what was hashed and verified is what is handed out. A [`Package`] has passed
//! every check, so nothing after it checks ranges again.

mod author;
mod error;
mod files;
mod from_settings;
mod hook;
mod limits;
mod manifest;
mod names;
mod package;
mod reader;
mod settings;
mod trust;

pub use author::{SignError, sign_folder};
pub use error::{PackageError, SpecProblem};
pub use from_settings::{KeyFileError, specs, trust};
pub use hook::{FailPolicy, Hook, Isolation};
pub use limits::{LimitOverrides, Limits};
pub use manifest::{Manifest, Visible};
pub use package::{Package, Spec, Tenants};
pub use settings::{Kind, Setting, Settings, Value};
pub use trust::{KeyPair, Trust, TrustError, TrustedKey, generate_keys};

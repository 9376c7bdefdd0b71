//! A plugin on disk: manifest, settings, pins and signatures.
//!
//! What it does: reads a plugin's folder (`plugin.toml`, the component, its signature), checks each word of it, puts what
//! the operator says in the place of what the author said, and hands out plain values. For authors it writes a manifest to
//! start from, makes keys, and signs.
//! What it refuses to do: compile or run anything, look into the component, use the network, guess at a misspelt key,
//! follow a link out of the folder, take files that belong to somebody else or that every user may write, print a secret.
//! Who calls it: `plugin-host`, for each plugin at start and at each reload ([`Package::open`], [`claimed_hook`]), and the commands `gateway
//! plugin new|check|keygen|sign` ([`Manifest::template`], [`Manifest::read`], [`generate_keys`], [`sign_folder`]).
//! What stays true: each file is read once, and what was hashed and verified is what is handed out. A [`Package`] has passed
//! every check, so nothing after it checks ranges again. A file or variable that a setting names is read only for a plugin
//! whose pin and signature hold.
//!
//! A folder holds `plugin.toml`, the component that it names, and perhaps a signature:
//!
//! ```text
//! policy-tiers/
//!   plugin.toml              up to 256 KiB
//!   policy_tiers.wasm        up to 64 MiB
//!   policy_tiers.wasm.sig    Ed25519 over "streamvault plugin signature v1\0", sha256(plugin.toml), sha256(component); base64
//! ```
//!
//! Folder and files must belong to root or to the user that runs this, and not be writable by everybody. Their group is trusted as
//! their owner is; folders above are not looked at. A pin (`sha256`) covers the component alone: whoever may write `plugin.toml`
//! still chooses hook, limits and what is visible, unless the settings name them. A signature covers both files.
//!
//! ```
//! use plugin_package::{Hook, Manifest};
//!
//! let text = Manifest::template("policy-tiers", Hook::Policy);
//! let manifest = Manifest::parse(&text, "plugin.toml".as_ref())?;
//! assert_eq!(manifest.limits.memory, 16 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use package::{Package, Spec, Tenants, claimed_hook};
pub use settings::{Kind, Setting, Settings, Value};
pub use trust::{KeyPair, Trust, TrustError, TrustedKey, generate_keys};

//! Why a plugin is not loaded.

use config::Problem;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a plugin is not loaded. Messages name the file and the key, and say what is wanted; none contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file that can't be read.
    #[error("{file}: can't be read: {source}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is not taken for what it is: too large, somebody else's, writable by everybody, no regular file, compiled code.
    #[error("{file}: {reason}", file = file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The manifest doesn't hold: at least one problem, in the order of their lines.
    #[error("{}", lines(.0))]
    Manifest(Vec<Problem>),
    /// What the operator says doesn't fit the manifest; at least one.
    #[error("{}", lines(.0))]
    Spec(Vec<SpecProblem>),
    /// The component is another than the operator pinned.
    #[error("{file}: has sha256 {found}, but the settings pin {pinned}", file = file.display())]
    Pin {
        /// The component.
        file: PathBuf,
        /// Its hash in hexadecimal.
        found: String,
        /// The hash that was wanted.
        pinned: String,
    },
    /// No signature, though one is required.
    #[error("{file}: is not there, but only signed plugins are loaded", file = file.display())]
    Unsigned {
        /// Where the signature was looked for.
        file: PathBuf,
    },
    /// A signature that none of the trusted keys made over these very files.
    #[error("{file}: none of the trusted keys signed this plugin.toml with this component", file = file.display())]
    BadSignature {
        /// The signature.
        file: PathBuf,
    },
}

/// One thing that the operator says and that doesn't fit; prints as `plugin NAME: key: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// [`Spec::name`](crate::Spec::name).
    pub plugin: String,
    /// Path of the key below `[[plugin]]`, such as `settings.tiers`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}: {}: {}", self.plugin, self.key, self.message)
    }
}

fn lines(problems: &[impl fmt::Display]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

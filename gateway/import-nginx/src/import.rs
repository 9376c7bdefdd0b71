//! From files to settings.

use crate::ledger::Ledger;
use crate::lexer::SyntaxError;
use crate::scope::Scope;
use crate::settings;
use crate::tenants::{Found, LinkSecretFile};
use crate::tree::{self, Directive, Includes, NginxFile, ReadError, TreeError};

/// What the settings should name.
#[derive(Clone, Debug)]
pub struct Options {
    /// Absolute path of the folder with the hive's token and the link secrets.
    pub secrets_folder: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { secrets_folder: "/etc/streamvault".to_owned() }
    }
}

/// A translated configuration.
#[derive(Clone, Debug)]
pub struct Imported {
    /// `gateway.toml`. It names files for secrets and holds none.
    pub text: String,
    /// The secrets, one for each tenant.
    pub secrets: Vec<LinkSecretFile>,
    /// What is not in the settings, or not as it was, each with file and line: the comments at the end of the text.
    pub notes: Vec<String>,
}

/// Why there is no translation.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// nginx would not take it either.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// An included file can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No server's links can be judged by the gateway.
    #[error("no server has links that could be carried over; what was found:{}", list(.0))]
    NoLinks(Vec<String>),
}

fn list(notes: &[String]) -> String {
    notes.iter().map(|note| format!("\n  {note}")).collect()
}

impl From<TreeError> for ImportError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Syntax(error) => Self::Syntax(error),
            TreeError::Read(error) => Self::Read(error),
        }
    }
}

/// Translates files, each of which is a whole configuration or a part that stands in its `http` block (a site of
/// `sites-enabled`, say).
///
/// # Errors
/// [`ImportError`].
pub fn import(files: &[NginxFile], includes: &dyn Includes, options: &Options) -> Result<Imported, ImportError> {
    let tree = tree::read(files, includes)?;
    let mut ledger = Ledger::default();
    let mut found = Found::default();
    let outer = Scope::default().with(&tree);
    servers(&outer, &tree, &mut found, &mut ledger);
    for http in tree.iter().filter(|directive| directive.name == "http") {
        servers(&outer.with(http.children()), http.children(), &mut found, &mut ledger);
    }
    let notes = ledger.close(&tree);
    if found.tenants.is_empty() {
        return Err(ImportError::NoLinks(notes));
    }
    let sources: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
    let text = settings::text(&found, &notes, options.secrets_folder.trim_end_matches('/'), &sources);
    let secrets = found
        .tenants
        .iter()
        .map(|tenant| LinkSecretFile { name: settings::secret_file(&tenant.id), secret: tenant.link.secret.clone() });
    Ok(Imported { text, secrets: secrets.collect(), notes })
}

fn servers(outer: &Scope<'_>, level: &[Directive], found: &mut Found, ledger: &mut Ledger) {
    for server in level.iter().filter(|directive| directive.name == "server" && directive.block.is_some()) {
        found.server(outer, server, ledger);
    }
}

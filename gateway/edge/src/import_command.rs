//! `gateway import-nginx`: reads nginx's files, writes ours.

use clap::Args;
use import_nginx::{ImportError, Imported, Includes, NginxFile, Options, ReadError, import};
use secrecy::ExposeSecret;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf, absolute};

/// A configuration that is larger was surely meant to be something else.
const LARGEST: u64 = 4 << 20;

/// `gateway import-nginx`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  gateway import-nginx /etc/nginx/nginx.conf > gateway.toml\n  gateway import-nginx /etc/nginx/nginx.conf --output /etc/streamvault/gateway.toml --secrets /etc/streamvault\n\nWhat has no counterpart is a comment at the end, with file and line. See deploy/migration.md."
)]
pub(crate) struct ImportNginx {
    /// nginx.conf, or files that stand in its http block. Includes are followed.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// New file for the settings. Without it they are printed.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Folder to write the link secrets to, a new file each, mode 0600. Without it the settings name files in /etc/streamvault, and
    /// the secrets are yours to copy.
    #[arg(long, value_name = "FOLDER")]
    secrets: Option<PathBuf>,
}

/// Why nothing was translated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportFailure {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}: {1}")]
    Write(PathBuf, io::Error),
    #[error("{0}: {1}; delete it to have it written")]
    Exists(PathBuf, io::Error),
}

/// Runs it.
pub(crate) fn run(command: &ImportNginx) -> Result<(), ImportFailure> {
    let files = command.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let folder = command.files.first().and_then(|file| absolute(file).ok()?.parent().map(Path::to_owned));
    let mut options = Options::default();
    if let Some(secrets) = &command.secrets {
        let secrets = absolute(secrets).map_err(|error| ImportFailure::Write(secrets.clone(), error))?;
        options.secrets_folder = secrets.to_string_lossy().into_owned();
    }
    let imported = import(&files, &Disk { folder: folder.unwrap_or_default() }, &options)?;
    if command.secrets.is_some() {
        for secret in &imported.secrets {
            create(&Path::new(&options.secrets_folder).join(&secret.name), secret.secret.expose_secret(), 0o600)?;
        }
    }
    match &command.output {
        Some(path) => create(path, &imported.text, 0o644)?,
        None => {
            let printed = io::stdout().write_all(imported.text.as_bytes());
            printed.map_err(|error| ImportFailure::Write(PathBuf::from("standard output"), error))?;
        }
    }
    report(command, &imported, &options);
    Ok(())
}

/// Tells the user what is left to do. Standard error may be closed.
fn report(command: &ImportNginx, imported: &Imported, options: &Options) {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{} note(s) at the end of the settings: read them", imported.notes.len());
    if command.secrets.is_none() {
        for secret in &imported.secrets {
            let path = Path::new(&options.secrets_folder).join(&secret.name);
            let _ = writeln!(out, "put the secret out of secure_link_md5 into {}", path.display());
        }
    }
    let _ = writeln!(out, "put the hive's token into {}/hive.token", options.secrets_folder);
}

struct Disk {
    /// nginx takes relative includes from the folder of its configuration.
    folder: PathBuf,
}

impl Includes for Disk {
    fn matching(&self, pattern: &str) -> Result<Vec<NginxFile>, ReadError> {
        let path = self.folder.join(pattern);
        if !pattern.contains(['*', '?', '[']) {
            return Ok(vec![read(&path)?]);
        }
        let wrong = |error: String| ReadError { file: pattern.to_owned(), source: io::Error::other(error) };
        let found = glob::glob(&path.to_string_lossy()).map_err(|error| wrong(error.to_string()))?;
        found.map(|found| read(&found.map_err(|error| wrong(error.to_string()))?)).collect()
    }
}

fn read(path: &Path) -> Result<NginxFile, ReadError> {
    let name = path.to_string_lossy().into_owned();
    let text = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::other("is larger than 4 MiB"));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::other("is not UTF-8 text"))
    };
    match text() {
        Ok(text) => Ok(NginxFile { name, text }),
        Err(source) => Err(ReadError { file: name, source }),
    }
}

/// Writes a new file; one that is there is somebody's.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), ImportFailure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ImportFailure::Exists(path.to_owned(), error),
        _ => ImportFailure::Write(path.to_owned(), error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| ImportFailure::Write(path.to_owned(), error))
}

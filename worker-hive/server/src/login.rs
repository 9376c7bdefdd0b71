//! `worker-hive login`: asks for what a sign-in needs, and puts the session into the store once all has succeeded.

use crate::cli::Login as Options;
use crate::commands::{CommandError, load, open_folder};
use crate::login_prompt::{Echo, PromptError, Prompter, printable, say};
use crate::login_qr::{draw, erase};
use config::HiveSettings;
use config::worker_hive::Telegram;
use hive_server::HiveOptions;
use mtproto::{
    Application, CodeSent, CodeWay, FIRST_DC, FolderLock, Login, LoginFault, LoginToken, Progress, SessionFolder,
    SignedIn, StoreError, TokenStep,
};
use secrecy::{ExposeSecret, SecretString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Wrong answers to one question before the sign-in ends. Telegram itself counts, and its patience is not known.
const TRIES: usize = 3;
/// How long Telegram is waited for when a sign-in is called off.
const FAREWELL: Duration = Duration::from_secs(3);
/// Where an application's hash may stand, if the settings don't say.
const HASH_VARIABLE: &str = "STREAMVAULT_API_HASH";

/// Why nobody signed in, in words for whoever tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("{0}")]
    Fault(#[from] LoginFault),
    #[error("{0}")]
    Prompt(#[from] PromptError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the hash file {}: {source}", path.display())]
    HashFile { path: PathBuf, source: io::Error },
    #[error("there is a session named `{0}` already: give it another name, or --replace it")]
    Taken(String),
    #[error("a session's name is 1 to 64 characters of [0-9A-Za-z_-]")]
    Name,
    #[error("an api id is a positive number, as my.telegram.org/apps shows it")]
    ApiId,
    #[error("too many wrong answers")]
    TooOften,
    #[error("stopped; nothing was stored")]
    Stopped,
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a kind of sign-in begins with.
enum Kind {
    Phone(Option<String>),
    Bot,
    Qr,
}

pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let settings = load(&options.config)?;
    let folder = open_folder(&settings)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(sign_in(options, settings, &folder))
}

async fn sign_in(options: &Options, settings: HiveSettings, folder: &SessionFolder) -> Result<(), CommandError> {
    // All this before any question: nobody shall be asked for a code in vain.
    let replaced = options.name.as_deref().filter(|_| options.replace);
    folder.check_key(replaced).map_err(CommandError::of_session)?;
    let lock = claim(options, folder)?;
    let telegram = settings.telegram.clone();
    let client = HiveOptions::try_from(settings)?.client;
    let prompter = Prompter::new().map_err(LoginError::Io)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut stopped = std::pin::pin!(async {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} _ = hangup.recv() => {} }
    });
    let application = tokio::select! {
        application = application(options, &telegram, &prompter) => application?,
        () = &mut stopped => return Err(LoginError::Stopped.into()),
    };
    let mut login = Login::new(Arc::new(client), application, first_dc(&telegram));
    let outcome = tokio::select! {
        outcome = converse(options, &prompter, &mut login) => outcome,
        () = &mut stopped => Err(LoginError::Stopped),
    };
    let stored = outcome.and_then(|signed_in| store(options, folder, lock.as_ref(), signed_in));
    match stored {
        Ok(line) => Ok(writeln!(io::stdout(), "{line}")?),
        Err(error) => {
            let _ = timeout(FAREWELL, login.abandon()).await;
            Err(error.into())
        }
    }
}

/// Refuses a name that can't be had, and takes the folder when a session is to be replaced: nobody else may be using it.
fn claim(options: &Options, folder: &SessionFolder) -> Result<Option<FolderLock>, LoginError> {
    if let Some(name) = &options.name {
        if !mtproto::is_account_name(name) {
            return Err(LoginError::Name);
        }
        if !options.replace && folder.accounts()?.contains(name) {
            return Err(LoginError::Taken(name.clone()));
        }
    }
    Ok(options.replace.then(|| folder.lock()).transpose()?)
}

/// Where the sign-in begins, if the usual data-centre is not among those of the settings.
fn first_dc(telegram: &Telegram) -> i32 {
    let configured = &telegram.data_centres;
    let usual = configured.is_empty() || configured.iter().any(|dc| dc.id == FIRST_DC);
    configured.first().filter(|_| !usual).map_or(FIRST_DC, |dc| dc.id)
}

async fn application(options: &Options, telegram: &Telegram, prompter: &Prompter) -> Result<Application, LoginError> {
    let id = match options.api_id.or(telegram.api_id) {
        Some(id) => id,
        None => {
            let id = prompter.ask("API id", Some("my.telegram.org/apps"), Echo::Shown).await?;
            id.expose_secret().parse().map_err(|_| LoginError::ApiId)?
        }
    };
    if id <= 0 {
        return Err(LoginError::ApiId);
    }
    let hash = match (&options.api_hash_file, &telegram.api_hash) {
        (Some(path), _) => read_hash(path)?,
        (None, Some(hash)) => hash.expose().into(),
        (None, None) => match std::env::var(HASH_VARIABLE) {
            Ok(hash) if !hash.is_empty() => hash.into(),
            _ => prompter.ask("API hash", None, Echo::Hidden).await?,
        },
    };
    Ok(Application { id, hash: hash.expose_secret().trim().into() })
}

fn read_hash(path: &Path) -> Result<SecretString, LoginError> {
    let read = std::fs::read_to_string(path);
    read.map(SecretString::from).map_err(|source| LoginError::HashFile { path: path.to_owned(), source })
}

async fn converse(options: &Options, prompter: &Prompter, login: &mut Login) -> Result<SignedIn, LoginError> {
    let kind = match options {
        Options { bot: true, .. } => Kind::Bot,
        Options { qr: true, .. } => Kind::Qr,
        Options { phone: Some(phone), .. } => Kind::Phone(phone.clone()),
        _ => ask_kind(prompter).await?,
    };
    let mut progress = match kind {
        Kind::Phone(number) => by_phone(prompter, login, number).await?,
        Kind::Bot => by_token(prompter, login).await?,
        Kind::Qr => by_qr(login).await?,
    };
    if let Progress::PasswordNeeded { hint } = progress {
        progress = by_password(prompter, login, hint.as_deref()).await?;
    }
    match progress {
        Progress::SignedIn => Ok(login.finish().await?),
        Progress::PasswordNeeded { .. } => Err(LoginError::TooOften),
    }
}

async fn ask_kind(prompter: &Prompter) -> Result<Kind, LoginError> {
    for _ in 0..TRIES {
        let answer = prompter.ask("Sign in with", Some("phone, bot or qr"), Echo::Shown).await?;
        match answer.expose_secret().to_ascii_lowercase().as_str() {
            "phone" | "p" => return Ok(Kind::Phone(None)),
            "bot" | "b" => return Ok(Kind::Bot),
            "qr" | "q" => return Ok(Kind::Qr),
            _ => say("one of: phone, bot, qr"),
        }
    }
    Err(LoginError::TooOften)
}

/// Says what was wrong, when another answer may be right and was not given in vain too often.
fn again(fault: LoginFault, tries: usize) -> Result<(), LoginError> {
    if !fault.is_answer_wrong() {
        return Err(fault.into());
    }
    say(&fault.to_string());
    if tries < TRIES { Ok(()) } else { Err(LoginError::TooOften) }
}

async fn by_phone(prompter: &Prompter, login: &mut Login, given: Option<String>) -> Result<Progress, LoginError> {
    let mut tries = 0;
    let mut sent = loop {
        let answer = match &given {
            Some(number) => login.send_code(number).await,
            None => {
                let number = prompter.ask("Phone number", Some("with country code"), Echo::Shown).await?;
                login.send_code(number.expose_secret()).await
            }
        };
        tries += 1;
        match answer {
            Ok(sent) => break sent,
            Err(fault) if given.is_some() => return Err(fault.into()),
            Err(fault) => again(fault, tries)?,
        }
    };
    describe(&sent);
    tries = 0;
    loop {
        let note = sent.again.then_some("nothing: send it another way");
        let code = prompter.ask("Code", note, Echo::Shown).await?;
        if code.expose_secret().is_empty() && sent.again {
            sent = login.resend_code().await?;
            describe(&sent);
            continue;
        }
        tries += 1;
        match login.sign_in(&code).await {
            Ok(progress) => return Ok(progress),
            Err(fault) => again(fault, tries)?,
        }
    }
}

fn describe(sent: &CodeSent) {
    let way = match &sent.way {
        CodeWay::App => "to the account's Telegram apps".to_owned(),
        CodeWay::Sms => "by text message".to_owned(),
        CodeWay::Call => "by a call".to_owned(),
        CodeWay::MissedCall(prefix) => format!("as the last digits of a missed call from {prefix}"),
        CodeWay::Email(pattern) => format!("by mail to {pattern}"),
        CodeWay::Fragment(page) => format!("to {page}"),
    };
    let length = sent.length.map(|length| format!(" of {length} digits")).unwrap_or_default();
    say(&format!("A code{length} was sent {way}."));
}

async fn by_token(prompter: &Prompter, login: &mut Login) -> Result<Progress, LoginError> {
    let mut tries = 0;
    loop {
        let token = prompter.ask("Bot token", Some("from @BotFather"), Echo::Hidden).await?;
        tries += 1;
        match login.bot(&token).await {
            Ok(progress) => return Ok(progress),
            Err(fault) => again(fault, tries)?,
        }
    }
}

async fn by_password(prompter: &Prompter, login: &mut Login, hint: Option<&str>) -> Result<Progress, LoginError> {
    let note = hint.map(|hint| format!("hint: {hint}"));
    let mut tries = 0;
    loop {
        let password = prompter.ask("Password", note.as_deref(), Echo::Hidden).await?;
        tries += 1;
        match login.password(&password).await {
            Ok(progress) => return Ok(progress),
            Err(fault) => again(fault, tries)?,
        }
    }
}

async fn by_qr(login: &mut Login) -> Result<Progress, LoginError> {
    say("On the phone: Telegram > Settings > Devices > Link Desktop Device, and point it at this:");
    let mut drawn = 0;
    loop {
        match login.token().await? {
            TokenStep::Accepted(progress) => return Ok(progress),
            TokenStep::Show(token) => {
                drawn = show(&token, drawn)?;
                login.wait_for_token(&token).await;
            }
        }
    }
}

/// Shows a token in place of the one before, and returns how many lines that took.
fn show(token: &LoginToken, drawn: usize) -> Result<usize, LoginError> {
    let link = token.link.expose_secret();
    let drawing = Prompter::is_terminal().then(|| draw(link)).flatten();
    let mut screen = io::stderr().lock();
    // What is no terminal gets the link alone: it can't draw, and scripts can open it.
    let Some(drawing) = drawing else {
        writeln!(screen, "{link}")?;
        return Ok(0);
    };
    if drawn > 0 {
        write!(screen, "{}", erase(drawn))?;
    }
    writeln!(screen, "{}{link}", drawing.text)?;
    screen.flush()?;
    Ok(drawing.lines + 1)
}

fn store(
    options: &Options,
    folder: &SessionFolder,
    lock: Option<&FolderLock>,
    signed_in: SignedIn,
) -> Result<String, LoginError> {
    let SignedIn { user_id, bot, premium, display, home_dc, mut seed } = signed_in;
    if let Some(name) = &options.name {
        seed.account.clone_from(name);
    }
    let name = seed.account.clone();
    for twin in twins(folder, user_id, &name) {
        say(&format!("note: `{twin}` is a session of the same account, and shares its limits"));
    }
    let stored = match lock {
        Some(lock) => folder.replace(&seed, lock),
        None => folder.import(&seed),
    };
    stored.map_err(|error| match error {
        StoreError::Exists(name) => LoginError::Taken(name),
        error => LoginError::Store(error),
    })?;
    let kind = match (bot, premium) {
        (true, _) => "bot",
        (false, true) => "premium user",
        (false, false) => "user",
    };
    Ok(format!("signed in {name}: {kind} {user_id} {}, data-centre {home_dc}", printable(&display)))
}

/// Other sessions of the account. What can't be read is none that this command has to judge.
fn twins(folder: &SessionFolder, user_id: i64, name: &str) -> Vec<String> {
    let accounts = folder.accounts().unwrap_or_default();
    let same = |other: &String| folder.describe(other).is_ok_and(|info| info.user_id == user_id);
    accounts.into_iter().filter(|other| other != name).filter(same).collect()
}

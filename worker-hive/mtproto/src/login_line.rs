//! The connection that a sign-in goes over: to one data-centre at a time, with a key that is made for it.

use crate::clock::{ClockAhead, ServerClock};
use crate::config::ClientConfig;
use crate::conversation::{Answer, Question, Tap, UNSENT};
use crate::endpoint;
use crate::fault::{CallFault, classify, is_connection_loss};
use crate::store::DcRecord;
use crate::talk::{End, Introduction, KeepAlive, Talk};
use grammers_mtproto::mtp::Encrypted;
use grammers_mtsender::InvocationError;
use grammers_tl_types::{Deserializable, RemoteCall, enums};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// Pause after a connection was lost while nobody asked for anything.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct LoginLine {
    config: Arc<ClientConfig>,
    api_id: i32,
    dc: i32,
    /// An authorization belongs to a key, so each is made once.
    keys: HashMap<i32, [u8; 256]>,
    clock: ServerClock,
    open: Option<Open>,
}

struct Open {
    questions: mpsc::UnboundedSender<Question>,
    accepted: mpsc::Receiver<()>,
    _runner: AbortOnDropHandle<End>,
}

impl LoginLine {
    pub(crate) fn new(config: Arc<ClientConfig>, api_id: i32, dc: i32) -> Self {
        Self { config, api_id, dc, keys: HashMap::new(), clock: ServerClock::default(), open: None }
    }

    pub(crate) fn dc(&self) -> i32 {
        self.dc
    }

    /// The key of the data-centre that it speaks to.
    pub(crate) fn key(&self) -> Option<[u8; 256]> {
        self.keys.get(&self.dc).copied()
    }

    /// Speaks to another data-centre from now on.
    pub(crate) fn go(&mut self, dc: i32) {
        if self.dc != dc {
            self.dc = dc;
            self.open = None;
        }
    }

    pub(crate) async fn invoke<R: RemoteCall + Sync>(&mut self, request: &R) -> Result<R::Return, CallFault> {
        // A connection may have gone while somebody looked for a code: then another one is made, once. What was sent is not sent
        // again: the answer may be lost and the code used up.
        let was_open = self.open.is_some();
        let body = request.to_bytes();
        let answer = match self.ask(body.clone()).await {
            Err(Lost { sent: false, .. }) if was_open => self.ask(body).await,
            answer => answer,
        };
        let body = answer.map_err(|lost| lost.fault)??;
        R::Return::from_bytes(&body).map_err(|error| classify(InvocationError::from(error)))
    }

    async fn ask(&mut self, body: Vec<u8>) -> Result<Result<Vec<u8>, CallFault>, Lost> {
        let limit = self.config.call_timeout;
        if self.open.is_none() {
            let lost = |fault| Lost { fault, sent: false };
            let opened = timeout(self.config.connect_timeout, self.connect()).await;
            let opened = opened.map_err(|_| lost(CallFault::Timeout))?;
            self.open = Some(opened.map_err(|error| lost(classify(error)))?);
        }
        let (answer, answered) = oneshot::channel::<Answer>();
        let sent = self.open.as_ref().is_some_and(|open| open.questions.send(Question { body, answer }).is_ok());
        let (fault, sent) = match timeout(limit, answered).await {
            _ if !sent => (closed(), false),
            Ok(Ok(Err(error))) if is_connection_loss(&error) => {
                let sent = !matches!(error, InvocationError::Dropped(UNSENT));
                (classify(error), sent)
            }
            Ok(Ok(answer)) => return Ok(answer.map_err(classify)),
            Ok(Err(_)) => (closed(), true),
            Err(_) => (CallFault::Timeout, true),
        };
        self.open = None;
        Err(Lost { fault, sent })
    }

    async fn connect(&mut self) -> Result<Open, InvocationError> {
        let (dc, config) = (self.dc, Arc::clone(&self.config));
        let who = Introduction {
            api_id: self.api_id,
            device_model: config.device_model.clone(),
            system_version: config.system_version.clone(),
            app_version: config.app_version.clone(),
            lang_code: config.lang_code.clone(),
        };
        let key = self.keys.get(&dc).copied();
        // On its own, as the library panics at some answers: they must cost the connection alone.
        let opening = async || {
            let opening = open(Arc::clone(&config), dc, key, who.clone(), self.clock.offset());
            let opening = AbortOnDropHandle::new(tokio::spawn(opening));
            opening.await.unwrap_or(Err(InvocationError::Dropped("what connected died")))
        };
        let mut opened = opening().await;
        if let Err(InvocationError::Io(error)) = &opened
            && let Some(ahead) = ClockAhead::of(error)
        {
            self.clock.heed(ahead);
            opened = opening().await;
        }
        let (mut talk, key) = opened?;
        self.keys.insert(dc, key);
        let (tell, accepted) = mpsc::channel(1);
        talk.tell_updates(Tap { is_wanted: is_about_token, tell });
        let (questions, asked) = mpsc::unbounded_channel();
        let keep_alive = KeepAlive { every: config.keep_alive, patience: config.call_timeout };
        let runner = AbortOnDropHandle::new(tokio::spawn(talk.run(asked, keep_alive)));
        Ok(Open { questions, accepted, _runner: runner })
    }

    /// Waits until Telegram says that a login token was accepted. False when it didn't in time, or the connection was lost.
    pub(crate) async fn token_accepted(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while let Some(open) = &mut self.open {
            match timeout_at(deadline, open.accepted.recv()).await {
                Ok(Some(())) => return true,
                Ok(None) => self.open = None,
                Err(_) => return false,
            }
        }
        sleep_until(deadline.min(Instant::now() + PAUSE)).await;
        false
    }
}

/// The connection is of no more use, and the question may have been sent over it.
struct Lost {
    fault: CallFault,
    sent: bool,
}

fn closed() -> CallFault {
    CallFault::Dropped("the connection was closed".to_owned())
}

async fn open(
    config: Arc<ClientConfig>,
    dc: i32,
    key: Option<[u8; 256]>,
    who: Introduction,
    offset: i32,
) -> Result<(Talk<Encrypted>, [u8; 256]), InvocationError> {
    // Telegram's own data-centres are well known; others are configured.
    let targets = endpoint::targets(dc, &config.addresses, &DcRecord::default(), config.route.parts().ip);
    let (mut talk, key) = match key {
        Some(key) => (Talk::open_with_key(&config.route, dc, &targets, key, offset).await?, key),
        None => Talk::open(&config.route, dc, &targets).await?.make_key(&config.rsa_keys).await?,
    };
    talk.introduce(&who).await?;
    Ok((talk, key))
}

fn is_about_token(update: &[u8]) -> bool {
    let is = |update: &enums::Update| matches!(update, enums::Update::LoginToken);
    match enums::Updates::from_bytes(update) {
        Ok(enums::Updates::UpdateShort(short)) => is(&short.update),
        Ok(enums::Updates::Updates(all)) => all.updates.iter().any(is),
        Ok(enums::Updates::Combined(all)) => all.updates.iter().any(is),
        _ => false,
    }
}

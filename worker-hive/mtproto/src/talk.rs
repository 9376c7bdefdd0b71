//! A conversation on a connection: what moves its bytes, and how long it may be silent.

use crate::conversation::{Answer, Conversation, Question, Tap};
use crate::dial::dial;
use crate::handshake::agree;
use crate::permission::Permission;
use crate::route::Route;
use crate::rsa::RsaKeys;
use grammers_mtproto::authentication::Finished;
use grammers_mtproto::mtp::{Encrypted, Mtp, Plain};
use grammers_mtsender::{InvocationError, ReadError};
use grammers_tl_types::functions::{InitConnection, InvokeWithLayer, PingDelayDisconnect, help::GetConfig};
use grammers_tl_types::{Deserializable, LAYER, RemoteCall, Serializable, enums, types};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// What Telegram is told about this program.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) api_id: i32,
    pub(crate) device_model: String,
    pub(crate) system_version: String,
    pub(crate) app_version: String,
    pub(crate) lang_code: String,
}

/// How a silent connection is told from a dead one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// A ping this often, whatever else is said.
    pub(crate) every: Duration,
    /// Nothing at all within this time after a ping: the other side is gone.
    pub(crate) patience: Duration,
}

impl KeepAlive {
    /// When the server shall close the connection unless it has heard another ping: it must not keep what the client lost.
    fn disconnect_delay(self) -> i32 {
        let delay = self.every * 2 + self.patience;
        i32::try_from(delay.as_secs().max(1)).unwrap_or(i32::MAX)
    }
}

/// Why a conversation ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Nobody has anything to ask any more.
    Unneeded,
    /// A ping was not answered, and nothing else came.
    Silent,
    /// The connection is closed or broken, or what came can't be understood.
    Broken(ReadError),
}

pub(crate) struct Talk<M> {
    stream: TcpStream,
    conversation: Conversation<M>,
    permission: Permission,
}

impl Talk<Plain> {
    /// Connects to make a key.
    pub(crate) async fn open(route: &Route, dc: i32, targets: &[SocketAddr]) -> Result<Self, InvocationError> {
        let (stream, frames) = dial(route, dc, targets).await.map_err(io::Error::from)?;
        Ok(Self { stream, conversation: Conversation::without_key(frames), permission: Permission::always() })
    }

    /// Makes a key with the data-centre, which must hold the private half of one of `keys`.
    pub(crate) async fn make_key(mut self, keys: &RsaKeys) -> Result<(Talk<Encrypted>, [u8; 256]), InvocationError> {
        let made = agree(&mut self, keys).await?;
        let key = made.auth_key;
        Ok((self.with_new_key(&made), key))
    }

    /// Goes on with the key that was just made.
    fn with_new_key(self, made: &Finished) -> Talk<Encrypted> {
        Talk { stream: self.stream, conversation: self.conversation.with_new_key(made), permission: self.permission }
    }
}

impl Talk<Encrypted> {
    /// Connects with a key that the data-centre knows, whose clock is so many seconds from this machine's.
    pub(crate) async fn open_with_key(
        route: &Route,
        dc: i32,
        targets: &[SocketAddr],
        key: [u8; 256],
        offset: i32,
    ) -> Result<Self, InvocationError> {
        let (stream, frames) = dial(route, dc, targets).await.map_err(io::Error::from)?;
        Ok(Self { stream, conversation: Conversation::with_key(frames, key, offset), permission: Permission::always() })
    }

    /// Has this told of Telegram's updates, which else are thrown away.
    pub(crate) fn tell_updates(&mut self, tap: Tap) {
        self.conversation.tell_updates(tap);
    }

    /// Says who is speaking; without it Telegram answers nothing else. The salts are there, too, once this is answered.
    pub(crate) async fn introduce(&mut self, who: &Introduction) -> Result<types::Config, InvocationError> {
        let request = InvokeWithLayer {
            layer: LAYER,
            query: InitConnection {
                api_id: who.api_id,
                device_model: who.device_model.clone(),
                system_version: who.system_version.clone(),
                app_version: who.app_version.clone(),
                system_lang_code: who.lang_code.clone(),
                lang_pack: String::new(),
                lang_code: who.lang_code.clone(),
                proxy: None,
                params: None,
                query: GetConfig {},
            },
        };
        let enums::Config::Config(config) = self.invoke(&request).await?;
        Ok(config)
    }

    /// Asks what comes through the channel and answers each, until something ends it. Everybody who still waits is told.
    pub(crate) async fn run(mut self, mut questions: mpsc::UnboundedReceiver<Question>, keep_alive: KeepAlive) -> End {
        let end = self.converse(&mut questions, keep_alive).await;
        let why = match &end {
            End::Unneeded => ReadError::Io(io::ErrorKind::ConnectionAborted.into()),
            End::Silent => ReadError::Io(io::ErrorKind::TimedOut.into()),
            End::Broken(error) => error.clone(),
        };
        self.conversation.end(&why);
        questions.close();
        while let Ok(question) = questions.try_recv() {
            question.fail(None);
        }
        end
    }

    async fn converse(&mut self, questions: &mut mpsc::UnboundedReceiver<Question>, keep_alive: KeepAlive) -> End {
        enum Event {
            Came(io::Result<usize>),
            Wrote(io::Result<usize>),
            Asked(Option<Question>),
            Alarm,
        }
        let (mut reader, mut writer) = self.stream.split();
        let mut next_ping = Instant::now() + keep_alive.every;
        let mut ping = None;
        let mut deadline = None;
        loop {
            let (room, outgoing) = self.conversation.buffers();
            let event = tokio::select! {
                count = reader.read(room) => Event::Came(count),
                count = write(&mut writer, outgoing, &self.permission), if !outgoing.is_empty() => Event::Wrote(count),
                question = questions.recv() => Event::Asked(question),
                () = sleep_until(deadline.unwrap_or(next_ping).min(next_ping)) => Event::Alarm,
            };
            match event {
                Event::Came(count) => {
                    deadline = None;
                    if let Err(error) =
                        count.map_err(ReadError::Io).and_then(|count| came(&mut self.conversation, count))
                    {
                        return End::Broken(error);
                    }
                }
                Event::Wrote(Ok(count)) => self.conversation.wrote(count),
                Event::Wrote(Err(error)) => return End::Broken(error.into()),
                Event::Asked(None) => return End::Unneeded,
                Event::Asked(Some(question)) => {
                    self.conversation.ask(question);
                    // What was asked at once goes in one packet.
                    while let Ok(question) = questions.try_recv() {
                        self.conversation.ask(question);
                    }
                }
                Event::Alarm => {
                    let now = Instant::now();
                    if deadline.is_some_and(|deadline| deadline <= now) {
                        return End::Silent;
                    }
                    if next_ping <= now {
                        next_ping = now + keep_alive.every;
                        deadline.get_or_insert(now + keep_alive.patience);
                        let (question, answer) = ping_question(keep_alive);
                        self.conversation.ask(question);
                        // Held until the next one, as a question whose asker has gone is not sent.
                        ping = Some(answer);
                    }
                }
            }
            if ping.as_mut().is_some_and(|answer| answer.try_recv().is_ok()) {
                ping = None;
            }
        }
    }
}

impl<M: Mtp> Talk<M> {
    /// The same conversation, of which not a byte is written while the permission is not given.
    pub(crate) fn permitted(self, permission: &Permission) -> Self {
        Self { permission: permission.clone(), ..self }
    }

    /// Asks one thing and waits for its answer. There is no time limit here.
    pub(crate) async fn invoke<R: RemoteCall>(&mut self, request: &R) -> Result<R::Return, InvocationError> {
        let (answer, mut answered) = oneshot::channel();
        self.conversation.ask(Question { body: request.to_bytes(), answer });
        loop {
            if let Ok(answer) = answered.try_recv() {
                return Ok(R::Return::from_bytes(&answer?)?);
            }
            let (room, outgoing) = self.conversation.buffers();
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                count = reader.read(room) => came(&mut self.conversation, count?)?,
                count = write(&mut writer, outgoing, &self.permission), if !outgoing.is_empty() => {
                    self.conversation.wrote(count?);
                }
            }
        }
    }
}

/// Writes once the permission is given. It is asked whenever the socket is about to take bytes, and not only before: the process may
/// have been stopped since.
async fn write(writer: &mut WriteHalf<'_>, bytes: &[u8], permission: &Permission) -> io::Result<usize> {
    loop {
        permission.given().await;
        let written = poll_fn(|cx| match permission.is_given() {
            true => Pin::new(&mut *writer).poll_write(cx, bytes).map(Some),
            false => Poll::Ready(None),
        });
        if let Some(count) = written.await {
            return count;
        }
    }
}

fn came<M: Mtp>(conversation: &mut Conversation<M>, count: usize) -> Result<(), ReadError> {
    if count == 0 {
        return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    conversation.came(count)
}

fn ping_question(keep_alive: KeepAlive) -> (Question, oneshot::Receiver<Answer>) {
    let (answer, answered) = oneshot::channel();
    let request = PingDelayDisconnect { ping_id: rand::random(), disconnect_delay: keep_alive.disconnect_delay() };
    (Question { body: request.to_bytes(), answer }, answered)
}

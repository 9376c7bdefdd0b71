//! The service messages of MTProto, and the way from a packet to a call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grammers_tl_types::{Deserializable, Serializable, enums, name_for_id, types};
use tokio::time::{Instant, sleep_until};

use crate::call::{self, Call, Outcome};
use crate::clock::unix_now;
use crate::connection::{Closed, Manner, Send, Wire, due};
use crate::exchange::Exchange;
use crate::message::{Envelope, Fields, Incoming, Malformed, Outgoing, plain, unfold};
use crate::state::{KeyEntry, Shared};

/// Error codes of `bad_msg_notification`.
const ID_TOO_LOW: i32 = 16;
const ID_TOO_HIGH: i32 = 17;
const ID_UNEVEN: i32 = 18;
const BAD_SALT: i32 = 48;

/// What a connection's client is in the middle of.
pub(crate) struct Session {
    shared: Arc<Shared>,
    dc: i32,
    wire: Wire,
    /// Tells this connection from all others.
    connection: u64,
    exchange: Exchange,
    deadline: Option<Instant>,
}

/// Who an answer goes to.
#[derive(Clone)]
struct Peer {
    entry: Arc<KeyEntry>,
    session: i64,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, dc: i32, wire: Wire) -> Self {
        let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
        Self { shared, dc, wire, connection, exchange: Exchange::default(), deadline: None }
    }

    /// When the client asked to be cut off unless it pings again.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(24 * 3600))
    }

    /// Takes one packet. An error closes the connection.
    pub(crate) async fn take(&mut self, mut packet: Vec<u8>) -> Result<(), Closed> {
        let key_id = Fields(&packet).i64().map_err(closed)?;
        if key_id == 0 {
            return self.take_plain(&packet).await;
        }
        let opened = self.shared.key(self.dc, key_id).and_then(|entry| {
            let plaintext = entry.key.open(&mut packet)?;
            Some((Arc::clone(&entry), plaintext))
        });
        let Some((entry, plaintext)) = opened else {
            self.wire.send(Send::Error(404)).await;
            return Ok(());
        };
        let envelope = Envelope::read(plaintext).map_err(closed)?;
        let peer = Peer { entry, session: envelope.session };
        self.shared.used(self.dc, &peer.entry, self.connection, None);
        if !peer.entry.salt_is_good(self.shared.seed, envelope.salt) {
            let notice = types::BadServerSalt {
                bad_msg_id: envelope.id,
                bad_msg_seqno: envelope.sequence,
                error_code: BAD_SALT,
                new_server_salt: peer.entry.salt(self.shared.seed),
            };
            self.notify(&peer, enums::BadMsgNotification::BadServerSalt(notice).to_bytes());
            return Ok(());
        }
        if let Some(error_code) = fault_of_id(envelope.id) {
            let (bad_msg_id, bad_msg_seqno) = (envelope.id, envelope.sequence);
            let notice = types::BadMsgNotification { bad_msg_id, bad_msg_seqno, error_code };
            self.notify(&peer, enums::BadMsgNotification::Notification(notice).to_bytes());
            return Ok(());
        }
        if peer.entry.is_new_session(envelope.session) {
            let notice = types::NewSessionCreated {
                first_msg_id: envelope.id,
                unique_id: rand::random(),
                server_salt: peer.entry.salt(self.shared.seed),
            };
            self.notify(&peer, enums::NewSession::Created(notice).to_bytes());
        }
        for message in unfold(envelope.id, envelope.body).map_err(closed)? {
            self.take_message(&peer, envelope.id, message).await.map_err(closed)?;
        }
        Ok(())
    }

    async fn take_plain(&mut self, packet: &[u8]) -> Result<(), Closed> {
        let mut fields = Fields(packet);
        fields.take(16).map_err(closed)?;
        let length = fields.u32().map_err(closed)?;
        let body = fields.take(length as usize).map_err(closed)?;
        let Some(answer) = self.exchange.step(&self.shared, self.dc, body) else {
            self.wire.send(Send::Error(404)).await;
            return Ok(());
        };
        let packet = plain(self.shared.message_ids.next(true), &answer);
        self.send_later(Send::Packet { packet, account: None, manner: Manner::Whole, told: None });
        Ok(())
    }

    async fn take_message(&mut self, peer: &Peer, packet_id: i64, message: Incoming) -> Result<(), Malformed> {
        let mut fields = Fields(&message.body);
        let constructor = fields.u32()?;
        match name_for_id(constructor) {
            "msgs_ack" | "http_wait" | "msgs_state_info" | "msgs_all_info" | "msg_resend_req" => {}
            "ping" => {
                self.shared.counters.pinged();
                let pong = types::Pong { msg_id: message.id, ping_id: fields.i64()? };
                self.answer(peer, enums::Pong::Pong(pong).to_bytes());
            }
            "ping_delay_disconnect" => {
                self.shared.counters.pinged();
                let pong = types::Pong { msg_id: message.id, ping_id: fields.i64()? };
                let delay = u64::try_from(fields.i32()?).unwrap_or(0);
                self.deadline = Some(Instant::now() + Duration::from_secs(delay));
                self.answer(peer, enums::Pong::Pong(pong).to_bytes());
            }
            "get_future_salts" => {
                let salts = peer.entry.salts(self.shared.seed, fields.i32()?.into());
                let salt = |(valid_since, valid_until, salt)| types::FutureSalt { valid_since, valid_until, salt };
                let salts = grammers_tl_types::RawVec(salts.into_iter().map(salt).collect());
                let answer = types::FutureSalts { req_msg_id: message.id, now: unix_now(), salts };
                self.answer(peer, enums::FutureSalts::Salts(answer).to_bytes());
            }
            "msgs_state_req" => {
                let asked = Vec::<i64>::from_bytes(fields.0).map_err(|_| Malformed)?;
                // 4: received. What was lost is asked for again by the client's own time-outs.
                let info = types::MsgsStateInfo { req_msg_id: message.id, info: vec![4; asked.len()] };
                self.answer(peer, enums::MsgsStateInfo::Info(info).to_bytes());
            }
            "destroy_session" => {
                let session_id = fields.i64()?;
                let answer = if session_id != peer.session && peer.entry.forget_session(session_id) {
                    enums::DestroySessionRes::DestroySessionOk(types::DestroySessionOk { session_id })
                } else {
                    enums::DestroySessionRes::DestroySessionNone(types::DestroySessionNone { session_id })
                };
                self.answer(peer, answer.to_bytes());
            }
            "rpc_drop_answer" => {
                let mut out = self.begin(peer, true, 64);
                out.result_of(message.id);
                enums::RpcDropAnswer::RpcAnswerUnknown.serialize(out.body());
                self.send_sealed(peer, out);
            }
            "destroy_auth_key" => {
                let mut out = self.begin(peer, true, 64);
                out.result_of(message.id);
                enums::DestroyAuthKeyRes::DestroyAuthKeyOk.serialize(out.body());
                self.send_sealed(peer, out);
                self.shared.remove_key(self.dc, peer.entry.key.id());
            }
            _ => self.call(peer, packet_id, message).await?,
        }
        Ok(())
    }

    async fn call(&mut self, peer: &Peer, packet_id: i64, message: Incoming) -> Result<(), Malformed> {
        let (shared, wire, peer) = (Arc::clone(&self.shared), self.wire.clone(), peer.clone());
        let due = due(&shared);
        let Ok(permit) = Arc::clone(&self.wire.under_way).acquire_owned().await else { return Ok(()) };
        let (dc, connection) = (self.dc, self.connection);
        tokio::spawn(async move {
            let call = Call { shared: &shared, dc, entry: &peer.entry, session: peer.session, wire: &wire, connection };
            let outcome = call::run(&call, packet_id, message.id, &message.body);
            match outcome {
                Outcome::Nothing => return,
                Outcome::Close => wire.send(Send::Close).await,
                Outcome::Error(code) => wire.send(Send::Error(code)).await,
                Outcome::Packet { packet, account, manner, late, told, under_way } => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = wire.closed() => {}
                    }
                    drop(under_way);
                    sleep_until(due + late).await;
                    wire.send(Send::Packet { packet, account, manner, told }).await;
                }
            }
            drop(permit);
        });
        Ok(())
    }

    fn begin(&self, peer: &Peer, answer: bool, capacity: usize) -> Outgoing {
        let salt = peer.entry.salt(self.shared.seed);
        Outgoing::begin(salt, peer.session, self.shared.message_ids.next(answer), answer, capacity)
    }

    /// Answers a service message.
    fn answer(&self, peer: &Peer, body: Vec<u8>) {
        let mut out = self.begin(peer, true, body.len());
        out.body().extend_from_slice(&body);
        self.send_sealed(peer, out);
    }

    /// Says something that nobody asked for.
    fn notify(&self, peer: &Peer, body: Vec<u8>) {
        let mut out = self.begin(peer, false, body.len());
        out.body().extend_from_slice(&body);
        self.send_sealed(peer, out);
    }

    fn send_sealed(&self, peer: &Peer, out: Outgoing) {
        let packet = out.seal(&peer.entry.key);
        self.send_later(Send::Packet { packet, account: None, manner: Manner::Whole, told: None });
    }

    fn send_later(&self, what: Send) {
        let (wire, due) = (self.wire.clone(), due(&self.shared));
        tokio::spawn(async move {
            sleep_until(due).await;
            wire.send(what).await;
        });
    }
}

fn closed(error: impl std::fmt::Display) -> Closed {
    Closed(error.to_string())
}

/// Telegram takes message ids that are at most 300 s old and 30 s ahead.
fn fault_of_id(id: i64) -> Option<i32> {
    let seconds = id >> 32;
    let now = i64::from(unix_now());
    if id & 3 != 0 {
        Some(ID_UNEVEN)
    } else if seconds < now - 300 {
        Some(ID_TOO_LOW)
    } else if seconds > now + 30 {
        Some(ID_TOO_HIGH)
    } else {
        None
    }
}

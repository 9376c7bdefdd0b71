//! What is said on one connection: calls in, bytes out, bytes in, answers out. No socket and no time in here.
//!
//! The library's protocol state does the words and the ciphers; this keeps which call waits for which answer, says again what was
//! not accepted, and owns the two buffers.

use crate::clock::ClockAhead;
use crate::frames::{Frames, Next};
use grammers_crypto::DequeBuffer;
use grammers_mtproto::MsgId;
use grammers_mtproto::authentication::Finished;
use grammers_mtproto::mtp::{
    BadMessage, Deserialization, ENCRYPTED_PACKET_HEADER_LEN, Encrypted, MAX_TRANSPORT_HEADER_LEN,
    MESSAGE_CONTAINER_HEADER_LEN, Mtp, PLAIN_PACKET_HEADER_LEN, Plain,
};
use grammers_mtsender::{InvocationError, ReadError, RpcError};
use grammers_tl_types::Identifiable;
use grammers_tl_types::types::BadMsgNotification;
use std::io;
use tokio::sync::{mpsc, oneshot};

/// Answers of the usual size come in one piece; the buffer grows for those that don't fit.
const ROOM: usize = 64 * 1024;

/// Key id, message key, salt and session, before a packet's message.
const ENVELOPE: usize = 8 + 16 + 8 + 8;
const CONTAINER: u32 = 0x73f1_f8dc;
/// Telegram's code for a message whose id is of a time that has not come.
const TOO_HIGH: i32 = 17;

/// What is put in front of a packet, so that the packet need not be moved for it.
const FRONT: usize = crate::frames::GREETING
    + MAX_TRANSPORT_HEADER_LEN
    + ENCRYPTED_PACKET_HEADER_LEN
    + PLAIN_PACKET_HEADER_LEN
    + MESSAGE_CONTAINER_HEADER_LEN;

pub(crate) type Answer = Result<Vec<u8>, InvocationError>;

/// Told to whoever asked when not a byte of the question was written, and none will be.
pub(crate) const UNSENT: &str = "the connection ended before the question was sent";

/// A word to whoever waits for an update of one kind. All others are thrown away as they come.
pub(crate) struct Tap {
    pub(crate) is_wanted: fn(&[u8]) -> bool,
    /// Of one place: that something came is said once, however often it comes.
    pub(crate) tell: mpsc::Sender<()>,
}

/// A call's serialized body, and where its answer goes.
pub(crate) struct Question {
    pub(crate) body: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

impl Question {
    /// Tells why there is no answer; without a reason, that it was never sent.
    pub(crate) fn fail(self, why: Option<&ReadError>) {
        let why = why.map_or(InvocationError::Dropped(UNSENT), |why| why.clone().into());
        // Whoever asked may have gone.
        let _ = self.answer.send(Err(why));
    }
}

struct Asked {
    question: Question,
    /// The message that carries it; `None` until it is put in a packet, and again when it must be said again.
    id: Option<MsgId>,
    /// The container around that message, or the message itself when it went alone.
    around: Option<MsgId>,
}

/// One side of a connection that speaks MTProto, with a key (`Encrypted`) or making one (`Plain`).
pub(crate) struct Conversation<M> {
    protocol: M,
    frames: Frames,
    asked: Vec<Asked>,
    outgoing: DequeBuffer<u8>,
    written: usize,
    incoming: Vec<u8>,
    filled: usize,
    updates: Option<Tap>,
}

impl Conversation<Plain> {
    pub(crate) fn without_key(frames: Frames) -> Self {
        Self::new(Plain::new(), frames)
    }

    /// Goes on with the key that was just made.
    pub(crate) fn with_new_key(self, made: &Finished) -> Conversation<Encrypted> {
        let protocol =
            Encrypted::build().time_offset(made.time_offset).first_salt(made.first_salt).finish(made.auth_key);
        Conversation {
            protocol,
            frames: self.frames,
            asked: self.asked,
            outgoing: self.outgoing,
            written: self.written,
            incoming: self.incoming,
            filled: self.filled,
            updates: self.updates,
        }
    }
}

impl Conversation<Encrypted> {
    pub(crate) fn tell_updates(&mut self, tap: Tap) {
        self.updates = Some(tap);
    }

    /// Begins with a key that both sides know, `offset` seconds from this machine's clock.
    pub(crate) fn with_key(frames: Frames, key: [u8; 256], offset: i32) -> Self {
        Self::new(Encrypted::build().time_offset(offset).finish(key), frames)
    }
}

impl<M: Mtp> Conversation<M> {
    fn new(protocol: M, frames: Frames) -> Self {
        Self {
            protocol,
            frames,
            asked: Vec::new(),
            outgoing: DequeBuffer::with_capacity(1024, FRONT),
            written: 0,
            incoming: vec![0; ROOM],
            filled: 0,
            updates: None,
        }
    }

    pub(crate) fn ask(&mut self, question: Question) {
        // Who asked may have gone while the question waited: what was not sent yet need not be.
        self.asked.retain(|asked| asked.id.is_some() || !asked.question.answer.is_closed());
        self.asked.push(Asked { question, id: None, around: None });
    }

    /// Room for what comes, never empty, and what is to be written, perhaps empty.
    pub(crate) fn buffers(&mut self) -> (&mut [u8], &[u8]) {
        if self.outgoing.is_empty() {
            self.pack();
        }
        (&mut self.incoming[self.filled..], &self.outgoing[self.written..])
    }

    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.outgoing.len() {
            self.outgoing.clear();
            self.written = 0;
        }
    }

    /// Takes note that `count` bytes came into the room. After an error nothing more can be understood.
    pub(crate) fn came(&mut self, count: usize) -> Result<(), ReadError> {
        let end = (self.filled + count).min(self.incoming.len());
        self.frames.uncover(&mut self.incoming[self.filled..end]);
        self.filled = end;
        let mut start = 0;
        loop {
            match self.frames.next(&mut self.incoming[start..end])? {
                Next::Packet { body, used } => {
                    let packet = &mut self.incoming[start..end][body];
                    let heard = self.protocol.deserialize(packet)?;
                    if let Some(ahead) = said_ahead(packet) {
                        return Err(ReadError::Io(io::Error::other(ahead)));
                    }
                    start += used;
                    heard.into_iter().for_each(|word| self.hear(word));
                }
                Next::Needs(size) => {
                    if start > 0 {
                        self.incoming.copy_within(start..end, 0);
                        self.filled = end - start;
                    }
                    if size >= self.incoming.len() {
                        self.incoming.resize(size + ROOM, 0);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Tells everybody who waits that nothing comes any more.
    pub(crate) fn end(&mut self, why: &ReadError) {
        for asked in self.asked.drain(..) {
            asked.question.fail(asked.id.map(|_| why));
        }
    }

    fn pack(&mut self) {
        for asked in self.asked.iter_mut().filter(|asked| asked.id.is_none()) {
            // `None`: the packet is full, or salts must be asked for first.
            let Some(id) = self.protocol.push(&mut self.outgoing, &asked.question.body) else { break };
            asked.id = Some(id);
        }
        let Some(container) = self.protocol.finalize(&mut self.outgoing) else { return };
        for asked in self.asked.iter_mut().filter(|asked| asked.id.is_some() && asked.around.is_none()) {
            asked.around = Some(container);
        }
        self.frames.pack(&mut self.outgoing, rand::random());
    }

    fn hear(&mut self, word: Deserialization) {
        match word {
            Deserialization::RpcResult(result) => self.answer(result.msg_id, Ok(result.body)),
            Deserialization::RpcError(error) => {
                self.answer(error.msg_id, Err(InvocationError::Rpc(RpcError::from(error.error))));
            }
            Deserialization::Failure(failure) => self.answer(failure.msg_id, Err(failure.error.into())),
            Deserialization::BadMessage(bad) => self.not_accepted(&bad),
            // The hive watches no chats; a sign-in waits for one word.
            Deserialization::OwnUpdate { update, .. } | Deserialization::Update(update) => {
                if let Some(tap) = self.updates.as_ref().filter(|tap| (tap.is_wanted)(&update)) {
                    // One that is full has been told, and one that is closed need not be.
                    let _ = tap.tell.try_send(());
                }
            }
        }
    }

    fn answer(&mut self, id: MsgId, answer: Answer) {
        // Whatever is answered was sent, by now, whether or not the last bytes of its packet are still here.
        if let Some(place) = self.asked.iter().position(|asked| asked.id == Some(id)) {
            let _ = self.asked.remove(place).question.answer.send(answer);
        }
    }

    /// The other side had trouble with a message or with the container around several.
    fn not_accepted(&mut self, bad: &BadMessage) {
        let concerns = |asked: &Asked| [asked.id, asked.around].contains(&Some(bad.msg_id));
        if bad.retryable() {
            for asked in self.asked.iter_mut().filter(|asked| concerns(asked)) {
                (asked.id, asked.around) = (None, None);
            }
            return;
        }
        for asked in self.asked.extract_if(.., |asked| concerns(asked)) {
            let _ = asked.question.answer.send(Err(InvocationError::Dropped(bad.description())));
        }
    }
}

/// What a packet, deciphered in its place, says of messages out of the future. The library sets its clock by it, but goes on with
/// ids no less than those before; and of its own question for salts it doesn't tell at all, and asks again for ever.
fn said_ahead(packet: &[u8]) -> Option<ClockAhead> {
    let mut messages = packet.get(ENVELOPE..)?;
    let (id, body, _) = message(messages)?;
    if constructor(body)? == CONTAINER {
        messages = body.get(8..)?;
    }
    while let Some((_, body, rest)) = message(messages) {
        let is_notice = constructor(body) == Some(BadMsgNotification::CONSTRUCTOR_ID);
        if is_notice && body.get(16..20) == Some(&TOO_HIGH.to_le_bytes()) {
            return Some(ClockAhead { server: id >> 32 });
        }
        messages = rest;
    }
    None
}

/// The first of several messages: its id, its body, and the others.
fn message(messages: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let id = i64::from_le_bytes(*messages.first_chunk()?);
    let length = u32::from_le_bytes(messages.get(12..16)?.try_into().ok()?);
    let (body, rest) = messages.get(16..)?.split_at_checked(usize::try_from(length).ok()?)?;
    Some((id, body, rest))
}

fn constructor(body: &[u8]) -> Option<u32> {
    body.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::{Conversation, Question, said_ahead};
    use crate::clock::ClockAhead;
    use crate::frames::Frames;
    use grammers_crypto::DequeBuffer;
    use grammers_mtproto::mtp::Plain;
    use grammers_mtsender::ReadError;
    use tokio::sync::oneshot;

    type Answered = oneshot::Receiver<super::Answer>;

    fn question(body: &[u8]) -> (Question, Answered) {
        let (answer, answered) = oneshot::channel();
        (Question { body: body.to_vec(), answer }, answered)
    }

    /// What a server says before there is a key, as it goes over the wire.
    fn said(frames: &mut Frames, body: &[u8]) -> Vec<u8> {
        let mut packet = DequeBuffer::with_capacity(body.len() + 64, 64);
        packet.extend([&0_i64.to_le_bytes()[..], &5_i64.to_le_bytes()].concat());
        packet.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        packet.extend(body);
        frames.pack(&mut packet, [0; 16]);
        packet[..].to_vec()
    }

    fn write_all(conversation: &mut Conversation<Plain>, step: usize) -> Vec<u8> {
        let mut written = Vec::new();
        loop {
            let (_, outgoing) = conversation.buffers();
            if outgoing.is_empty() {
                return written;
            }
            let count = outgoing.len().min(step);
            written.extend_from_slice(&outgoing[..count]);
            conversation.wrote(count);
        }
    }

    #[test]
    fn bytes_may_come_and_go_in_any_pieces() {
        let mut conversation = Conversation::without_key(Frames::full());
        let mut server = Frames::full();
        for (length, step) in [(4, 1), (40, 7), (200_000, 1000), (1_000_000, 70_000), (4, usize::MAX)] {
            let (asked, mut answered) = question(b"what");
            conversation.ask(asked);
            let sent = write_all(&mut conversation, step);
            assert_eq!(sent.len(), 4 + 4 + 20 + 4 + 4, "length, number, envelope, body, checksum");
            let body: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut coming = said(&mut server, &body);
            while !coming.is_empty() {
                assert!(answered.try_recv().is_err());
                let (room, _) = conversation.buffers();
                let count = coming.len().min(step).min(room.len());
                room[..count].copy_from_slice(&coming[..count]);
                coming.drain(..count);
                conversation.came(count).unwrap();
            }
            assert_eq!(answered.try_recv().unwrap().unwrap(), body);
        }
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_sent() {
        let mut conversation = Conversation::without_key(Frames::full());
        let (left, answered) = question(b"left");
        conversation.ask(left);
        drop(answered);
        let (stays, mut answered) = question(b"stay");
        conversation.ask(stays);
        let sent = write_all(&mut conversation, usize::MAX);
        assert!(sent.windows(4).any(|piece| piece == b"stay") && !sent.windows(4).any(|piece| piece == b"left"));
        conversation.end(&ReadError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        assert!(answered.try_recv().unwrap().is_err());
    }

    #[test]
    fn a_message_out_of_the_future_is_found_alone_and_among_others() {
        let message = |id: i64, body: &[u8]| {
            [&id.to_le_bytes()[..], &[0; 4], &u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
        };
        let notice = |code: i32| {
            [&0xa7ef_f811_u32.to_le_bytes()[..], &7_i64.to_le_bytes(), &[0; 4], &code.to_le_bytes()].concat()
        };
        let packet = |body: &[u8]| [&[0; 40][..], &message(1_700_000_000 << 32, body), &[9; 12]].concat();
        let several = |bodies: &[Vec<u8>]| {
            let all: Vec<u8> = bodies.iter().flat_map(|body| message(5, body)).collect();
            [&0x73f1_f8dc_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), &all].concat()
        };
        let ahead = Some(ClockAhead { server: 1_700_000_000 });
        let cases = [
            (packet(&notice(17)), ahead),
            (packet(&notice(16)), None),
            (packet(&several(&[notice(48), notice(17)])), ahead),
            (packet(&several(&[notice(48), vec![1; 3]])), None),
        ];
        for (packet, expected) in cases {
            assert_eq!(said_ahead(&packet), expected);
            (0..packet.len() - 12).for_each(|length| assert!(said_ahead(&packet[..length]).is_none() || length > 60));
        }
    }

    #[test]
    fn what_can_not_be_understood_ends_the_conversation() {
        for broken in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
            let mut conversation = Conversation::without_key(Frames::full());
            let (room, _) = conversation.buffers();
            room[..broken.len()].copy_from_slice(broken);
            assert!(conversation.came(broken.len()).is_err(), "{broken:?}");
        }
    }
}

//! What a gateway and the one that takes its place say to each other, over a socket that nobody else has: listening sockets, whose the cache
//! folder is, and from then on each act of an operator, for as long as both live.
//!
//! Words are JSON, one a packet. Later releases may add words and fields, and skip what they don't know: any two releases may meet here.

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longest word. A purge that names thousands of chats fits; what doesn't is told of in the log.
const LONGEST: usize = 160 << 10;

/// A word.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub(crate) enum Word {
    /// To the successor, with the socket: what it is for, and its address as the settings have it.
    Listener { role: Role, address: String },
    /// To the successor: those were all.
    Go,
    /// To the predecessor: what may fail was done, but for the folders that only one process may have.
    Ready,
    /// To the successor: the folders are its own now.
    Yours,
    /// To the predecessor: new connections are the successor's from now on.
    Serving,
    /// An act, for both.
    Told { body: String },
    /// Of a later release.
    #[serde(other)]
    Unknown,
}

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Public,
    Peers,
    Admin,
}

/// Words that wait for a neighbour that does not read: more than there can be revocations.
const MOST_WAITING: usize = 250_000;
/// How often it is looked whether one that waits can be sent, while there are some; and whether there are some.
const LOOK_WAITING: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(100);

/// One end of the socket between two processes.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// Found no room in the socket.
    waiting: Mutex<VecDeque<Vec<u8>>>,
}

/// What is done with each act that a neighbour tells before anything else is.
type AtOnce = Box<dyn Fn(&str) + Send + Sync>;

/// The neighbours in time that live beside this process: at most one before it and one after it.
pub(crate) struct Kin {
    at_once: AtOnce,
    links: Mutex<Vec<(Side, Arc<Link>)>>,
    heard: UnboundedSender<(Side, String)>,
    hears: tokio::sync::Mutex<UnboundedReceiver<(Side, String)>>,
}

/// Where a neighbour stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Predecessor,
    Successor,
}

impl Link {
    /// Two ends. The second is for a child's standard input.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self::new(ours), theirs))
    }

    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, waiting: Mutex::default() }
    }

    /// Sends a word, maybe with a descriptor. Never waits: to a socket that is full it is an error.
    pub(crate) fn send(&self, word: &Word, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.write(&encoded(word)?, descriptor)
    }

    /// Sends a word. Never waits: for what the socket has no room for, whoever receives on this link finds a moment, in order.
    ///
    /// # Errors
    /// The other process has ended, the word is too long, or far too many wait already.
    pub(crate) fn tell(&self, word: &Word) -> io::Result<()> {
        let bytes = encoded(word)?;
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            match self.write(&bytes, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
        if waiting.len() >= MOST_WAITING {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        waiting.push_back(bytes);
        Ok(())
    }

    /// Sends of what waits as much as there is room for. True: some still waits.
    fn flush(&self) -> bool {
        let mut waiting = self.waiting.lock();
        while let Some(bytes) = waiting.front() {
            match self.write(bytes, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // What else there may be, who receives finds out.
                Ok(()) | Err(_) => drop(waiting.pop_front()),
            }
        }
        false
    }

    fn write(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, flags)?;
        Ok(())
    }

    /// Waits for a word, and what came with it. Sends meanwhile what waits to be sent. `None`: the other process has ended.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after `patience`; else what the system says, or that it was no word.
    pub(crate) fn receive(&self, patience: Option<Duration>) -> io::Result<Option<(Word, Option<OwnedFd>)>> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut left = patience;
        let got = loop {
            let look = if self.flush() { LOOK_WAITING } else { LOOK };
            let look = left.map_or(look, |left| left.min(look));
            set_socket_timeout(&self.socket, Timeout::Recv, Some(look))?;
            match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    left = left.map(|left| left.saturating_sub(look));
                    if left.is_some_and(|left| left.is_zero()) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                // Ended with words unread.
                Err(Errno::CONNRESET) => return Ok(None),
                got => break got?,
            }
        };
        if got.bytes == 0 {
            return Ok(None);
        }
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut descriptor = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptor = descriptors.into_iter().next();
            }
        }
        let word = serde_json::from_slice(bytes.get(..got.bytes).unwrap_or_default())?;
        Ok(Some((word, descriptor)))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn encoded(word: &Word) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(word)?;
    if bytes.len() > LONGEST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(bytes)
}

impl Kin {
    /// `at_once` is called with each act that a neighbour tells, in whatever thread hears it, before it waits for [`Self::next`].
    pub(crate) fn new(at_once: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let (heard, hears) = unbounded_channel();
        let (at_once, hears) = (Box::new(at_once), tokio::sync::Mutex::new(hears));
        Self { at_once, links: Mutex::default(), heard, hears }
    }

    /// From now on this neighbour is told.
    pub(crate) fn join(&self, side: Side, link: Arc<Link>) {
        let mut links = self.links.lock();
        links.retain(|(other, _)| *other != side);
        links.push((side, link));
    }

    /// It is gone.
    pub(crate) fn leave(&self, side: Side) {
        self.links.lock().retain(|(other, _)| *other != side);
    }

    /// Somebody lives who was before this process, and hears of acts through it alone.
    pub(crate) fn has_predecessor(&self) -> bool {
        self.has(Side::Predecessor)
    }

    /// Somebody takes over, or has done so, and lives.
    pub(crate) fn has_successor(&self) -> bool {
        self.has(Side::Successor)
    }

    fn has(&self, wanted: Side) -> bool {
        self.links.lock().iter().any(|(side, _)| *side == wanted)
    }

    /// There is anybody to tell.
    pub(crate) fn is_there(&self) -> bool {
        !self.links.lock().is_empty()
    }

    /// Tells the neighbours of an act, but the one that it was heard from.
    pub(crate) fn tell(&self, body: &str, but: Option<Side>) {
        let links = self.links.lock().clone();
        for (side, link) in links.iter().filter(|(side, _)| Some(*side) != but) {
            if let Err(error) = link.tell(&Word::Told { body: body.to_owned() }) {
                tracing::error!(%error, ?side, "an act could not be told to the gateway that is being replaced or takes over");
            }
        }
    }

    /// A neighbour told of an act.
    pub(crate) fn hear(&self, side: Side, body: String) {
        (self.at_once)(&body);
        // Whoever does acts lives as long as this.
        let _ = self.heard.send((side, body));
    }

    /// Passes on what a neighbour says until it ends. Blocks.
    pub(crate) fn listen(&self, side: Side, link: &Link) {
        loop {
            match link.receive(None) {
                Ok(Some((Word::Told { body }, _))) => self.hear(side, body),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, ?side, "a word of another gateway process was not understood");
                    if error.kind() != io::ErrorKind::InvalidData {
                        return;
                    }
                }
            }
        }
    }

    /// An act that a neighbour has told already.
    pub(crate) fn told_by_now(&self) -> Option<(Side, String)> {
        self.hears.try_lock().ok()?.try_recv().ok()
    }

    /// The next act that a neighbour told. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> (Side, String) {
        match self.hears.lock().await.recv().await {
            Some(heard) => heard,
            // The sender lives as long as this does.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kin, Link, Role, Side, Word};
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::Arc;
    use std::time::Duration;

    fn ends() -> (Link, Link) {
        let (one, other) = Link::pair().unwrap();
        (one, Link::new(other))
    }

    #[test]
    fn words_come_one_by_one_with_what_belongs_to_them() {
        let (one, other) = ends();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let word = Word::Listener { role: Role::Admin, address: "127.0.0.1:0".to_owned() };
        one.send(&word, Some(OwnedFd::from(writer).as_fd())).unwrap();
        one.send(&Word::Go, None).unwrap();
        let (heard, descriptor) = other.receive(None).unwrap().unwrap();
        assert_eq!(heard, word);
        std::fs::File::from(descriptor.unwrap()).write_all(b"x").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "x", "the very same pipe, and nobody else has its end");
        let (heard, descriptor) = other.receive(None).unwrap().unwrap();
        assert!(heard == Word::Go && descriptor.is_none());
        let silent = other.receive(Some(Duration::from_millis(5))).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::TimedOut);
        drop(one);
        assert!(other.receive(None).unwrap().is_none());
        assert!(other.send(&Word::Ready, None).is_err(), "an error, no signal");
    }

    #[test]
    fn words_of_later_releases_are_skipped_and_what_is_too_long_is_refused() {
        let (one, other) = ends();
        rustix::io::write(&one, br#"{"word":"next-year","with":[1,2]}"#).unwrap();
        assert_eq!(other.receive(None).unwrap().unwrap().0, Word::Unknown);
        rustix::io::write(&one, b"no word").unwrap();
        assert_eq!(other.receive(None).unwrap_err().kind(), ErrorKind::InvalidData);
        let long = Word::Told { body: "x".repeat(super::LONGEST) };
        assert!(one.send(&long, None).is_err());
        // Nobody reads: it is never waited for.
        let word = Word::Told { body: "x".repeat(super::LONGEST / 2) };
        while one.send(&word, None).is_ok() {}
    }

    #[test]
    fn what_finds_no_room_is_told_when_there_is_some_and_in_order() {
        let (one, other) = ends();
        let word = |number: usize| Word::Told { body: format!("{number} {}", "x".repeat(10_000)) };
        for number in 0..200 {
            one.tell(&word(number)).unwrap();
        }
        assert!(!one.waiting.lock().is_empty(), "far more than a socket takes");
        let sender = std::thread::spawn(move || one.receive(None).unwrap().unwrap().0);
        for number in 0..200 {
            assert_eq!(other.receive(None).unwrap().unwrap().0, word(number));
        }
        other.tell(&Word::Ready).unwrap();
        assert_eq!(sender.join().unwrap(), Word::Ready);
    }

    #[tokio::test]
    async fn an_act_goes_to_all_but_who_told_it() {
        let kin = Arc::new(Kin::new(|_| {}));
        let ((before, old), (after, new)) = (ends(), ends());
        kin.join(Side::Predecessor, Arc::new(before));
        kin.join(Side::Successor, Arc::new(after));
        assert!(kin.has_predecessor());
        let told = || Word::Told { body: "a".to_owned() };
        kin.tell("a", None);
        assert!(old.receive(None).unwrap().unwrap().0 == told() && new.receive(None).unwrap().unwrap().0 == told());
        kin.tell("a", Some(Side::Successor));
        assert_eq!(old.receive(None).unwrap().unwrap().0, told());
        assert!(new.receive(Some(Duration::from_millis(5))).is_err());
        kin.leave(Side::Predecessor);
        assert!(!kin.has_predecessor());
        let (one, other) = ends();
        one.send(&told(), None).unwrap();
        drop(one);
        kin.listen(Side::Predecessor, &other);
        assert_eq!(kin.next().await, (Side::Predecessor, "a".to_owned()));
    }
}

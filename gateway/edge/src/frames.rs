//! What a client of HTTP/2 has the server do beside its requests, counted and bounded. Pure: the time is passed in.
//!
//! Pings, settings, resets, windows and empty frames cost the client a few bytes and the server work (RFC 9113 §10.5), each within what the protocol
//! allows: CVE-2019-9512 and its kin, CVE-2023-44487. nginx weighs a connection's bytes against those of its payload for that. Here a frame costs,
//! bytes of answers earn, and so does time: a viewer who jumps about in a film resets a few streams a second, and a
//! fast one sends two window updates for each 16 KiB.

use std::time::Duration;

/// What a connection may spend at once, and what each second gives back of it.
const MOST: u32 = 1000;
const EACH_SECOND: u32 = 100;
/// Bytes of answers that earn as much as a frame costs.
const BYTES: u64 = 256;
/// Of a stream that was begun for nothing.
const RESET: u32 = 5;
/// A frame with fewer bytes of a body is hardly worth its head.
const SMALL: u32 = 16;

/// Bytes of a frame's head (RFC 9113 §4.1), and of the connection's (§3.4).
const HEAD: usize = 9;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;

/// Reads along what a client sends.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Bytes that are passed over: of the preface, or of a payload.
    skip: usize,
    head: [u8; HEAD],
    /// Of the head, bytes that came.
    filled: usize,
    budget: u32,
    /// Up to when time gave back.
    since: Duration,
    sent: u64,
}

impl Frames {
    pub(crate) fn new(now: Duration) -> Self {
        Self { skip: PREFACE.len(), head: [0; HEAD], filled: 0, budget: MOST, since: now, sent: 0 }
    }

    /// Bytes went to the client.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// Takes note of bytes that came. False: they are more than can be meant well.
    pub(crate) fn came(&mut self, mut bytes: &[u8], now: impl FnOnce() -> Duration) -> bool {
        let mut cost = 0_u32;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let taken = (HEAD - self.filled).min(bytes.len());
            let (part, rest) = bytes.split_at(taken);
            if let Some(room) = self.head.get_mut(self.filled..self.filled + taken) {
                room.copy_from_slice(part);
            }
            self.filled += taken;
            bytes = rest;
            if self.filled == HEAD {
                let [a, b, c, kind, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                (self.filled, self.skip) = (0, length as usize);
                cost = cost.saturating_add(match kind {
                    DATA if length >= SMALL => 0,
                    RST_STREAM => RESET,
                    _ => 1,
                });
            }
        }
        cost == 0 || self.spend(cost, now())
    }

    fn spend(&mut self, cost: u32, now: Duration) -> bool {
        let passed = now.saturating_sub(self.since).as_millis() * u128::from(EACH_SECOND) / 1000;
        let earned = u128::from(self.sent / BYTES) + passed;
        if passed > 0 {
            self.since = now;
        }
        self.sent %= BYTES;
        let have = u128::from(self.budget).saturating_add(earned).min(u128::from(MOST));
        let left = u32::try_from(have).unwrap_or(MOST).checked_sub(cost);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, MOST, PREFACE};
    use std::time::Duration;

    const HEADERS: u8 = 1;
    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, 0, 0, 0, 0, 1];
        frame.resize(9 + length, 0xff);
        frame
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(Duration::ZERO);
        assert!(frames.came(PREFACE, || Duration::ZERO));
        frames
    }

    /// How many of a frame are let through at once.
    fn let_through(frames: &mut Frames, frame: &[u8], now: Duration) -> usize {
        (0..10_000).take_while(|_| frames.came(frame, || now)).count()
    }

    #[test]
    fn frames_cost_what_they_cause() {
        let cases = [
            (frame(PING, 8), 1000),
            (frame(4, 0), 1000),
            (frame(3, 4), 200),
            (frame(WINDOW_UPDATE, 4), 1000),
            (frame(0, 0), 1000),
            (frame(0, 15), 1000),
            (frame(0, 16), 10_000),
            (frame(0, 16_384), 10_000),
            ([frame(HEADERS, 30), frame(3, 4)].concat(), 166),
            (frame(0xfa, 3), 1000),
        ];
        for (bytes, most) in cases {
            assert_eq!(let_through(&mut begun(), &bytes, Duration::ZERO), most, "{:?}", &bytes[..9]);
        }
    }

    #[test]
    fn time_and_answers_earn() {
        let mut frames = begun();
        assert_eq!(let_through(&mut frames, &frame(PING, 8), Duration::ZERO), MOST as usize);
        assert_eq!(let_through(&mut frames, &frame(PING, 8), Duration::from_millis(500)), 50);
        assert_eq!(let_through(&mut frames, &frame(PING, 8), Duration::from_secs(3600)), MOST as usize);
        // A film at full speed: two window updates for each 16 KiB, for ever.
        for _ in 0..100_000 {
            frames.sent(16 << 10);
            assert!(frames.came(&[frame(WINDOW_UPDATE, 4), frame(WINDOW_UPDATE, 4)].concat(), || Duration::ZERO));
        }
        // A ping a millisecond is more than time gives back.
        let mut frames = begun();
        let pings = (1..10_000).take_while(|&n| frames.came(&frame(PING, 8), || Duration::from_millis(n))).count();
        assert!((1100..1120).contains(&pings), "{pings}");
    }

    #[test]
    fn however_the_bytes_are_cut_the_frames_are_the_same() {
        let all = [PREFACE, &frame(4, 18), &frame(HEADERS, 300), &frame(3, 4).repeat(170), &frame(PING, 8).repeat(200)];
        let all = all.concat();
        for cut in [1, 2, 7, 9, 10, 100, all.len()] {
            let mut frames = Frames::new(Duration::ZERO);
            let through = all.chunks(cut).take_while(|part| frames.came(part, || Duration::ZERO)).count();
            // 2 + 850 + 148 is all there is.
            let most = PREFACE.len() + 27 + 309 + 170 * 13 + 148 * 17;
            assert!(through * cut <= most + 17 && (through + 2) * cut >= most || cut == all.len(), "{cut}: {through}");
        }
    }
}

//! How packets are cut out of a connection's bytes, and what disguises them on the way to an MTProxy.
//!
//! Pure. Straight to a data-centre, or through a proxy that carries any bytes, it is Telegram's `full` transport, whose checksum
//! catches what TCP lets through. An MTProxy takes the obfuscated transports alone: 64 bytes that begin each connection hold the
//! keys of both directions, mixed with the proxy's secret, and the number of the data-centre that is wanted.
//! Source: core.telegram.org/mtproto/mtproto-transports.

use crate::proxy_secret::ProxySecret;
use grammers_crypto::{DequeBuffer, ObfuscatedCipher};
use grammers_mtproto::transport::{Error, Full, Transport};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Longest packet that is taken. Telegram's are up to 1 MiB and some bytes of its own.
const LONGEST: usize = 1024 * 1024 + 8 * 1024;

/// Bytes that begin an obfuscated connection.
pub(crate) const GREETING: usize = 64;

/// The shortest packet of each kind is longer; what is not is a bare error code, padded perhaps.
const SHORTEST: usize = 20;

const HEADER: usize = 4;

/// Key id and message key, before the part of a packet that comes in whole cipher blocks.
const ENVELOPE: usize = 8 + 16;
const BLOCK: usize = 16;

/// What one packet ends with, over MTProxy with `dd`: fewer bytes than this, at random.
const MOST_PADDING: u8 = 16;

pub(crate) struct Frames {
    kind: Kind,
    cipher: Option<Cipher>,
}

enum Kind {
    Full(Full),
    Intermediate,
    Padded,
}

struct Cipher {
    sending: ObfuscatedCipher,
    receiving: ObfuscatedCipher,
    greeting: Option<[u8; GREETING]>,
}

/// What stands at the front of the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A packet, and how many bytes it takes with all around it.
    Packet { body: Range<usize>, used: usize },
    /// So many bytes must be there in all, at least.
    Needs(usize),
}

impl Frames {
    pub(crate) fn full() -> Self {
        Self { kind: Kind::Full(Full::new()), cipher: None }
    }

    /// `random` must be [acceptable](is_acceptable).
    pub(crate) fn through_mtproxy(secret: &ProxySecret, dc: i16, random: &[u8; GREETING]) -> Self {
        let (kind, tag) = if secret.padded { (Kind::Padded, [0xdd; 4]) } else { (Kind::Intermediate, [0xee; 4]) };
        let mut backwards = *random;
        backwards.reverse();
        let mut sending = cipher(random, &secret.key);
        let mut clear = *random;
        clear[56..60].copy_from_slice(&tag);
        clear[60..62].copy_from_slice(&dc.to_le_bytes());
        let mut covered = clear;
        sending.encrypt(&mut covered);
        // The keys' bytes go in the clear, or nobody could tell the rest.
        covered[..56].copy_from_slice(&clear[..56]);
        let receiving = cipher(&backwards, &secret.key);
        Self { kind, cipher: Some(Cipher { sending, receiving, greeting: Some(covered) }) }
    }

    /// Frames the packet that stands in the buffer.
    pub(crate) fn pack(&mut self, packet: &mut DequeBuffer<u8>, random: [u8; BLOCK]) {
        match &mut self.kind {
            Kind::Full(full) => full.pack(packet),
            Kind::Intermediate => prefix_length(packet),
            Kind::Padded => {
                let length = usize::from(random[0] % MOST_PADDING);
                packet.extend(&random[BLOCK - length..]);
                prefix_length(packet);
            }
        }
        if let Some(cipher) = &mut self.cipher {
            cipher.sending.encrypt(packet.as_mut());
            if let Some(greeting) = cipher.greeting.take() {
                packet.extend_front(&greeting);
            }
        }
    }

    /// Takes the disguise off bytes that have just come. Each byte once, in order.
    pub(crate) fn uncover(&mut self, fresh: &mut [u8]) {
        if let Some(cipher) = &mut self.cipher {
            cipher.receiving.encrypt(fresh);
        }
    }

    /// Finds the first packet of what has come.
    pub(crate) fn next(&mut self, come: &mut [u8]) -> Result<Next, Error> {
        let Some(header) = come.first_chunk::<HEADER>() else { return Ok(Next::Needs(HEADER)) };
        let length = i32::from_le_bytes(*header);
        if length < 0 {
            return Err(Error::BadStatus { status: length.unsigned_abs() });
        }
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > LONGEST {
            return Err(Error::BadLen { got: length });
        }
        if let Kind::Full(full) = &mut self.kind {
            if come.len() < size {
                return Ok(Next::Needs(size));
            }
            let found = full.unpack(come)?;
            return Ok(Next::Packet { body: found.data_range, used: found.next_offset });
        }
        let Some(body) = come.get(HEADER..HEADER + size) else { return Ok(Next::Needs(HEADER + size)) };
        if size < SHORTEST {
            return Err(match body.first_chunk::<4>().map(|code| i32::from_le_bytes(*code)) {
                Some(code) if code < 0 => Error::BadStatus { status: code.unsigned_abs() },
                _ => Error::BadLen { got: length },
            });
        }
        // The cipher of the packets wants whole blocks and no padding; packets of the key exchange say how long they are.
        let is_plain = body.starts_with(&[0; 8]);
        let padding = if is_plain || size < ENVELOPE { 0 } else { (size - ENVELOPE) % BLOCK };
        Ok(Next::Packet { body: HEADER..HEADER + size - padding, used: HEADER + size })
    }
}

/// False for random bytes that would look like another protocol's beginning.
pub(crate) fn is_acceptable(random: &[u8; GREETING]) -> bool {
    const TAKEN: [[u8; 4]; 7] =
        [*b"HEAD", *b"POST", *b"GET ", *b"OPTI", [0xdd; 4], [0xee; 4], [0x16, 0x03, 0x01, 0x02]];
    random[0] != 0xef && !TAKEN.iter().any(|taken| random.starts_with(taken)) && random[4..8] != [0; 4]
}

/// The library's cipher takes its key and start out of 64 such bytes: they are laid out so that it finds the mixed key there.
fn cipher(random: &[u8; GREETING], secret: &[u8; 16]) -> ObfuscatedCipher {
    let mut layout = *random;
    layout[8..40].copy_from_slice(&Sha256::new().chain_update(&random[8..40]).chain_update(secret).finalize());
    ObfuscatedCipher::new(&layout)
}

fn prefix_length(packet: &mut DequeBuffer<u8>) {
    // Packets are bounded far below by the protocol above.
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    packet.extend_front(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Frames, Next, is_acceptable};
    use crate::proxy_secret::ProxySecret;
    use grammers_crypto::{DequeBuffer, ObfuscatedCipher};
    use grammers_mtproto::transport::Error;
    use proptest::prelude::{any, proptest};
    use sha2::{Digest, Sha256};

    const RANDOM: [u8; 64] = [0x5a; 64];

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_point_outside(come in any::<Vec<u8>>(), length in 0_u32..80) {
            let begin = length.to_le_bytes();
            for mut come in [come.clone(), [&begin[..], &come].concat()] {
                let size = come.len();
                for mut frames in [Frames::full(), Frames::through_mtproxy(&secret(true), 2, &RANDOM)] {
                    match frames.next(&mut come) {
                        Ok(Next::Packet { body, used }) => assert!(body.end <= used && used <= size),
                        Ok(Next::Needs(more)) => assert!(more > size),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn packet(length: usize) -> DequeBuffer<u8> {
        let mut buffer = DequeBuffer::with_capacity(length, 128);
        buffer.extend((0..length).map(|n| u8::try_from(n % 250 + 1).unwrap()));
        buffer
    }

    fn secret(padded: bool) -> ProxySecret {
        ProxySecret { key: [7; 16], padded }
    }

    #[test]
    fn the_proxy_finds_the_data_centre_and_the_packets() {
        for (padded, tag) in [(false, [0xee; 4]), (true, [0xdd; 4])] {
            let mut frames = Frames::through_mtproxy(&secret(padded), -4, &RANDOM);
            let mut buffer = packet(40);
            frames.pack(&mut buffer, [15; 16]);
            let mut sent = buffer[..].to_vec();
            assert_eq!(sent[..56], RANDOM[..56]);
            // As the proxy does it, from the documentation: key, start, and the whole of the first bytes through the cipher.
            let mut layout = [0; 64];
            layout[8..40].copy_from_slice(&Sha256::digest([&RANDOM[8..40], &[7; 16]].concat()));
            layout[40..56].copy_from_slice(&RANDOM[40..56]);
            ObfuscatedCipher::new(&layout).encrypt(&mut sent);
            assert_eq!((&sent[56..60], &sent[60..62]), (&tag[..], &(-4_i16).to_le_bytes()[..]));
            let expected = if padded { 40 + 15 } else { 40 };
            assert_eq!(sent[64..68], u32::try_from(expected).unwrap().to_le_bytes());
            assert_eq!(sent[68..108], packet(40)[..]);
            assert_eq!(sent.len(), 68 + expected);
            let mut again = packet(24);
            frames.pack(&mut again, [0; 16]);
            assert_eq!(again.len(), 28, "one greeting for a connection");
        }
    }

    #[test]
    fn packets_are_found_piece_by_piece_and_padding_is_cut() {
        let mut frames = Frames::through_mtproxy(&secret(true), 2, &RANDOM);
        let mut come = [&51_u32.to_le_bytes()[..], &[9; 51]].concat();
        assert_eq!(frames.next(&mut come[..3]), Ok(Next::Needs(4)));
        assert_eq!(frames.next(&mut come[..54]), Ok(Next::Needs(55)));
        assert_eq!(frames.next(&mut come), Ok(Next::Packet { body: 4..44, used: 55 }));
        let mut plain = [&51_u32.to_le_bytes()[..], &[0; 51]].concat();
        assert_eq!(frames.next(&mut plain), Ok(Next::Packet { body: 4..55, used: 55 }));
        let mut full = packet(40);
        Frames::full().pack(&mut full, [0; 16]);
        for cut in [0, 3, 4, 51] {
            let needs = if cut < 4 { 4 } else { 52 };
            assert_eq!(Frames::full().next(&mut full[..][..cut].to_vec()), Ok(Next::Needs(needs)), "{cut}");
        }
        assert_eq!(Frames::full().next(full.as_mut()), Ok(Next::Packet { body: 8..48, used: 52 }));
    }

    #[test]
    fn errors_and_lengths_that_can_not_be_end_the_connection() {
        let code = (-404_i32).to_le_bytes();
        let framed = [&4_u32.to_le_bytes()[..], &code].concat();
        let padded = [&9_u32.to_le_bytes()[..], &code, &[1; 5]].concat();
        let status = Err(Error::BadStatus { status: 404 });
        for padded_secret in [false, true] {
            let mut frames = Frames::through_mtproxy(&secret(padded_secret), 2, &RANDOM);
            assert_eq!(frames.next(&mut framed.clone()), status);
            assert_eq!(frames.next(&mut padded.clone()), status);
            assert_eq!(frames.next(&mut code.to_vec()), status);
            for (length, size) in [(0_i32, 0), (3, 3), (8, 8), (i32::MAX, 0)] {
                let mut come = [&length.to_le_bytes()[..], &vec![1; size]].concat();
                assert_eq!(frames.next(&mut come), Err(Error::BadLen { got: length }));
            }
        }
        assert_eq!(Frames::full().next(&mut code.to_vec()), status);
        assert_eq!(Frames::full().next(&mut i32::MAX.to_le_bytes().to_vec()), Err(Error::BadLen { got: i32::MAX }));
        assert!(Frames::full().next(&mut 4_i32.to_le_bytes().to_vec()).is_err());
    }

    #[test]
    fn greetings_look_like_nothing_known() {
        assert!(is_acceptable(&RANDOM));
        for beginning in [&b"GET /"[..], b"HEAD ", &[0xef], &[0xee; 4], &[0xdd; 4], &[1, 2, 3, 4, 0, 0, 0, 0]] {
            let mut random = RANDOM;
            random[..beginning.len()].copy_from_slice(beginning);
            assert!(!is_acceptable(&random), "{beginning:?}");
        }
    }
}

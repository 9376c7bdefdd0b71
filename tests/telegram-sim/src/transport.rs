//! The five transports: how one connection cuts its byte stream into packets.
//!
//! Pure: bytes in, packets out. Which transport a client speaks is seen from its first bytes, as on a real
//! data-centre, so one port serves all of them. Behind an MTProxy only the obfuscated ones are spoken, with ciphers that
//! depend on the proxy's secret, and the first bytes say which data-centre is meant.

use crc32fast::hash as crc32;
use grammers_crypto::ObfuscatedCipher;
use sha2::{Digest, Sha256};

/// Room that an outgoing packet leaves in front for the transport's header.
pub(crate) const PREFIX: usize = 8;

/// Longest packet taken from a client. Telegram closes on anything above about 1 MiB; a little more is let through.
const MAX_PACKET: usize = 2 << 20;

/// Why a byte stream stopped being a transport; the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("the first bytes belong to no transport")]
    Unknown,
    #[error("a packet of {0} bytes")]
    Length(usize),
    #[error("a packet out of sequence")]
    Sequence,
    #[error("a packet with a wrong checksum")]
    Checksum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Abridged,
    Intermediate,
    Padded,
}

/// Cuts what a client sends into packets.
#[derive(Default)]
pub(crate) struct Decoder {
    state: Option<Kind>,
    cipher: Option<ObfuscatedCipher>,
    buffer: Vec<u8>,
    start: usize,
    sequence: u32,
    header: Option<[u8; 64]>,
    secret: Option<[u8; 16]>,
    wanted: Option<i16>,
}

impl Decoder {
    /// For what comes to an MTProxy with this secret.
    pub(crate) fn behind(secret: [u8; 16]) -> Self {
        Self { secret: Some(secret), ..Self::default() }
    }

    /// The data-centre that an obfuscated connection asks for, once its first bytes are there.
    pub(crate) fn wanted(&mut self) -> Result<Option<i16>, TransportError> {
        self.detect()?;
        Ok(self.wanted)
    }

    /// Takes bytes from the socket.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 1 << 16 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let from = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        if let Some(cipher) = &mut self.cipher {
            // From the client's view this is its sending direction, which is what this cipher is written for.
            cipher.encrypt(&mut self.buffer[from..]);
        }
    }

    /// The next whole packet, or `None` until more bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let Some(kind) = self.detect()? else { return Ok(None) };
        let waiting = &self.buffer[self.start..];
        let (header, length) = match kind {
            Kind::Abridged => match waiting {
                // The high bit asks for a quick acknowledgement, which a server may leave out.
                [first, ..] if first & 0x7f != 0x7f => (1, usize::from(first & 0x7f) * 4),
                [_, a, b, c, ..] => (4, u32::from_le_bytes([*a, *b, *c, 0]) as usize * 4),
                _ => return Ok(None),
            },
            Kind::Full | Kind::Intermediate | Kind::Padded => match waiting {
                [a, b, c, d, ..] => (4, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
                _ => return Ok(None),
            },
        };
        let length = match kind {
            Kind::Full if length < 12 => return Err(TransportError::Length(length)),
            Kind::Full => length - 4,
            Kind::Intermediate | Kind::Padded => length & 0x7fff_ffff,
            Kind::Abridged => length,
        };
        if length > MAX_PACKET {
            return Err(TransportError::Length(length));
        }
        let Some(packet) = waiting.get(header..header + length) else { return Ok(None) };
        let packet = match kind {
            Kind::Full => {
                let (checked, crc) = waiting[..header + length].split_at(length);
                if crc32(checked).to_le_bytes() != *crc {
                    return Err(TransportError::Checksum);
                }
                if packet[..4] != self.sequence.to_le_bytes() {
                    return Err(TransportError::Sequence);
                }
                self.sequence = self.sequence.wrapping_add(1);
                packet[4..length - 4].to_vec()
            }
            Kind::Abridged | Kind::Intermediate | Kind::Padded => packet.to_vec(),
        };
        self.start += header + length;
        Ok(Some(packet))
    }

    /// The encoder that answers in the transport the client chose; `None` before its first bytes said which.
    pub(crate) fn encoder(&mut self) -> Result<Option<Encoder>, TransportError> {
        let kind = self.detect()?;
        let cipher = self.header.as_ref().map(ObfuscatedCipher::new);
        Ok(kind.map(|kind| Encoder { kind, cipher, sequence: 0 }))
    }

    fn detect(&mut self) -> Result<Option<Kind>, TransportError> {
        if let Some(kind) = self.state {
            return Ok(Some(kind));
        }
        let waiting = &self.buffer[self.start..];
        let (kind, used) = match waiting {
            _ if self.secret.is_some() && waiting.len() < 64 => return Ok(None),
            _ if self.secret.is_some() => (self.detect_obfuscated()?, 64),
            [0xef, ..] => (Kind::Abridged, 1),
            [0xee, 0xee, 0xee, 0xee, ..] => (Kind::Intermediate, 4),
            [0xdd, 0xdd, 0xdd, 0xdd, ..] => (Kind::Padded, 4),
            // An obfuscated header never has zeros here, and the first packet of `full` always has.
            [_, _, _, _, 0, 0, 0, 0, ..] => (Kind::Full, 0),
            _ if waiting.len() >= 64 => (self.detect_obfuscated()?, 64),
            _ => return Ok(None),
        };
        self.start += used;
        self.state = Some(kind);
        Ok(Some(kind))
    }

    /// Reads the 64 bytes at the front, and deciphers what has come after them.
    fn detect_obfuscated(&mut self) -> Result<Kind, TransportError> {
        let mut header = [0; 64];
        header.copy_from_slice(&self.buffer[self.start..self.start + 64]);
        let layout = |backwards| self.secret.map_or(header, |secret| mixed(&header, &secret, backwards));
        let mut cipher = ObfuscatedCipher::new(&layout(false));
        let mut clear = header;
        cipher.encrypt(&mut clear);
        let kind = match clear[56..60] {
            [0xef, 0xef, 0xef, 0xef] => Kind::Abridged,
            [0xee, 0xee, 0xee, 0xee] => Kind::Intermediate,
            [0xdd, 0xdd, 0xdd, 0xdd] => Kind::Padded,
            _ => return Err(TransportError::Unknown),
        };
        self.wanted = Some(i16::from_le_bytes([clear[60], clear[61]]));
        self.header = Some(layout(true));
        cipher.encrypt(&mut self.buffer[self.start + 64..]);
        self.cipher = Some(cipher);
        Ok(kind)
    }
}

/// The library's cipher takes keys and starts out of 64 such bytes, forwards for one direction and backwards for the other: with a
/// secret, they are laid out so that it finds the mixed keys where it looks for the plain ones.
fn mixed(header: &[u8; 64], secret: &[u8; 16], backwards: bool) -> [u8; 64] {
    let mut layout = *header;
    if backwards {
        layout.reverse();
    }
    let key = Sha256::new().chain_update(&layout[8..40]).chain_update(secret).finalize();
    layout[8..40].copy_from_slice(&key);
    if backwards {
        layout.reverse();
    }
    layout
}

/// Frames what the server sends.
pub(crate) struct Encoder {
    kind: Kind,
    cipher: Option<ObfuscatedCipher>,
    sequence: u32,
}

impl Encoder {
    /// Frames the packet that stands in `packet` after [`PREFIX`] bytes of room; returns where the frame begins.
    pub(crate) fn frame(&mut self, packet: &mut Vec<u8>) -> usize {
        let start = match self.kind {
            Kind::Full => {
                packet[4..8].copy_from_slice(&self.sequence.to_le_bytes());
                self.sequence = self.sequence.wrapping_add(1);
                let length = (packet.len() - PREFIX + 12) as u32;
                packet[..4].copy_from_slice(&length.to_le_bytes());
                let crc = crc32(packet);
                packet.extend_from_slice(&crc.to_le_bytes());
                0
            }
            Kind::Abridged => {
                let words = (packet.len() - PREFIX) / 4;
                if words < 0x7f {
                    packet[7] = words as u8;
                    7
                } else {
                    packet[4] = 0x7f;
                    packet[5..8].copy_from_slice(&(words as u32).to_le_bytes()[..3]);
                    4
                }
            }
            Kind::Intermediate | Kind::Padded => {
                if self.kind == Kind::Padded {
                    // The documentation allows 15; more than 3 are too many for Telethon, which works with the real servers.
                    let noise: [u8; 4] = rand::random();
                    packet.extend_from_slice(&noise[1..1 + usize::from(noise[0] % 4)]);
                }
                let length = (packet.len() - PREFIX) as u32;
                packet[4..8].copy_from_slice(&length.to_le_bytes());
                4
            }
        };
        if let Some(cipher) = &mut self.cipher {
            cipher.decrypt(&mut packet[start..]);
        }
        start
    }

    /// The bytes of a transport-level error such as 404 or 429.
    pub(crate) fn error(&mut self, code: i32) -> Vec<u8> {
        let code = (-code.abs()).to_le_bytes();
        if self.kind == Kind::Full {
            // Unframed, and repeated: clients read it where length, sequence or body would stand.
            return [code, code, code].concat();
        }
        let mut packet = vec![0; PREFIX];
        packet.extend_from_slice(&code);
        let start = self.frame(&mut packet);
        packet.split_off(start)
    }
}

#[cfg(test)]
mod tests {
    use grammers_crypto::DequeBuffer;
    use grammers_mtproto::transport::{Abridged, Error, Full, Intermediate, Obfuscated, Transport};

    use super::*;

    fn clients() -> Vec<(&'static str, Box<dyn Transport>)> {
        vec![
            ("full", Box::new(Full::new())),
            ("abridged", Box::new(Abridged::new())),
            ("intermediate", Box::new(Intermediate::new())),
            ("obfuscated abridged", Box::new(Obfuscated::new(Abridged::new()))),
            ("obfuscated intermediate", Box::new(Obfuscated::new(Intermediate::new()))),
        ]
    }

    fn body(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 7) as u8).collect()
    }

    #[test]
    fn packets_go_through_in_both_directions() {
        for (name, mut client) in clients() {
            let mut decoder = Decoder::default();
            let mut encoder = None;
            for length in [12, 16, 508, 504, 512, 40_000, 600_000] {
                let mut buffer = DequeBuffer::with_capacity(length, 128);
                buffer.extend(body(length));
                client.pack(&mut buffer);
                let sent = buffer[..].to_vec();
                // A few bytes at a time at first, so that every boundary is crossed.
                for (index, piece) in sent.chunks(if length < 1000 { 3 } else { 10_000 }).enumerate() {
                    assert_eq!(decoder.next(), Ok(None), "{name}, length {length}, piece {index}");
                    decoder.push(piece);
                }
                assert_eq!(decoder.next(), Ok(Some(body(length))), "{name}, length {length}");
                let encoder = encoder.get_or_insert_with(|| decoder.encoder().unwrap().unwrap());
                let mut packet = vec![0; PREFIX];
                packet.extend(body(length));
                let start = encoder.frame(&mut packet);
                let mut frame = packet.split_off(start);
                let unpacked = client.unpack(&mut frame).unwrap();
                assert_eq!(frame[unpacked.data_range], body(length), "{name}, length {length}");
                assert_eq!(unpacked.next_offset, frame.len());
            }
            let mut error = encoder.unwrap().error(404);
            assert_eq!(client.unpack(&mut error), Err(Error::BadStatus { status: 404 }), "{name}");
        }
    }

    #[test]
    fn padded_packets_keep_their_padding_for_the_cipher_to_cut() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xdd; 4]);
        decoder.push(&[7, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(decoder.next(), Ok(Some(vec![1, 2, 3, 4, 5, 6, 7])));
        let mut packet = vec![0; PREFIX];
        packet.extend(body(64));
        let start = decoder.encoder().unwrap().unwrap().frame(&mut packet);
        let frame = &packet[start..];
        assert_eq!(frame[..4], ((frame.len() - 4) as u32).to_le_bytes());
        assert_eq!(frame[4..68], body(64));
        assert!(frame.len() - 68 < 4);
    }

    #[test]
    fn behind_a_secret_only_those_who_know_it_are_understood() {
        let random: [u8; 64] = std::array::from_fn(|index| (index * 3 + 1) as u8);
        let mixed_key = |from: &[u8], secret: u8| Sha256::digest([from, &[secret; 16]].concat());
        let cipher = |key: &[u8], start: &[u8]| {
            let mut layout = [0; 64];
            layout[8..40].copy_from_slice(key);
            layout[40..56].copy_from_slice(start);
            ObfuscatedCipher::new(&layout)
        };
        for (secret, expected) in [(7, Ok(Some(-4))), (8, Err(TransportError::Unknown))] {
            let mut sending = cipher(&mixed_key(&random[8..40], secret), &random[40..56]);
            let mut said = random.to_vec();
            said[56..62].copy_from_slice(&[0xdd, 0xdd, 0xdd, 0xdd, 0xfc, 0xff]);
            said.extend(8_u32.to_le_bytes());
            said.extend(body(8));
            let clear = said[..56].to_vec();
            sending.encrypt(&mut said);
            said[..56].copy_from_slice(&clear);
            let mut decoder = Decoder::behind([7; 16]);
            decoder.push(&said[..63]);
            assert_eq!(decoder.wanted(), Ok(None));
            decoder.push(&said[63..]);
            assert_eq!(decoder.wanted(), expected);
            if expected.is_err() {
                continue;
            }
            assert_eq!(decoder.next(), Ok(Some(body(8))));
            let mut packet = vec![0; PREFIX];
            packet.extend(body(64));
            let start = decoder.encoder().unwrap().unwrap().frame(&mut packet);
            let backwards: Vec<u8> = random.iter().rev().copied().collect();
            let mut receiving = cipher(&mixed_key(&backwards[8..40], secret), &backwards[40..56]);
            let mut frame = packet.split_off(start);
            receiving.encrypt(&mut frame);
            assert_eq!(frame[4..68], body(64));
        }
        let mut decoder = Decoder::behind([7; 16]);
        decoder.push(&[0xee; 64]);
        assert_eq!(decoder.wanted(), Err(TransportError::Unknown), "what needs no secret is not taken");
    }

    #[test]
    fn what_is_not_a_transport_is_refused() {
        let huge = 0x7fff_fff0_u32.to_le_bytes();
        let mut wrong_checksum = vec![16, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        wrong_checksum.extend([0; 4]);
        let table = [
            (
                b"GET / HTTP/1.1\r\nHost: a.very.long.name.so.that.sixty.four.bytes.are.reached\r\n\r\n".to_vec(),
                TransportError::Unknown,
            ),
            (vec![0x16; 80], TransportError::Unknown),
            ([&[0xee; 4][..], &huge].concat(), TransportError::Length(0x7fff_fff0)),
            (vec![3, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9], TransportError::Length(3)),
            (wrong_checksum, TransportError::Checksum),
        ];
        for (bytes, expected) in table {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            assert_eq!(decoder.next(), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn a_packet_out_of_sequence_is_refused() {
        let mut buffer = DequeBuffer::with_capacity(64, 64);
        buffer.extend(body(16));
        Full::new().pack(&mut buffer);
        let mut decoder = Decoder::default();
        decoder.push(&buffer[..]);
        decoder.push(&buffer[..]);
        assert_eq!(decoder.next(), Ok(Some(body(16))));
        assert_eq!(decoder.next(), Err(TransportError::Sequence));
    }
}

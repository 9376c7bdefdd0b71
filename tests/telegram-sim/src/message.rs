//! MTProto messages: what stands inside a decrypted packet, and how answers are laid out.
//!
//! Pure. Everything here reads bytes a stranger may have written: containers and packed messages are unfolded with
//! bounds on depth, number and size.

use std::io::Read;

use flate2::read::GzDecoder;
use grammers_tl_types::Serializable;

use crate::crypto::{AuthKey, HEADER};
use crate::transport::PREFIX;

const CONTAINER: u32 = 0x73f1_f8dc;
const GZIP_PACKED: u32 = 0x3072_cfa1;
const RPC_RESULT: u32 = 0xf35c_6d01;

/// Messages taken from one packet; clients send 100 or so at most.
const MAX_MESSAGES: usize = 1024;
/// How far a packed message may unfold.
const MAX_UNPACKED: usize = 4 << 20;

/// Bytes of a message's header in a packet: salt, session, id, sequence, length.
const MESSAGE_HEADER: usize = 32;

/// The plaintext wasn't a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message")]
pub(crate) struct Malformed;

/// Reads little-endian fields off the front of a slice.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// A `bytes` or `string`.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let [first] = self.array::<1>()?;
        let (length, header) = if first == 254 {
            let [a, b, c] = self.array()?;
            (u32::from_le_bytes([a, b, c, 0]) as usize, 4)
        } else {
            (usize::from(first), 1)
        };
        let value = self.take(length)?;
        self.take((4 - (header + length) % 4) % 4)?;
        Ok(value)
    }
}

/// One packet's envelope, and the message in it.
pub(crate) struct Envelope<'a> {
    pub(crate) salt: i64,
    pub(crate) session: i64,
    pub(crate) id: i64,
    pub(crate) sequence: i32,
    pub(crate) body: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub(crate) fn read(plaintext: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(plaintext);
        let (salt, session, id) = (fields.i64()?, fields.i64()?, fields.i64()?);
        let (sequence, length) = (fields.i32()?, fields.u32()?);
        Ok(Self { salt, session, id, sequence, body: fields.take(length as usize)? })
    }
}

/// A message out of a packet, containers and packing removed.
pub(crate) struct Incoming {
    pub(crate) id: i64,
    pub(crate) body: Vec<u8>,
}

/// Unfolds the message of a packet.
pub(crate) fn unfold(id: i64, body: &[u8]) -> Result<Vec<Incoming>, Malformed> {
    let body = unpack(body)?;
    let mut fields = Fields(&body);
    if fields.u32()? != CONTAINER {
        return Ok(vec![Incoming { id, body }]);
    }
    let count = fields.u32()? as usize;
    if count > MAX_MESSAGES {
        return Err(Malformed);
    }
    let mut messages = Vec::new();
    for _ in 0..count {
        let (id, _sequence, length) = (fields.i64()?, fields.i32()?, fields.u32()?);
        // Containers hold no containers: what claims to be one is later refused as an unknown method.
        messages.push(Incoming { id, body: unpack(fields.take(length as usize)?)? });
    }
    Ok(messages)
}

/// Unfolds a packed message; anything else is copied.
pub(crate) fn unpack(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut fields = Fields(body);
    if fields.u32()? != GZIP_PACKED {
        return Ok(body.to_vec());
    }
    let mut unpacked = Vec::new();
    let mut packed = GzDecoder::new(fields.bytes()?).take(MAX_UNPACKED as u64 + 1);
    packed.read_to_end(&mut unpacked).map_err(|_| Malformed)?;
    if unpacked.len() > MAX_UNPACKED { Err(Malformed) } else { Ok(unpacked) }
}

/// A packet being written: room for the transport's and the cipher's headers, then the message.
pub(crate) struct Outgoing {
    buffer: Vec<u8>,
}

impl Outgoing {
    /// Begins a message; `capacity` is how long its body may get without moving.
    pub(crate) fn begin(salt: i64, session: i64, id: i64, content: bool, capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(PREFIX + HEADER + MESSAGE_HEADER + capacity + 64);
        buffer.resize(PREFIX + HEADER, 0);
        buffer.extend_from_slice(&salt.to_le_bytes());
        buffer.extend_from_slice(&session.to_le_bytes());
        buffer.extend_from_slice(&id.to_le_bytes());
        // Clients look at the lowest bit only: it says whether the message wants an acknowledgement.
        buffer.extend_from_slice(&i32::from(content).to_le_bytes());
        buffer.extend_from_slice(&0_u32.to_le_bytes());
        Self { buffer }
    }

    /// Where the body is appended.
    pub(crate) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Opens the result of the call with this message id.
    pub(crate) fn result_of(&mut self, id: i64) {
        self.buffer.extend_from_slice(&RPC_RESULT.to_le_bytes());
        self.buffer.extend_from_slice(&id.to_le_bytes());
    }

    /// Closes the message and encrypts it; what's returned still has room for the transport's header.
    pub(crate) fn seal(mut self, key: &AuthKey) -> Vec<u8> {
        let body = PREFIX + HEADER + MESSAGE_HEADER;
        let length = (self.buffer.len() - body) as u32;
        self.buffer[body - 4..body].copy_from_slice(&length.to_le_bytes());
        key.seal(&mut self.buffer, PREFIX);
        self.buffer
    }
}

/// An unencrypted packet, as the key exchange uses.
pub(crate) fn plain(id: i64, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; PREFIX + 8];
    packet.extend_from_slice(&id.to_le_bytes());
    packet.extend_from_slice(&(body.len() as u32).to_le_bytes());
    packet.extend_from_slice(body);
    packet
}

/// Packs an object the way servers do with long answers.
pub(crate) fn pack(object: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into a vector can't fail.
    let packed = encoder.write_all(object).and_then(|()| encoder.finish()).unwrap_or_default();
    let mut body = GZIP_PACKED.to_le_bytes().to_vec();
    packed.serialize(&mut body);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_packing_unfold() {
        let ping = [0xec, 0x77, 0xbe, 0x7a, 1, 0, 0, 0, 0, 0, 0, 0];
        let packed = pack(&ping);
        let mut container = CONTAINER.to_le_bytes().to_vec();
        container.extend_from_slice(&2_u32.to_le_bytes());
        for (id, body) in [(5_i64, &ping[..]), (9, &packed)] {
            container.extend_from_slice(&id.to_le_bytes());
            container.extend_from_slice(&1_u32.to_le_bytes());
            container.extend_from_slice(&(body.len() as u32).to_le_bytes());
            container.extend_from_slice(body);
        }
        for (id, message) in [(5, &ping[..]), (5, &packed)] {
            let messages = unfold(id, message).unwrap();
            assert_eq!((messages.len(), messages[0].id, &messages[0].body[..]), (1, 5, &ping[..]));
        }
        let messages = unfold(1, &container).unwrap();
        assert_eq!(messages.iter().map(|message| message.id).collect::<Vec<_>>(), [5, 9]);
        assert!(messages.iter().all(|message| message.body == ping));
        for cut in 0..container.len() {
            assert!(unfold(1, &container[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_packing_bomb_is_refused() {
        assert!(unpack(&pack(&vec![0; MAX_UNPACKED])).is_ok());
        assert!(unpack(&pack(&vec![0; MAX_UNPACKED + 1])).is_err());
    }

    #[test]
    fn strings_of_every_length_class() {
        for length in [0, 1, 2, 3, 253, 254, 255, 256, 70_000] {
            let mut bytes = vec![7_u8; length].to_bytes();
            bytes.push(1);
            let mut fields = Fields(&bytes);
            assert_eq!(fields.bytes().unwrap().len(), length);
            assert_eq!(fields.0, [1]);
        }
    }
}

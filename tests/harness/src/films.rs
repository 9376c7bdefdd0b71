//! What lies in the simulated channel, and which bytes it must come back as.

use crate::Failure;
use telegram_sim::{Content, Document};

/// A film in the channel.
#[derive(Clone, Debug)]
pub struct Film {
    /// File name, unique in the stack.
    pub name: String,
    /// Message that carries it.
    pub message_id: i32,
    /// Document id in the simulated world.
    pub document: i64,
    /// Length in bytes.
    pub size: u64,
    /// The bytes.
    pub content: Content,
}

impl Film {
    /// Compares bytes with the film's from `offset` on.
    ///
    /// # Errors
    /// A sentence that names the first difference.
    pub fn compare(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut expected = vec![0; 64 << 10];
        let mut at = offset;
        for piece in bytes.chunks(expected.len()) {
            let expected = expected.get_mut(..piece.len()).ok_or("piece")?;
            self.content.read_at(at, expected).map_err(|e| format!("{} has no byte {at}: {e}", self.name))?;
            if let Some(differs) = piece.iter().zip(expected.iter()).position(|(a, b)| a != b) {
                return Err(format!("{} differs at byte {}", self.name, at + differs as u64).into());
            }
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// A generated document whose bytes follow from its name and a version.
pub(crate) fn document(name: &str, dc: i32, size: u64, version: u64) -> Document {
    let seed = name
        .bytes()
        .fold(version.wrapping_mul(0x9e37_79b9), |seed, byte| seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
    Document::generated(name, dc, size, seed)
}

/// `3MiB`, `64KiB`, `2GiB`, `17`, and sums with `+` and `-`: `1MiB-1`.
///
/// # Errors
/// When the text is no such size.
pub fn size(text: &str) -> Result<u64, Failure> {
    let bad = || Failure::from(format!("no size: {text}"));
    if let Some((left, right)) = text.rsplit_once(['+', '-']) {
        let (left, right) = (size(left)?, size(right)?);
        return if text.contains('+') { left.checked_add(right) } else { left.checked_sub(right) }.ok_or_else(bad);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    number.parse::<u64>().map_err(|_| bad())?.checked_mul(unit).ok_or_else(bad)
}

//! Randomness fit for secrets.

use alloc::{string::String, vec::Vec};

/// So many bytes, up to 1,024; asking for more ends the call.
pub fn bytes(count: u32) -> Vec<u8> {
    crate::host::random(count)
}

/// So many bytes (up to 1,024) as twice as many hexadecimal digits.
pub fn hex(count: u32) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::new();
    for byte in bytes(count) {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}

//! Piece buffers, used again: fresh ones of 63 KiB each time would be zeroed and mapped for every piece sent.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Idle buffers kept of each kind; more are freed. Some 16 MiB and 4.
const KEEP: usize = 256;
/// Bytes of the small kind.
const SMALL: usize = 16 << 10;
/// Fewer bytes than this are sooner zeroed than a buffer is fetched.
const TINY: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Buffers {
    piece: usize,
    idle: Mutex<Vec<Box<[u8]>>>,
    small: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    pub(crate) fn new(piece: usize) -> Arc<Self> {
        Arc::new(Self { piece, idle: Mutex::default(), small: Mutex::default() })
    }

    /// A buffer of `len` bytes of unspecified content; `len` is at most a piece.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        if len <= TINY {
            return Buffer { bytes: vec![0; len].into_boxed_slice(), len, home: None };
        }
        let (idle, size) = if len <= SMALL { (&self.small, SMALL) } else { (&self.idle, self.piece) };
        let bytes = idle.lock().pop().unwrap_or_else(|| vec![0; size].into_boxed_slice());
        Buffer { len: len.min(bytes.len()), bytes, home: Some(self.clone()) }
    }
}

/// A buffer that goes home when its last `Bytes` is dropped.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffer {
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The first `len` bytes, as filled.
    pub(crate) fn freeze(mut self, len: usize) -> Bytes {
        self.len = len.min(self.len);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut idle = if self.bytes.len() <= SMALL { home.small.lock() } else { home.idle.lock() };
        if idle.len() < KEEP {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

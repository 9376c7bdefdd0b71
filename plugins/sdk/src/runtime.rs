//! What stands where an operating system would: memory, the end of a panic, and a place for the plugin between calls.
#![expect(unsafe_code, reason = "a static without threads, and the component model's way to allocate")]
#![allow(missing_docs, reason = "for the macros only")]

use crate::__export::refuse;
use alloc::string::String;
use core::cell::OnceCell;

#[cfg(not(feature = "std"))]
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

// `memcmp` and its like, which the compiler takes for granted. What isn't used stays out.
#[cfg(not(feature = "std"))]
#[link(name = "c")]
unsafe extern "C" {}

/// Where the gateway's texts go: the component model calls it before it passes one in. With `std` it is the C library's.
#[cfg(not(feature = "std"))]
#[unsafe(no_mangle)]
extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    use alloc::alloc::{Layout, alloc, realloc};
    if new_size == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: the canonical ABI passes what an earlier call returned, and alignments that are powers of two.
    let new = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(new_size, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_size, align), new_size)
        }
    };
    if new.is_null() {
        trap()
    }
    new
}

/// The plugin's value, made at the first call and kept while the instance lives.
#[derive(Debug)]
pub struct Instance<T>(OnceCell<T>);

// SAFETY: a component without the threads proposal has one thread.
unsafe impl<T> Sync for Instance<T> {}

impl<T> Instance<T> {
    #[expect(clippy::new_without_default, reason = "a static's value has to be const")]
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }

    pub fn get(&self, load: fn() -> Result<T, String>) -> &T {
        self.0.get_or_init(|| {
            #[cfg(feature = "std")]
            std::panic::set_hook(Box::new(|panic| {
                crate::host::log(crate::Level::Error, &alloc::format!("{panic}"));
            }));
            load().unwrap_or_else(|reason| refuse(reason))
        })
    }
}

pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(feature = "std"))]
mod panics {
    use core::fmt::{self, Write};

    /// A line of the log without the heap, which may be what has just run out.
    struct Line {
        bytes: [u8; 512],
        filled: usize,
    }

    impl Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for character in text.chars() {
                let mut encoded = [0; 4];
                let encoded = character.encode_utf8(&mut encoded).as_bytes();
                let room = self.bytes.get_mut(self.filled..self.filled + encoded.len()).ok_or(fmt::Error)?;
                room.copy_from_slice(encoded);
                self.filled += encoded.len();
            }
            Ok(())
        }
    }

    #[panic_handler]
    fn panicked(panic: &core::panic::PanicInfo<'_>) -> ! {
        let mut line = Line { bytes: [0; 512], filled: 0 };
        // An error means that the line is full; its beginning is what counts.
        let _ = write!(line, "{panic}");
        if let Ok(text) = core::str::from_utf8(&line.bytes[..line.filled]) {
            crate::host::log(crate::Level::Error, text);
        }
        super::trap()
    }
}

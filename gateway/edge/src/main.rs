//! The `gateway` command; everything is in the library.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Each request allocates and frees some dozens of times, from strings to buffers of 64 KiB: glibc's allocator took an eighth of a hit's
/// time for that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    edge::main()
}

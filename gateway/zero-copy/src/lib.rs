//! The system calls that let cached bytes leave without being copied, and all the `unsafe` of the gateway.
//!
//! What it does: tells whether a stretch of a file is in memory (`cachestat`), and has the kernel send it (`sendfile`), to a socket
//! of which it knows whether its TCP is paced. What it refuses to do: waiting, retries, knowing what the bytes are. Who calls it: `cache` asks before it promises a stretch, `edge` sends it.
//! What stays true: no call writes memory of this process but one small structure of its own; a socket is only
//! borrowed for as long as its owner is.

use rustix::net::sockopt::tcp_congestion;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `cachestat(2)`, Linux 6.5 on; one number on all architectures that came after system calls were unified (5.1).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range` of `linux/mman.h`.
#[repr(C)]
struct Stretch {
    at: u64,
    len: u64,
}

/// `struct cachestat` of `linux/mman.h`: pages.
#[repr(C)]
#[derive(Default)]
struct Pages {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether all of `len` bytes at `at` are in the page cache now. Never waits for the device, and loads nothing.
///
/// # Errors
/// `ENOSYS` before Linux 6.5, `EPERM` where a container's filter knows no such call, `EOPNOTSUPP` on hugetlbfs.
pub fn is_in_memory(file: &File, at: u64, len: u64) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    // One page more than the stretch may hold would be counted, were its ends not those of pages.
    let page = rustix::param::page_size() as u64;
    let first = at / page * page;
    let pages = (at + len - first).div_ceil(page);
    let (stretch, mut found) = (Stretch { at: first, len: pages * page }, Pages::default());
    #[expect(unsafe_code, reason = "no library has this call; both structures outlive it and have the kernel's layout")]
    // SAFETY: the kernel reads one `Stretch` and writes one `Pages`; flags must be 0.
    let done = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const stretch, &raw mut found, 0) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(found.cached >= pages)
}

/// Has the kernel send up to `len` bytes at `at` to a socket that doesn't block. Returns how many went.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if the socket takes none now; [`io::ErrorKind::UnexpectedEof`] at the end of the file; what else
/// `sendfile(2)` says.
pub fn send_file(socket: &impl AsRawFd, file: &File, at: u64, len: usize) -> io::Result<usize> {
    let mut offset = at;
    match rustix::fs::sendfile(borrowed(socket)?, file.as_fd(), Some(&mut offset), len) {
        Ok(0) if len > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(sent) => Ok(sent),
        Err(error) => Err(error.into()),
    }
}

/// Whether TCP sends by the clock here (BBR): what it may send is not sent at once, but by timers, a segment each.
pub fn is_paced(socket: &impl AsRawFd) -> bool {
    // A socket that is none of TCP's has no such thing.
    borrowed(socket).is_ok_and(|socket| tcp_congestion(socket).is_ok_and(|name| name.starts_with("bbr")))
}

fn borrowed(socket: &impl AsRawFd) -> io::Result<BorrowedFd<'_>> {
    let number = socket.as_raw_fd();
    if number < 0 {
        return Err(io::ErrorKind::NotConnected.into());
    }
    #[expect(unsafe_code, reason = "the stream's type lends a number only")]
    // SAFETY: the owner stays borrowed, so the descriptor stays open and stays its own.
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::{is_in_memory, send_file};
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_was_written_is_in_memory_and_a_hole_is_not() {
        let file = file(&[7; 10_000]);
        match is_in_memory(&file, 1, 9_999) {
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)), "{error}"),
            Ok(there) => {
                assert!(there);
                assert!(is_in_memory(&file, 4096, 0).unwrap());
                file.set_len(1 << 20).unwrap();
                assert!(!is_in_memory(&file, 1 << 19, 4096).unwrap());
                assert!(!is_in_memory(&file, 0, 1 << 20).unwrap());
            }
        }
    }

    #[test]
    fn a_file_goes_to_a_socket_until_it_is_full() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let file = file(&bytes);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (mut at, mut got) = (1000_u64, Vec::new());
        let mut waits = 0;
        while at < bytes.len() as u64 {
            match send_file(&ours, &file, at, bytes.len() - usize::try_from(at).unwrap()) {
                Ok(sent) => at += sent as u64,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    waits += 1;
                    let mut some = vec![0; 65_536];
                    let read = theirs.read(&mut some).unwrap();
                    got.extend_from_slice(&some[..read]);
                }
            }
        }
        assert!(waits > 0);
        assert_eq!(send_file(&ours, &file, at, 1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        drop(ours);
        theirs.read_to_end(&mut got).unwrap();
        assert_eq!(got, &bytes[1000..]);
    }
}

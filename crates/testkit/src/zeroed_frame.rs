//! A log whose newest commit has a frame without salts and checksum, as SQLite 3.11.0 to 3.49.2 could write it.
//!
//! 1. A transaction spills page *p* to frame *n*, and later again: frame *n* is overwritten in place, and the checksums
//!    are to be computed again from *n* on at the commit. Until then frames are appended with zeros for both.
//! 2. It rolls back to a savepoint from before frame *n*, so the next frame it writes has a smaller number, *m*.
//! 3. It commits: checksums are computed again from *n* on, and frames *m* to *n* - 1 keep their zeros.
//!
//! The commit is good for everybody who reads it through the wal-index, which never looks at checksums, and a checkpoint
//! copies it. The checksums of later frames go on from zeros as if those were the checksum of the frame before, up to
//! the one in the wal-index. Only a recovery, which needs the whole chain, stops at the frame and loses the commit.
//! SQLite 3.50 forgets *n* in step 2.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The frames of the log, of which the last is the commit.
pub const FRAMES: u32 = 7;
/// The one that is zeroed, counted from 1. The commit before it ends with the frame before.
pub const ZEROED: u32 = 3;

const FILES: [(&str, &[u8]); 3] = [
    ("app.db", include_bytes!("../fixtures/zeroed-frame/app.db")),
    ("app.db-wal", include_bytes!("../fixtures/zeroed-frame/app.db-wal")),
    ("app.db-shm", include_bytes!("../fixtures/zeroed-frame/app.db-shm")),
];

/// The database as it is while the application that wrote it is alive. Once this is dropped, the next one to open it
/// recovers the log, if nobody has it open.
#[derive(Debug)]
pub struct ZeroedFrame {
    path: PathBuf,
    /// Has the lock that says the wal-index is in use.
    _wal_index: File,
}

impl ZeroedFrame {
    /// Puts the three files into `directory`.
    ///
    /// # Errors
    ///
    /// When they cannot be written, or the wal-index not be locked.
    pub fn place(directory: &Path) -> io::Result<ZeroedFrame> {
        for (name, bytes) in FILES {
            fs::write(directory.join(name), bytes)?;
        }
        let wal_index =
            OpenOptions::new().read(true).write(true).open(directory.join("app.db-shm"))?;
        // Byte 128 is SQLite's "dead man's switch". The lock belongs to this open file rather than to the process, so
        // that it is seen by SQLite within the process, too.
        let lock = libc::flock {
            l_type: short(libc::F_RDLCK),
            l_whence: short(libc::SEEK_SET),
            l_start: 128,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(wal_index.as_fd(), FcntlArg::F_OFD_SETLK(&lock))?;
        Ok(ZeroedFrame { path: directory.join("app.db"), _wal_index: wal_index })
    }

    /// The database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn short(constant: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(constant).expect("a constant of fcntl(2) that fits where it belongs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::committed;

    /// Would catch a fixture that is recovered on the way, and shows what a follower of the log must not lose.
    #[test]
    fn readers_see_the_commit_until_a_recovery_loses_it() {
        let directory = tempfile::tempdir().unwrap();
        let live = ZeroedFrame::place(directory.path()).unwrap();
        let seen = committed(live.path()).unwrap();
        drop(live);
        let directory = tempfile::tempdir().unwrap();
        let left = ZeroedFrame::place(directory.path()).unwrap();
        let path = left.path().to_owned();
        drop(left);
        let recovered = committed(&path).unwrap();
        assert_eq!(seen.len(), recovered.len());
        assert_ne!(seen, recovered);
        let rows = |image: &[u8]| image.windows(100).filter(|bytes| **bytes == [b'd'; 100]).count();
        assert!(rows(&seen) > 0, "the row that the commit wrote");
        assert_eq!(rows(&recovered), 0);
    }

    /// The rule for a follower: zeros stand for the checksum, and the last one is that of the wal-index.
    #[test]
    fn the_chain_goes_on_from_zeros_to_the_checksum_in_the_wal_index() {
        let [_, (_, wal), (_, wal_index)] = FILES;
        let sum = |bytes: &[u8], from: (u32, u32)| {
            let words =
                bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
            let words: Vec<u32> = words.collect();
            words.chunks_exact(2).fold(from, |(a, b), pair| {
                let a = a.wrapping_add(pair[0]).wrapping_add(b);
                (a, b.wrapping_add(pair[1]).wrapping_add(a))
            })
        };
        let big = |bytes: &[u8]| {
            let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            (word(0), word(4))
        };
        let mut chain = sum(&wal[..24], (0, 0));
        let mut zeroed = Vec::new();
        for (number, frame) in (1..).zip(wal[32..].chunks_exact(24 + 512)) {
            if frame[8..24] == [0; 16] {
                zeroed.push(number);
                chain = (0, 0);
            } else {
                chain = sum(&frame[24..], sum(&frame[..8], chain));
                assert_eq!(chain, big(&frame[16..24]), "frame {number}");
            }
        }
        assert_eq!(zeroed, [ZEROED]);
        let last = |at: usize| u32::from_le_bytes(wal_index[at..at + 4].try_into().unwrap());
        assert_eq!((last(16), chain), (FRAMES, (last(24), last(28))));
    }
}

//! The names in a directory.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;

use nix::dir::{Dir, OwningIter};

/// The names in a directory but `.` and `..`, in no order.
#[derive(Debug)]
pub struct Entries(OwningIter);

impl Entries {
    pub(super) fn new(directory: Dir) -> Entries {
        Entries(directory.into_iter())
    }
}

impl Iterator for Entries {
    type Item = io::Result<OsString>;

    fn next(&mut self) -> Option<io::Result<OsString>> {
        loop {
            match self.0.next()? {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => {
                    let name = entry.file_name().to_bytes().to_vec();
                    return Some(Ok(OsString::from_vec(name)));
                }
                Err(errno) => return Some(Err(errno.into())),
            }
        }
    }
}

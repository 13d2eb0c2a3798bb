//! Who may do what with a file: its owner, group, mode and extended attributes, which the restored file takes over from the
//! one that it replaces. The application runs as somebody, and that somebody has to get at the file afterwards.
//!
//! What cannot be taken over is told and fails nothing. Where the group cannot be kept, its rights are not given to
//! another one.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::fs::{XattrFlags, fsetxattr, lgetxattr, llistxattr};
use rustix::io::Errno;

/// The longest list of names, and the longest value, that Linux has.
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

/// The rights of owner, group and others.
const MODE: u32 = 0o777;
const GROUP: u32 = 0o070;

/// What a file is like, without its contents.
#[derive(Debug, Clone)]
pub(crate) struct Likeness {
    owner: u32,
    group: u32,
    mode: u32,
    attributes: Vec<(CString, Vec<u8>)>,
    /// Extended attributes that could not be read.
    unread: Option<Errno>,
}

impl Likeness {
    /// That of what is at `path`, itself and not what it may point to.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Likeness {
        let (attributes, unread) = match attributes(path) {
            Ok(attributes) => (attributes, None),
            // The file system has none.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => (Vec::new(), None),
            Err(errno) => (Vec::new(), Some(errno)),
        };
        let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & MODE);
        Likeness { owner, group, mode, attributes, unread }
    }

    /// Makes `file` like this; answers what could not be kept, in words.
    pub(crate) fn give(&self, file: &File) -> io::Result<Vec<String>> {
        let mut lost = Vec::new();
        let now = file.metadata()?;
        let mut mode = self.mode;
        if now.gid() != self.group
            && let Err(error) = fchown(file, None, Some(self.group))
        {
            lost.push(format!("the group {}: {error}", self.group));
            mode &= !GROUP;
        }
        if now.uid() != self.owner
            && let Err(error) = fchown(file, Some(self.owner), None)
        {
            lost.push(format!("the owner {}: {error}", self.owner));
        }
        // A change of the owner may take rights away, so they come after it.
        if let Err(error) = file.set_permissions(Permissions::from_mode(mode)) {
            lost.push(format!("the mode {mode:o}: {error}"));
        }
        lost.extend(self.unread.map(|errno| format!("the extended attributes: {errno}")));
        // Lists of access rights are among them and have the last word about the mode.
        for (name, value) in &self.attributes {
            match fsetxattr(file, name.as_c_str(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(_) if attribute(file, name, value) => {}
                Err(errno) => {
                    lost.push(format!("the attribute {}: {errno}", name.to_string_lossy()));
                }
            }
        }
        Ok(lost)
    }
}

/// Whether the file has this attribute already, as the kernel gives some to every file.
fn attribute(file: &File, name: &CStr, value: &[u8]) -> bool {
    let mut bytes = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::fgetxattr(file, name, bytes.as_mut_slice());
    length.is_ok_and(|length| bytes.get(..length) == Some(value))
}

fn attributes(path: &Path) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let mut bytes = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = llistxattr(path, bytes.as_mut_slice())?;
    let names = bytes.get(..length).unwrap_or_default().to_vec();
    let names = names.split_inclusive(|&byte| byte == 0);
    let names = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok());
    names
        .map(|name| {
            let length = lgetxattr(path, name, bytes.as_mut_slice())?;
            Ok((name.to_owned(), bytes.get(..length).unwrap_or_default().to_vec()))
        })
        .collect()
}

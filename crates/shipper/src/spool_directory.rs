//! The directory of the spool, within the directory of the local state.

use std::io;
use std::path::Path;

use ebbtide_directory::Directory;
use ebbtide_state::open_state_directory;

/// The name of the directory.
pub(crate) const NAME: &str = "spool";

/// The spool's directory within `state_directory`, if both exist, and the user id of the owner.
pub(crate) fn spool_directory(state_directory: &Path) -> io::Result<Option<(Directory, u32)>> {
    let Some(private) = open_state_directory(state_directory).map_err(io::Error::other)? else {
        return Ok(None);
    };
    Ok(private.within(NAME)?.map(|(private, directory)| (directory, private.owner())))
}

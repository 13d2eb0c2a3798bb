//! Where a restore writes, and whether `replicate` will follow what it writes there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ebbtide_state::state_directory;

use crate::args::Restore;
use crate::exit::{Code, Failure};
use crate::source::{Source, same_file};

/// As many links as Linux follows in one path.
const LINKS_MAX: usize = 40;

/// The file that is to be written.
#[derive(Debug)]
pub(crate) struct Destination {
    /// Its path, of which the last part is no link.
    pub(crate) path: PathBuf,
    /// The directory for its local state, if it will be followed.
    pub(crate) state: Option<PathBuf>,
    /// The links that led there, if there were any: the path as it was named.
    pub(crate) link: Option<PathBuf>,
}

impl Destination {
    /// Finds it out from the arguments.
    pub(crate) fn find(args: &Restore, source: &Source) -> Result<Destination, Failure> {
        let named = args.output.clone().or_else(|| source.database.clone()).ok_or_else(|| {
            Failure::new(Code::Usage, "name the database file to write with -o OUT".to_owned())
        })?;
        let path = follow_links(&named)?;
        let state = state_of(args, source, &named).or_else(|| state_of(args, source, &path));
        let link = (path != named).then_some(named);
        Ok(Destination { path, state, link })
    }
}

/// Where the local state of `path` goes: only where the database is followed, or will be.
fn state_of(args: &Restore, source: &Source, path: &Path) -> Option<PathBuf> {
    if source.database.as_ref().is_some_and(|database| same_file(database, path)) {
        return Some(source.state.clone().unwrap_or_else(|| state_directory(path)));
    }
    let beside = state_directory(path);
    // Whatever is there: what is no state of ours is refused by name.
    let is_followed = fs::symlink_metadata(&beside).is_ok();
    (args.follow || is_followed).then_some(beside)
}

/// Where SQLite would open or create the database that `path` names: behind the links, whether or not there is a file.
pub(crate) fn follow_links(path: &Path) -> Result<PathBuf, Failure> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let Ok(metadata) = path.symlink_metadata() else { return Ok(path) };
        if !metadata.is_symlink() {
            return Ok(path);
        }
        let user = nix::unistd::geteuid().as_raw();
        if ![0, user].contains(&metadata.uid()) {
            let why = "it is a symbolic link of another user, who could have it lead anywhere";
            return Err(refuse(&path, why));
        }
        let to = fs::read_link(&path).map_err(|error| refuse(&path, &error.to_string()))?;
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    Err(refuse(&path, "there are too many symbolic links"))
}

fn refuse(path: &Path, why: &str) -> Failure {
    Failure::new(Code::Failed, format!("{}: {why}", path.display()))
}

//! The private directory in which the sockets of one user's processes lie.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};

/// Only its owner may enter.
const MODE: u32 = 0o700;

/// The variable that names the directory.
const VARIABLE: &str = "EBBTIDE_RUNTIME_DIR";

/// Where root alone, and so the service manager, makes directories.
const SERVICES: &str = "/run";

/// Whether root has made this directory for a service: `/run/ebbtide`, or `/run/ebbtide-…` of an instance.
pub(super) fn is_of_service(place: &Path) -> bool {
    let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    place.parent() == Some(Path::new(SERVICES))
        && (name == "ebbtide" || name.starts_with("ebbtide-"))
}

/// Where the directory may be, the best place first.
pub(super) fn places() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = variable(VARIABLE) {
        return vec![PathBuf::from(named)];
    }
    let user = Uid::effective();
    let session =
        variable("XDG_RUNTIME_DIR").map(|directory| Path::new(&directory).join("ebbtide"));
    let system = user.is_root().then(|| PathBuf::from("/run/ebbtide"));
    let temporary = std::env::temp_dir().join(format!("ebbtide-{user}"));
    session.into_iter().chain(system).chain([temporary]).collect()
}

/// Where the directories may be of those whom we may ask: our own, and with root those of every user.
pub fn places_to_ask() -> Vec<PathBuf> {
    let mut places = places();
    if Uid::effective().is_root() && std::env::var_os(VARIABLE).is_none_or(|named| named.is_empty())
    {
        let sessions = directories_in(Path::new("/run/user")).map(|user| user.join("ebbtide"));
        let is_ours = |place: &PathBuf| {
            let name = place.file_name().and_then(|name| name.to_str());
            let user = name.and_then(|name| name.strip_prefix("ebbtide-"));
            user.is_some_and(|user| user.parse::<u32>().is_ok())
        };
        let temporary = directories_in(&std::env::temp_dir()).filter(is_ours);
        let services = directories_in(Path::new(SERVICES)).filter(|place| is_of_service(place));
        let others: Vec<PathBuf> = sessions.chain(temporary).chain(services).collect();
        places.extend(others.into_iter().filter(|place| check_to_ask(place).is_ok()));
        places.sort();
        places.dedup();
    }
    places
}

fn directories_in(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The first place at which there is a private directory of ours, or at which one can be made.
pub(super) fn make() -> io::Result<PathBuf> {
    let mut reason = io::Error::other("there is no place for it");
    for place in places() {
        match make_at(&place) {
            Ok(()) => return Ok(place),
            Err(error) => {
                reason = io::Error::new(error.kind(), format!("{}: {error}", place.display()));
            }
        }
    }
    Err(reason)
}

fn make_at(place: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(place) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => check(place),
    }
}

/// That a directory is ours alone. In a directory for temporary files anybody could have made it before us.
pub(super) fn check(place: &Path) -> io::Result<()> {
    let owner = check_private(place)?;
    if owner != Uid::effective() {
        return refuse("it is another user's");
    }
    Ok(())
}

/// That a directory is private to a user whose processes we may ask: ourselves, or with root anybody. That user.
pub(super) fn check_to_ask(place: &Path) -> io::Result<Uid> {
    let owner = check_private(place)?;
    if owner != Uid::effective() && !Uid::effective().is_root() {
        return refuse("it is another user's");
    }
    Ok(owner)
}

fn check_private(place: &Path) -> io::Result<Uid> {
    let metadata = fs::symlink_metadata(place)?;
    if !metadata.is_dir() {
        return refuse("it is no directory");
    }
    if metadata.mode() & 0o077 != 0 {
        return refuse("others may enter it; chmod 700 makes it private");
    }
    Ok(Uid::from_raw(metadata.uid()))
}

fn refuse<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::PermissionDenied, why.to_owned()))
}

/// The socket of a process.
pub(super) fn socket(directory: &Path, process: u32) -> PathBuf {
    directory.join(format!("{process}.sock"))
}

/// The sockets in a directory, with the processes that they are named by, in the order of those.
pub(super) fn sockets(directory: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let process = name.and_then(|name| name.strip_suffix(".sock")?.parse().ok());
        found.extend(process.map(|process| (process, path)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes sockets that were left behind: nobody listens, and there is no process of that number, unless it is ours. A
/// socket of a process in another container, whose number means nothing here, is listened to.
pub(super) fn tidy(directory: &Path) -> io::Result<()> {
    for (process, path) in sockets(directory)? {
        let gone = process == std::process::id() || !is_alive(process);
        let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
        if gone && UnixStream::connect(&path).is_err_and(refused) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {
                    tracing::debug!(path = %path.display(), "removed a socket that was left behind")
                }
            }
        }
    }
    Ok(())
}

fn is_alive(process: u32) -> bool {
    let pid = i32::try_from(process).ok().filter(|&pid| pid > 0);
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("ebbtide");
        make_at(&place).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o7777, MODE);
        make_at(&place).unwrap();
        for mode in [0o710, 0o701, 0o777] {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(make_at(&place).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        let link = directory.path().join("link");
        symlink(&place, &link).unwrap();
        assert!(make_at(&link).is_err(), "whoever owns the link could change it");
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(make_at(&directory.path().join("file")).is_err());
    }

    #[test]
    fn only_root_makes_directories_of_services() {
        for (place, is) in [
            ("/run/ebbtide", true),
            ("/run/ebbtide-shop", true),
            ("/run/user/1000/ebbtide", false),
            ("/tmp/ebbtide-1000", false),
            ("/run/other", false),
            ("/run/x/../ebbtide-shop/y", false),
        ] {
            assert_eq!(is_of_service(Path::new(place)), is, "{place}");
        }
    }

    #[test]
    fn only_sockets_that_were_left_behind_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |process| socket(directory.path(), process);
        let (init, never, ours) = (1, u32::from(u16::MAX) << 8, std::process::id());
        drop(UnixListener::bind(path(init)).unwrap());
        drop(UnixListener::bind(path(never)).unwrap());
        drop(UnixListener::bind(path(ours)).unwrap());
        let _elsewhere = UnixListener::bind(path(never + 1)).unwrap();
        fs::write(directory.path().join("other"), "").unwrap();
        tidy(directory.path()).unwrap();
        let left: Vec<u32> =
            sockets(directory.path()).unwrap().into_iter().map(|(process, _)| process).collect();
        assert_eq!(left, [init, never + 1]);
        assert!(directory.path().join("other").exists());
    }
}

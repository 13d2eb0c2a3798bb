//! The socket at an address of a configuration.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ebbtide_config::ListenAddress;
use tokio::net::{TcpListener, UnixListener};

use crate::error::Error;
use crate::listener::{Listener, Socket};

/// Listens at an address.
pub(crate) async fn listen(address: &ListenAddress) -> Result<Listener, Error> {
    match address {
        ListenAddress::Tcp(at) => {
            let fail = |source| Error::Listen { address: at.to_string(), source };
            Ok(Listener::new(Socket::Tcp(TcpListener::bind(at).await.map_err(fail)?)))
        }
        ListenAddress::Unix(path) => {
            let fail = |source| Error::Listen { address: path.display().to_string(), source };
            let socket = bind(path).map_err(fail)?;
            Ok(Listener::new(Socket::Unix(socket, path.clone())))
        }
    }
}

/// A socket that a process has left behind when it was killed is replaced; nothing else is.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(path)? => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(bound)
}

fn is_left_behind(path: &Path) -> io::Result<bool> {
    let is_socket = fs::symlink_metadata(path)?.file_type().is_socket();
    let refused = || matches!(UnixStream::connect(path), Err(error) if error.kind() == ErrorKind::ConnectionRefused);
    Ok(is_socket && refused())
}

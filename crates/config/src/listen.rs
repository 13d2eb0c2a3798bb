//! Where the process shows itself over HTTP, and to whom.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ebbtide_directory::open_regular;

/// A secret that is shorter could be guessed.
const SECRET_BYTES_MIN: usize = 16;
/// A longer file is no secret.
const SECRET_BYTES_MAX: usize = 4096;

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address of this machine.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Where it listens, and what whoever asks must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: ListenAddress,
    /// The file with the token that has to be shown.
    pub token_file: Option<PathBuf>,
}

impl Listen {
    /// Listens at this address: `127.0.0.1:9094` or `unix:/path`.
    ///
    /// # Errors
    /// When it is no address, or one that other machines reach, without a token.
    pub fn new(address: &str, token_file: Option<PathBuf>) -> Result<Listen, String> {
        let address = match address.strip_prefix("unix:") {
            Some(path) if Path::new(path).is_absolute() => ListenAddress::Unix(path.into()),
            Some(_) => {
                return Err(format!("{address}: the path of a socket begins with / (unix:/run/…)"));
            }
            None => ListenAddress::Tcp(address.parse().map_err(|_| {
                format!("{address} is no address: write for example 127.0.0.1:9094, [::1]:9094 or unix:/run/ebbtide.sock")
            })?),
        };
        if let ListenAddress::Tcp(reached) = &address
            && !reached.ip().is_loopback()
            && token_file.is_none()
        {
            return Err(format!(
                "{reached} is reached by other machines: name a file with a token (`listen-token-file`), or listen at \
                 127.0.0.1"
            ));
        }
        Ok(Listen { address, token_file })
    }
}

/// The secret in a file, without the end of its line.
///
/// # Errors
/// When it cannot be read, others may read it, or it is too short.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |why: &str| format!("{}: {why}", path.display());
    let file: File = open_regular(path).map_err(|error| fail(&error.to_string()))?;
    let metadata = file.metadata().map_err(|error| fail(&error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(fail("others may read this secret: chmod 600 makes it private"));
    }
    let mut secret = Vec::new();
    let mut file = file.take(SECRET_BYTES_MAX as u64 + 1);
    file.read_to_end(&mut secret).map_err(|error| fail(&error.to_string()))?;
    if secret.len() > SECRET_BYTES_MAX {
        return Err(fail("it is longer than a secret is"));
    }
    let end = secret.trim_ascii_end().len();
    secret.truncate(end);
    if secret.len() < SECRET_BYTES_MIN {
        return Err(fail("a secret has at least 16 characters: `openssl rand -hex 32` makes one"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn other_machines_have_to_show_a_token() {
        let listen = |address| Listen::new(address, None);
        for address in ["127.0.0.1:9094", "[::1]:0", "127.9.9.9:1", "unix:/run/ebbtide.sock"] {
            assert!(listen(address).is_ok(), "{address}");
        }
        for (address, said) in [
            ("0.0.0.0:9094", "name a file with a token"),
            ("[::]:9094", "name a file with a token"),
            ("192.0.2.1:80", "name a file with a token"),
            (":9094", "is no address"),
            ("localhost:9094", "is no address"),
            ("9094", "is no address"),
            ("unix:ebbtide.sock", "begins with /"),
        ] {
            let error = listen(address).unwrap_err();
            assert!(error.contains(said), "{address}: {error}");
        }
        assert!(Listen::new("0.0.0.0:9094", Some("/etc/token".into())).is_ok());
    }

    #[test]
    fn a_secret_is_private_and_long_enough() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let with = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read_secret(&path)
        };
        assert_eq!(with("0123456789abcdef\r\n", 0o600).as_deref(), Ok(&b"0123456789abcdef"[..]));
        for (text, mode, said) in [
            ("0123456789abcdef", 0o640, "chmod 600"),
            ("0123456789abcdef", 0o604, "chmod 600"),
            ("0123456789abcde\n", 0o600, "at least 16"),
            (&"x".repeat(5000), 0o600, "longer than a secret"),
        ] {
            let error = with(text, mode).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let gone = directory.path().join("gone");
        assert!(read_secret(&gone).unwrap_err().contains("gone"));
    }
}

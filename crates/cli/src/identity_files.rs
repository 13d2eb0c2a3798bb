//! Identity files that are read once somebody has to have them.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ebbtide_keys::Identities;
use ebbtide_seal::{Unwrap, UnwrapError, scrubbed};
use zeroize::Zeroizing;

use crate::passphrase;

/// The files, and what was in them.
#[derive(Debug)]
pub(crate) struct IdentityFiles {
    paths: Vec<PathBuf>,
    passphrase_file: Option<PathBuf>,
    read: OnceLock<Result<Identities, String>>,
}

impl IdentityFiles {
    /// These files, the passphrase of which is in another, or is asked for.
    pub(crate) fn new(paths: Vec<PathBuf>, passphrase_file: Option<PathBuf>) -> IdentityFiles {
        IdentityFiles { paths, passphrase_file, read: OnceLock::new() }
    }

    fn read(&self) -> Result<Identities, String> {
        let passphrase = |path: &Path| self.passphrase(path);
        self.paths.iter().try_fold(Identities::none(), |all, path| {
            let read = Identities::read(path, &passphrase);
            read.map(|read| all.and(read)).map_err(|error| error.to_string())
        })
    }

    fn passphrase(&self, path: &Path) -> Result<Zeroizing<String>, String> {
        match &self.passphrase_file {
            Some(file) => {
                let text = fs::read_to_string(file).map(Zeroizing::new);
                let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
                Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
            }
            None if std::io::stderr().is_terminal() => {
                passphrase::ask(&format!("passphrase of {}: ", path.display()))
            }
            None => Err("it is encrypted with a passphrase, and nobody can be asked here: name a file that has it \
                         (--passphrase-file)"
                .to_owned()),
        }
    }
}

impl Unwrap for IdentityFiles {
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        // The passphrase is asked for within, too.
        match self.read.get_or_init(|| scrubbed(|| self.read())) {
            Ok(identities) => identities.unwrap(wrapped),
            Err(why) => Err(UnwrapError::Identity(why.clone())),
        }
    }
}

//! Where a source is looked up, and what opens it if it is encrypted.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use clap::Args as Arguments;
use ebbtide_seal::Unwrap;

use crate::identity_files::IdentityFiles;

/// What the commands that read a replica have in common.
#[derive(Debug, Clone, Arguments)]
pub struct Access {
    /// The configuration in which the source is looked up.
    #[arg(long, value_name = "FILE", default_value = "ebbtide.toml")]
    pub config: PathBuf,
    /// How secret keys are opened.
    #[command(flatten)]
    pub identity: Identity,
}

/// What stands above these options in the help. Each names it: a heading of all would go on for what comes after them.
const HEADING: &str = "Encrypted replicas";

/// How the secret keys of an encrypted replica are opened.
#[derive(Debug, Clone, Default, Arguments)]
pub struct Identity {
    /// Open an encrypted replica with the identity in this file, which `ebbtide keygen` or `age-keygen` wrote; - is standard
    /// input. May be given several times.
    #[arg(long = "identity", value_name = "FILE", env = "EBBTIDE_IDENTITY_FILE", help_heading = HEADING)]
    pub files: Vec<PathBuf>,
    /// The passphrase of the identity file is the first line of this one, instead of being asked for.
    #[arg(long, value_name = "FILE", requires = "files", help_heading = HEADING)]
    pub passphrase_file: Option<PathBuf>,
    /// Open each secret key with this command, which gets an age file on its standard input and prints what is in it, such as
    /// "age -d -i yubikey.txt".
    #[arg(long, value_name = "CMD", conflicts_with = "files", help_heading = HEADING)]
    pub key_command: Option<String>,
    /// Made once, so that standard input is read and a passphrase asked for once, however many replicas are opened.
    #[arg(skip)]
    opener: OnceLock<Option<Arc<dyn Unwrap>>>,
}

impl Identity {
    /// What opens secret keys, if anything was named. No file is read before a key has to be opened.
    #[must_use]
    pub fn opener(&self) -> Option<Arc<dyn Unwrap>> {
        self.opener.get_or_init(|| self.make_opener()).clone()
    }

    fn make_opener(&self) -> Option<Arc<dyn Unwrap>> {
        if let Some(command) = &self.key_command {
            return Some(Arc::new(ebbtide_keys::KeyCommand::new(command.clone())));
        }
        if self.files.is_empty() {
            return None;
        }
        let (files, passphrase) = (self.files.clone(), self.passphrase_file.clone());
        Some(Arc::new(IdentityFiles::new(files, passphrase)))
    }
}

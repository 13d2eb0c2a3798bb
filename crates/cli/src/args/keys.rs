//! `ebbtide keygen`, and what else is about keys.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args as Arguments, Subcommand};

use ebbtide_keys::Recipients;
use ebbtide_seal::Wrap;

use super::Access;
use crate::exit::{Code, Failure};

/// `ebbtide keygen`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide keygen -o owner.txt                              prints its recipient, age1…
  ebbtide keygen | age -p > owner.age                      with a passphrase

Whoever has the file can read every replica that is encrypted for its recipient; without it, nobody can. Keep it away from \
the hosts that are backed up, and a second one in another place. The files are age's own: `age-keygen` makes the same, and \
`age -d -i owner.txt` opens the key objects of a replica.")]
pub struct Keygen {
    /// The file to write, which must not be there. Without it, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `ebbtide key`.
#[derive(Debug, Arguments)]
pub struct Key {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// The subcommands of `ebbtide key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Prove that an identity opens a replica: the newest key of each class, and how many there are.
    Check(KeyCheck),
}

/// `ebbtide key check`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide key check --identity owner.txt s3://bucket/app   as a drill, with each identity by itself

Exit codes: 0 every key is there and is opened; 2 no identity was given; 3 there is no replica; 4 a key is missing, damaged or \
wrapped for others.")]
pub struct KeyCheck {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Open every key, and not only the newest of each class.
    #[arg(long)]
    pub all: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// `ebbtide rewrap`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide rewrap --identity owner.txt --recipients-file new.txt s3://bucket/app

Wraps every secret key of the replica again, for these recipients and nobody else, and removes what was wrapped before where \
the store allows it. No other object is touched. Set `encrypt-to` of the configuration to the same recipients first, or the \
next key is wrapped for the old ones.

What an old recipient could read until now, it can have read and kept; so this keeps it from what is written from now on, and \
from what it has not fetched.

Exit codes: 0 done; 2 no identity, or no recipient; 3 there is no replica; 4 a key is missing, damaged or wrapped for others.")]
pub struct Rewrap {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// For whom.
    #[command(flatten)]
    pub to: EncryptTo,
    /// Leave what was wrapped before.
    #[arg(long)]
    pub keep_old: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// `ebbtide unlock`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide unlock --identity owner.txt app.db
  ssh owner@safe cat owner.txt | ebbtide unlock --identity - app.db

Puts the index key of the replica back into the local state beside the database, where `ebbtide replicate` needs it to carry \
on: after the local state was lost, or on a new host. The identity itself is not stored.

Exit codes: 0 done; 2 no identity was given, or the replica is not encrypted; 3 there is no replica; 4 the key is missing, \
damaged or wrapped for others.")]
pub struct Unlock {
    /// The database, as it is followed or as the configuration has it.
    #[arg(value_name = "DB")]
    pub database: String,
    /// Its replica, if neither the configuration nor the local state knows it.
    #[arg(value_name = "REPLICA")]
    pub replica: Option<String>,
    /// Where the database is looked up, and what opens its replica.
    #[command(flatten)]
    pub access: Access,
}

/// What stands above these options in the help. Each names it: a heading of all would go on for what comes after them.
const HEADING: &str = "Encryption";

/// For whom secret keys are wrapped.
#[derive(Debug, Clone, Default, Arguments)]
pub struct EncryptTo {
    /// Encrypt for this recipient, age1…, which `ebbtide keygen` prints. May be given several times.
    #[arg(long = "recipient", value_name = "RECIPIENT", help_heading = HEADING)]
    pub recipients: Vec<String>,
    /// Encrypt for the recipients in this file, one a line.
    #[arg(long = "recipients-file", value_name = "FILE", help_heading = HEADING)]
    pub recipients_files: Vec<PathBuf>,
}

/// In which form a copy is written.
#[derive(Debug, Clone, Default, Arguments)]
#[command(next_help_heading = "Another form")]
pub struct CopyForm {
    /// Encrypt a plain replica on its way, for this recipient, age1…, which `ebbtide keygen` prints. May be given several
    /// times.
    #[arg(long, value_name = "RECIPIENT")]
    pub encrypt_to: Vec<String>,
    /// The same for the recipients in this file, one a line.
    #[arg(long, value_name = "FILE")]
    pub encrypt_to_file: Vec<PathBuf>,
    /// Decrypt an encrypted replica on its way, with the identity that opens it: the copy is in plain text.
    #[arg(long, conflicts_with_all = ["encrypt_to", "encrypt_to_file"])]
    pub decrypt: bool,
}

impl CopyForm {
    /// For whom the copy is encrypted, if anybody is named.
    #[must_use]
    pub fn recipients(&self) -> EncryptTo {
        let (recipients, recipients_files) =
            (self.encrypt_to.clone(), self.encrypt_to_file.clone());
        EncryptTo { recipients, recipients_files }
    }
}

impl EncryptTo {
    /// Whether nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.recipients_files.is_empty()
    }

    /// What wraps keys for the recipients, if any are named.
    ///
    /// # Errors
    /// As for [`EncryptTo::recipients`].
    pub fn wrap(&self) -> Result<Option<Arc<dyn Wrap>>, Failure> {
        let recipients = self.recipients()?;
        Ok(recipients.map(|recipients| Arc::new(recipients) as Arc<dyn Wrap>))
    }

    /// The recipients, if any are named.
    ///
    /// # Errors
    /// When one of them is none, or a file cannot be read.
    pub fn recipients(&self) -> Result<Option<Recipients>, Failure> {
        let usage = |error| Failure::new(Code::Usage, error);
        let mut all: Option<Recipients> = None;
        if !self.recipients.is_empty() {
            let texts = self.recipients.iter().map(String::as_str);
            all = Some(Recipients::parse(texts).map_err(usage)?);
        }
        for file in &self.recipients_files {
            let read = Recipients::read(file).map_err(usage)?;
            all = Some(match all {
                Some(others) => others.and(read).map_err(usage)?,
                None => read,
            });
        }
        Ok(all)
    }
}

//! What stands in for age in a build without it: nothing is wrapped, and nothing unwrapped.

use std::io;

use ebbtide_seal::UnwrapError;
use zeroize::Zeroizing;

use crate::KeysError;

/// A recipient or an identity, of which there is none.
pub(crate) enum Absent {}

pub(crate) use Absent as Identity;
pub(crate) use Absent as Recipient;

impl Absent {
    pub(crate) fn parse(_: &str) -> Result<Absent, String> {
        Err(KeysError::NotBuilt("recipients and identities").to_string())
    }
}

pub(crate) fn generate() -> Result<(Zeroizing<String>, String), KeysError> {
    Err(KeysError::NotBuilt("keygen"))
}

pub(crate) fn wrap(_: &[Absent], _: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::Error::other(KeysError::NotBuilt("recipients")))
}

pub(crate) fn unwrap(_: &[Absent], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    Err(UnwrapError::Identity(KeysError::NotBuilt("identities").to_string()))
}

pub(crate) fn is_one(_: &[u8]) -> bool {
    false
}

pub(crate) fn open_with_passphrase(_: &[u8], _: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    Err(KeysError::NotBuilt("identities").to_string())
}

//! What is age's: recipients, identities, and the files that both are for.

use std::io::{self, BufReader, Read, Write as _};
use std::str::FromStr as _;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::{DecryptError, Decryptor, Encryptor, armor::ArmoredReader, scrypt, tag, tagpq, x25519};
use ebbtide_seal::UnwrapError;
use zeroize::Zeroizing;

use crate::KeysError;

/// How much memory and time a passphrase may cost, as a power of 2: 1 GiB, four times what age itself asks for.
const WORK_FACTOR_MAX: u8 = 20;

/// A recipient of any kind that age itself has.
pub(crate) struct Recipient(Box<dyn age::Recipient + Send + Sync>);

impl Recipient {
    pub(crate) fn parse(text: &str) -> Result<Recipient, String> {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err(
                "this is a secret key; the recipient is what its file has after \"public key:\" \
                 (and whoever saw this one can read what is wrapped for it)"
                    .to_owned(),
            );
        }
        if text.starts_with("ssh-") {
            return Err("SSH keys are no recipients: make a key with `ebbtide keygen`".to_owned());
        }
        if let Ok(recipient) = x25519::Recipient::from_str(text) {
            return Ok(Recipient(Box::new(recipient)));
        }
        if let Ok(recipient) = tag::Recipient::from_str(text) {
            return Ok(Recipient(Box::new(recipient)));
        }
        if let Ok(recipient) = tagpq::Recipient::from_str(text) {
            return Ok(Recipient(Box::new(recipient)));
        }
        Err(format!("\"{text}\" is no recipient: `ebbtide keygen` prints one, age1…"))
    }
}

/// The secret half of a recipient.
pub(crate) struct Identity(x25519::Identity);

impl Identity {
    pub(crate) fn parse(text: &str) -> Result<Identity, String> {
        if text.starts_with("age1") {
            return Err(
                "this is a recipient; the identity is what begins with AGE-SECRET-KEY-1".to_owned()
            );
        }
        if text.starts_with("AGE-PLUGIN-") {
            return Err(
                "identities of plugins are used by `--key-command 'age -d -i FILE'`".to_owned()
            );
        }
        let identity = text.parse::<x25519::Identity>();
        identity.map(Identity).map_err(|_| "this is no identity (AGE-SECRET-KEY-1…)".to_owned())
    }
}

/// An identity in text, and its recipient.
pub(crate) fn generate() -> Result<(Zeroizing<String>, String), KeysError> {
    let identity = x25519::Identity::generate();
    let secret = Zeroizing::new(identity.to_string().expose_secret().to_owned());
    Ok((secret, identity.to_public().to_string()))
}

/// Encrypts for all of them.
pub(crate) fn wrap(recipients: &[Recipient], plain: &[u8]) -> io::Result<Vec<u8>> {
    let all = recipients.iter().map(|recipient| &*recipient.0 as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(all).map_err(|error| {
        io::Error::other(format!("the recipients cannot be used together: {error}"))
    })?;
    let mut wrapped = Vec::new();
    let mut writer = encryptor.wrap_output(&mut wrapped)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(wrapped)
}

/// Decrypts with any of them.
pub(crate) fn unwrap(
    identities: &[Identity],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    let failed = |error| match error {
        DecryptError::NoMatchingKeys => UnwrapError::NotARecipient { identities: identities.len() },
        error => UnwrapError::Damaged(error.to_string()),
    };
    let decryptor = Decryptor::new(wrapped).map_err(failed)?;
    let all = identities.iter().map(|identity| &identity.0 as &dyn age::Identity);
    let reader = decryptor.decrypt(all).map_err(failed)?;
    read(reader, wrapped.len()).map_err(|error| UnwrapError::Damaged(error.to_string()))
}

/// Whether these are the bytes of an age file, and not the lines of identities.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/")
        || bytes.trim_ascii_start().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// What is in a file that is encrypted with a passphrase.
pub(crate) fn open_with_passphrase(
    bytes: &[u8],
    passphrase: &str,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let say = |error| {
        match error {
        DecryptError::NoMatchingKeys => {
            "it is encrypted for a recipient, not with a passphrase: decrypt it first, and pipe it into --identity -"
                .to_owned()
        }
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            "the passphrase is another".to_owned()
        }
        error => error.to_string(),
    }
    };
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let decryptor = Decryptor::new(ArmoredReader::new(BufReader::new(bytes))).map_err(say)?;
    let reader =
        decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(say)?;
    read(reader, bytes.len()).map_err(|error| error.to_string())
}

/// All of it, in memory that is overwritten. What is in a file is shorter than the file, so that it never grows.
fn read(mut reader: impl Read, file_len: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(file_len));
    reader.read_to_end(&mut plain)?;
    Ok(plain)
}

/// A file that [`open_with_passphrase`] opens, quickly made.
#[cfg(test)]
pub(crate) fn seal_with_passphrase(plain: &[u8], passphrase: &str) -> Vec<u8> {
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    recipient.set_work_factor(4);
    wrap(&[Recipient(Box::new(recipient))], plain).unwrap()
}

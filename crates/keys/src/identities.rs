//! What opens what was wrapped.

use std::fmt;
use std::path::Path;

use ebbtide_seal::{Unwrap, UnwrapError, scrubbed};
use zeroize::Zeroizing;

use crate::age_files::{self, Identity};
use crate::{KeysError, files};

/// Gives the passphrase of an identity file that has one, which is asked for once.
pub type Passphrase<'a> = dyn Fn(&Path) -> Result<Zeroizing<String>, String> + 'a;

/// The secret halves of recipients.
pub struct Identities(Vec<Identity>);

impl Identities {
    /// The identities of a file as `ebbtide keygen` and `age-keygen` write it, which may be encrypted with a passphrase;
    /// of standard input for `-`.
    ///
    /// # Errors
    /// When the file cannot be read, has none, or the passphrase is not its own.
    pub fn read(path: &Path, passphrase: &Passphrase<'_>) -> Result<Identities, KeysError> {
        scrubbed(|| Identities::read_all(path, passphrase))
    }

    fn read_all(path: &Path, passphrase: &Passphrase<'_>) -> Result<Identities, KeysError> {
        let file = |why| KeysError::File { path: path.to_path_buf(), why };
        let mut bytes = files::read(path)?;
        if age_files::is_one(&bytes) {
            let passphrase = passphrase(path).map_err(file)?;
            bytes = age_files::open_with_passphrase(&bytes, &passphrase).map_err(file)?;
        }
        let parse = |(number, line)| {
            Identity::parse(line).map_err(|why| file(format!("line {number}: {why}")))
        };
        let identities = files::lines(path, &bytes)?.map(parse).collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() {
            return Err(file("it has no identity (AGE-SECRET-KEY-1…)".to_owned()));
        }
        Ok(Identities(identities))
    }

    /// None at all, to which others are added.
    #[must_use]
    pub fn none() -> Identities {
        Identities(Vec::new())
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Identities) -> Identities {
        scrubbed(|| self.0.extend(others.0));
        self
    }
}

impl Unwrap for Identities {
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        age_files::unwrap(&self.0, wrapped)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

/// An identity that was just drawn.
pub struct NewIdentity {
    text: Zeroizing<String>,
    recipient: String,
}

impl NewIdentity {
    /// Draws one from the operating system.
    ///
    /// # Errors
    /// When this program was built without age.
    pub fn generate() -> Result<NewIdentity, KeysError> {
        scrubbed(|| {
            let (secret, recipient) = age_files::generate()?;
            let text = Zeroizing::new(format!("# public key: {recipient}\n{}\n", secret.as_str()));
            Ok(NewIdentity { text, recipient })
        })
    }

    /// What belongs into its file: its recipient as a comment, and the secret.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its recipient, which may be given to anybody.
    #[must_use]
    pub fn recipient(&self) -> &str {
        &self.recipient
    }
}

impl fmt::Debug for NewIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewIdentity({})", self.recipient)
    }
}

#[cfg(feature = "encryption")]
#[cfg(test)]
mod tests {
    use ebbtide_seal::Wrap as _;

    use super::*;
    use crate::Recipients;

    fn nobody_asks(_: &Path) -> Result<Zeroizing<String>, String> {
        Err("nobody was to be asked".to_owned())
    }

    fn read(text: impl AsRef<[u8]>, passphrase: &Passphrase<'_>) -> Result<Identities, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("owner.txt");
        std::fs::write(&path, text).unwrap();
        Identities::read(&path, passphrase).map_err(|error| error.to_string())
    }

    #[test]
    fn each_recipient_opens_what_was_wrapped_and_nobody_else_does() {
        let [a, b, c] = [0; 3].map(|_| NewIdentity::generate().unwrap());
        let recipients = Recipients::parse([a.recipient(), b.recipient()]).unwrap();
        let wrapped = recipients.wrap(b"a secret key").unwrap();
        assert_ne!(wrapped, recipients.wrap(b"a secret key").unwrap());
        for owner in [&a, &b] {
            let identities = read(owner.text(), &nobody_asks).unwrap();
            assert_eq!(identities.unwrap(&wrapped).unwrap().as_slice(), b"a secret key");
        }
        let error = read(c.text(), &nobody_asks).unwrap().unwrap(&wrapped).unwrap_err();
        assert_eq!(error.to_string(), "none of 1 identity opens it");
        let identities = read(c.text(), &nobody_asks).unwrap();
        let identities = identities.and(read(b.text(), &nobody_asks).unwrap());
        assert_eq!(identities.unwrap(&wrapped).unwrap().as_slice(), b"a secret key");
    }

    #[test]
    fn h35_what_was_altered_or_cut_is_not_opened() {
        let owner = NewIdentity::generate().unwrap();
        let identities = read(owner.text(), &nobody_asks).unwrap();
        let wrapped =
            Recipients::parse([owner.recipient()]).unwrap().wrap(b"a secret key").unwrap();
        for at in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            assert!(identities.unwrap(&altered).is_err(), "byte {at}");
            assert!(identities.unwrap(&wrapped[..at]).is_err(), "{at} bytes");
        }
        let long = [wrapped.as_slice(), b"0"].concat();
        assert!(identities.unwrap(&long).is_err());
    }

    #[test]
    fn a_file_may_have_a_passphrase() {
        let owner = NewIdentity::generate().unwrap();
        let sealed = age_files::seal_with_passphrase(owner.text().as_bytes(), "tide");
        let tide = |_: &Path| Ok(Zeroizing::new("tide".to_owned()));
        let ebb = |_: &Path| Ok(Zeroizing::new("ebb".to_owned()));
        let wrapped = Recipients::parse([owner.recipient()]).unwrap().wrap(b"key").unwrap();
        let identities = read(&sealed, &tide).unwrap();
        assert_eq!(identities.unwrap(&wrapped).unwrap().as_slice(), b"key");
        assert!(read(&sealed, &ebb).unwrap_err().contains("passphrase"));
        assert!(read(&sealed, &nobody_asks).unwrap_err().contains("nobody was to be asked"));
    }

    /// H39: what is wrong with a file is said without its secret.
    #[test]
    fn h39_an_error_does_not_repeat_the_secret() {
        let owner = NewIdentity::generate().unwrap();
        let secret = owner.text().lines().last().unwrap();
        let error = read(format!("{}x\n", secret), &nobody_asks).unwrap_err();
        assert!(error.contains("line 1") && !error.contains(&secret[20..40]), "{error}");
        let error = read(owner.recipient(), &nobody_asks).unwrap_err();
        assert!(error.contains("a recipient"), "{error}");
        assert!(read("", &nobody_asks).unwrap_err().contains("has no identity"));
        assert!(!format!("{owner:?}").contains(secret));
    }
}

//! Those for whom secret keys are wrapped.

use std::fmt;
use std::io;
use std::path::Path;

use ebbtide_seal::Wrap;

use crate::age_files::Recipient;
use crate::{KeysError, files};

/// Public keys, each of whose owners can open what is wrapped. Two are advised: one that is used, and one that lies in a
/// safe.
pub struct Recipients(Vec<Recipient>);

impl Recipients {
    /// The recipients that these texts are, such as `age1…`.
    ///
    /// # Errors
    /// When there is none, or a text is no recipient.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Recipients, KeysError> {
        let parse = |text| Recipient::parse(text).map_err(KeysError::Recipient);
        Recipients::new(texts.into_iter().map(parse).collect::<Result<_, _>>()?)
    }

    /// The recipients of a file: one a line, as age has it, with comments after `#`.
    ///
    /// # Errors
    /// When the file cannot be read, has none, or a line is no recipient.
    pub fn read(path: &Path) -> Result<Recipients, KeysError> {
        let bytes = files::read(path)?;
        let file = |why| KeysError::File { path: path.to_path_buf(), why };
        let parse = |(number, line)| {
            Recipient::parse(line).map_err(|why| file(format!("line {number}: {why}")))
        };
        let recipients = files::lines(path, &bytes)?.map(parse).collect::<Result<Vec<_>, _>>()?;
        Recipients::new(recipients).map_err(|error| file(error.to_string()))
    }

    /// Both of them.
    ///
    /// # Errors
    /// When they cannot be used together.
    pub fn and(mut self, others: Recipients) -> Result<Recipients, KeysError> {
        self.0.extend(others.0);
        Recipients::new(self.0)
    }

    fn new(recipients: Vec<Recipient>) -> Result<Recipients, KeysError> {
        if recipients.is_empty() {
            return Err(KeysError::Recipient("no recipient is named".to_owned()));
        }
        let recipients = Recipients(recipients);
        // Those that cannot be mixed are found now, and not when the first key is wrapped.
        recipients.wrap(b"").map_err(|error| KeysError::Recipient(error.to_string()))?;
        Ok(recipients)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Wrap for Recipients {
    fn wrap(&self, plain: &[u8]) -> io::Result<Vec<u8>> {
        crate::age_files::wrap(&self.0, plain)
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

#[cfg(feature = "encryption")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewIdentity;

    fn refusal(text: &str) -> String {
        Recipients::parse([text]).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_recipient_is_refused_and_a_secret_not_repeated() {
        let identity = NewIdentity::generate().unwrap();
        assert!(Recipients::parse([identity.recipient()]).is_ok());
        let secret = identity.text().lines().last().unwrap();
        assert!(refusal(secret).contains("secret key"));
        assert!(!refusal(secret).contains(&secret[20..]));
        assert!(refusal("ssh-ed25519 AAAA").contains("SSH"));
        assert!(refusal("age1").contains("\"age1\" is no recipient"));
        let mut misspelt = identity.recipient().to_owned();
        misspelt.pop();
        misspelt.push(if identity.recipient().ends_with('q') { 'p' } else { 'q' });
        assert!(refusal(&misspelt).contains("is no recipient"));
        assert!(Recipients::parse([]).is_err());
    }

    #[test]
    fn a_file_has_one_a_line_and_comments() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recipients.txt");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Recipients::read(&path).map_err(|error| error.to_string())
        };
        let (a, b) = (NewIdentity::generate().unwrap(), NewIdentity::generate().unwrap());
        let text = format!("# on call\n{}\n\n  # safe\n{}\n", a.recipient(), b.recipient());
        assert_eq!(of(&text).unwrap().count(), 2);
        assert!(of("# nobody\n").unwrap_err().contains("no recipient is named"));
        assert!(of(&format!("{}\nme\n", a.recipient())).unwrap_err().contains("line 2"));
        std::fs::remove_file(&path).unwrap();
        assert!(Recipients::read(&path).unwrap_err().to_string().contains("recipients.txt"));
    }
}

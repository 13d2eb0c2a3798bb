//! The token that whoever asks must show, where other machines reach the address.

use std::path::Path;

use ring::hmac;
use ring::rand::SystemRandom;

use crate::error::Error;

/// A token. What is shown is compared by the tags of both under a key of this process, so that how long the comparison
/// takes tells nothing of the token.
#[derive(Debug)]
pub(crate) struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Token {
    /// The token in a file.
    pub(crate) fn read(path: &Path) -> Result<Token, Error> {
        let secret = ebbtide_config::read_secret(path).map_err(Error::Token)?;
        Token::new(&secret)
    }

    fn new(secret: &[u8]) -> Result<Token, Error> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| Error::Token("the system has no random numbers".to_owned()))?;
        let tag = hmac::sign(&key, secret);
        Ok(Token { key, tag })
    }

    /// Whether this header shows it: `Bearer TOKEN`.
    pub(crate) fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, shown)) = authorization.split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ")
            && hmac::verify(&self.key, shown.trim_ascii(), self.tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_whole_token_is_taken() {
        let token = Token::new(b"0123456789abcdef").unwrap();
        for shown in
            ["Bearer 0123456789abcdef", "bearer 0123456789abcdef ", "BEARER  0123456789abcdef"]
        {
            assert!(token.is_shown_by(shown.as_bytes()), "{shown}");
        }
        for shown in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789ABCDEF",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!token.is_shown_by(shown.as_bytes()), "{shown}");
        }
    }
}

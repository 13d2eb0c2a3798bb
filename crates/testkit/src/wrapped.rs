//! Wrapped keys for tests: what age does, as far as a replica can tell, without age.

use std::io;

use ebbtide_seal::{Unwrap, UnwrapError, Wrap};
use zeroize::Zeroizing;

/// How a wrapped key begins.
const MAGIC: &[u8] = b"wrapped for a test\n";

const NONCE: usize = 16;
const TAG: usize = 32;

/// Whom a key is wrapped for.
#[derive(Debug, Clone)]
pub struct Recipient(pub &'static str);

/// Who opens what was wrapped for one of these recipients.
#[derive(Debug, Clone)]
pub struct Identities(pub Vec<&'static str>);

/// An identity that cannot be used, such as one whose passphrase nobody gives.
#[derive(Debug, Clone, Copy)]
pub struct Unusable;

impl Wrap for Recipient {
    fn wrap(&self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let sealed = mask(self.0, &nonce, plain);
        let tag = tag(self.0, &nonce, &sealed);
        Ok([MAGIC, &mark(self.0, &nonce), &nonce, &tag, &sealed].concat())
    }
}

impl Unwrap for Identities {
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let damaged = |why: &str| UnwrapError::Damaged(why.to_owned());
        let rest = wrapped.strip_prefix(MAGIC).ok_or_else(|| damaged("it is something else"))?;
        let cut = || damaged("it is cut off");
        let (for_whom, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or_else(cut)?;
        let (stated, sealed) = rest.split_first_chunk::<TAG>().ok_or_else(cut)?;
        let name = self.0.iter().find(|name| mark(name, nonce) == *for_whom);
        let identities = self.0.len();
        let name = name.ok_or(UnwrapError::NotARecipient { identities })?;
        if tag(name, nonce, sealed) != *stated {
            return Err(damaged("its tag is wrong"));
        }
        Ok(Zeroizing::new(mask(name, nonce, sealed)))
    }
}

impl Unwrap for Unusable {
    fn unwrap(&self, _wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        Err(UnwrapError::Identity("nobody gives its passphrase".to_owned()))
    }
}

fn hasher(what: &str, name: &str, nonce: &[u8; NONCE]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(what);
    hasher.update(nonce).update(name.as_bytes());
    hasher
}

/// By which a recipient finds that it was wrapped for him.
fn mark(name: &str, nonce: &[u8; NONCE]) -> [u8; 8] {
    let mut mark = [0; 8];
    hasher("ebbtide test: recipient", name, nonce).finalize_xof().fill(&mut mark);
    mark
}

fn mask(name: &str, nonce: &[u8; NONCE], bytes: &[u8]) -> Vec<u8> {
    let mut masked = vec![0; bytes.len()];
    hasher("ebbtide test: mask", name, nonce).finalize_xof().fill(&mut masked);
    masked.iter_mut().zip(bytes).for_each(|(mask, byte)| *mask ^= byte);
    masked
}

fn tag(name: &str, nonce: &[u8; NONCE], sealed: &[u8]) -> [u8; TAG] {
    *hasher("ebbtide test: tag", name, nonce).update(sealed).finalize().as_bytes()
}

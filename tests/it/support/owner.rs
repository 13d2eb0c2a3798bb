//! Who may read an encrypted replica.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use ebbtide_keys::{Identities, NewIdentity};
use ebbtide_seal::Keys;
use ebbtide_store::Keyring;

/// An identity that was drawn for a test.
pub(crate) struct Owner {
    /// The file with the identity.
    pub(crate) identity: String,
    pub(crate) recipient: String,
    /// What it has opened, once for all that the test reads.
    pub(super) keyring: Arc<Keyring>,
}

impl Owner {
    /// Draws one, and writes it into a file.
    pub(crate) fn new(file: &Path) -> Owner {
        let drawn = NewIdentity::generate().unwrap();
        fs::write(file, drawn.text()).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        let identity = Identities::read(file, &|_| Err("it has none".to_owned())).unwrap();
        let keyring = Arc::new(Keyring::new(Keys::default(), Some(Arc::new(identity))));
        let identity = file.to_str().unwrap().to_owned();
        Owner { identity, recipient: drawn.recipient().to_owned(), keyring }
    }
}

//! What a copy finds in its target, and begins there: the manifest, and the index key of an encrypted one.

use std::sync::Arc;

use ebbtide_catalog::{CatalogError, Identity, identify, stated_manifest};
use ebbtide_fault::point;
use ebbtide_replica::{Encryption, Key, Manifest};
use ebbtide_seal::{KeyId, KeyUse};
use ebbtide_store::{ErrorKind, Store, take_key};

use crate::cast::{Cast, Seals};
use crate::error::CopyError;
use crate::form::Form;

/// The target, as far as it is not the source.
pub(crate) struct Destination {
    /// What it says of itself.
    pub(crate) manifest: Manifest,
    /// How objects get there.
    pub(crate) cast: Cast,
}

/// Begins the copy of the replica that says `manifest` of itself, or goes on with it.
///
/// # Errors
/// When the target has another replica, or the same one in another form: a target is encrypted as a whole or not at all.
pub(crate) async fn begin_target(
    from: &dyn Store,
    to: &dyn Store,
    manifest: &Manifest,
    form: &Form,
) -> Result<Destination, CopyError> {
    check_source(from, manifest, form)?;
    let there = read_target(to).await?;
    let is_stored = there.as_ref().is_some_and(|there| there.is_stored);
    let there = there.map(|there| there.manifest);
    if let Some(there) = &there
        && there.replica != manifest.replica
    {
        let (place, there, replica) = (to.describe(), there.replica, manifest.replica);
        return Err(CopyError::OtherReplica { place, there, replica });
    }
    let begun = there.map(|there| there.encryption);
    check_form(to, manifest, form, begun)?;
    // Without a key of the source nothing is begun.
    let manifest = match form {
        Form::Plain => plain_manifest(from, manifest).await?,
        Form::Same | Form::Encrypted { .. } => manifest.clone(),
    };
    if begun.is_none() {
        to.begin().await.map_err(CopyError::Target)?;
        point("copy.target.begun");
    }
    let (cast, manifest) = match form {
        Form::Same => (Cast::Same, manifest),
        Form::Plain => (Cast::Open, manifest),
        Form::Encrypted { wrap, index } => {
            let index = match begun.flatten() {
                Some(Encryption { index, .. }) => {
                    let index = take_key(to, manifest.replica, index, KeyUse::Index).await;
                    index.map_err(|source| CopyError::Begun { place: to.describe(), source })?
                }
                None => index.clone(),
            };
            let encryption = Encryption::new(KeyId::of(&index));
            let seals = Seals::new(Arc::clone(wrap), manifest.replica, index);
            if begun.is_none() {
                seals.put_index_key(to).await?;
            }
            (Cast::Seal(seals), manifest.in_form(Some(encryption)))
        }
    };
    if !is_stored {
        put_manifest(to, &manifest).await?;
    }
    Ok(Destination { manifest, cast })
}

/// Refuses a target that was begun in another form than the copy's.
fn check_form(
    to: &dyn Store,
    manifest: &Manifest,
    form: &Form,
    begun: Option<Option<Encryption>>,
) -> Result<(), CopyError> {
    let Some(begun) = begun else { return Ok(()) };
    let why = match (form, begun) {
        (Form::Same, begun) if begun == manifest.encryption => return Ok(()),
        (Form::Plain, None) | (Form::Encrypted { .. }, Some(_)) => return Ok(()),
        (Form::Same | Form::Encrypted { .. }, None) => IS_PLAIN,
        (Form::Same, Some(_)) if manifest.encryption.is_some() => OTHER_KEYS,
        (Form::Same | Form::Plain, Some(_)) => IS_ENCRYPTED,
    };
    Err(CopyError::OtherForm { place: to.describe(), why: why.to_owned() })
}

const IS_PLAIN: &str = "it is not encrypted, and what would be put there is";
const IS_ENCRYPTED: &str = "it is encrypted, and what would be put there is not";
const OTHER_KEYS: &str = "it is encrypted with other keys than the source, because it was encrypted on its way from elsewhere";

/// Refuses what has the form already that it is to get.
fn check_source(from: &dyn Store, manifest: &Manifest, form: &Form) -> Result<(), CopyError> {
    let place = || from.describe();
    match (form, manifest.encryption) {
        (Form::Encrypted { .. }, Some(_)) => Err(CopyError::IsEncrypted { place: place() }),
        (Form::Plain, None) => Err(CopyError::IsPlain { place: place() }),
        _ => Ok(()),
    }
}

async fn read_target(to: &dyn Store) -> Result<Option<Identity>, CopyError> {
    match identify(to, None).await {
        Err(CatalogError::Store(error)) => Err(CopyError::Target(error)),
        there => there.map_err(CopyError::TargetReplica),
    }
}

/// What a plain copy of an encrypted replica says of itself: what entry 1 states, if that was plain once.
async fn plain_manifest(from: &dyn Store, manifest: &Manifest) -> Result<Manifest, CopyError> {
    let stated = stated_manifest(from, manifest).await.map_err(CopyError::Source)?;
    Ok(stated.unwrap_or_else(|| manifest.clone()).in_form(None))
}

/// Puts the manifest, unless somebody else has put the same one meanwhile.
async fn put_manifest(to: &dyn Store, manifest: &Manifest) -> Result<(), CopyError> {
    match to.put(&Key::Manifest, manifest.to_json().into()).await {
        Err(error) if error.kind() == ErrorKind::Exists => {}
        put => return put.map_err(CopyError::Target),
    }
    let there = read_target(to).await?.map(|there| there.manifest);
    let same = |there: &Manifest| {
        (there.replica, there.encryption) == (manifest.replica, manifest.encryption)
    };
    if there.as_ref().is_some_and(same) {
        return Ok(());
    }
    let why = "somebody else has begun a copy there at the same time".to_owned();
    Err(CopyError::OtherForm { place: to.describe(), why })
}

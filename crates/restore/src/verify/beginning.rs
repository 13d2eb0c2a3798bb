//! How a replica begins: whether `ebbtide.json` is, to the last byte, what entry 1 states; of a copy that was encrypted or
//! decrypted on its way, whether it is what that becomes.

use ebbtide_catalog::{CatalogError, Survey, first_of};
use ebbtide_replica::{Claim, Encryption, Key, Manifest, Txid};
use ebbtide_store::ErrorKind;

use super::finding::{Finding, Severity};
use crate::error::Result;

/// What is to be said of the manifest, if anything is.
pub(super) async fn check_manifest(survey: &Survey) -> Result<Option<Finding>> {
    let finding =
        |severity, what: &str| Finding { key: Key::Manifest, severity, what: what.into() };
    if !survey.has_manifest() {
        let what = "it is missing or empty; the objects say the same";
        return Ok(Some(finding(Severity::Note, what)));
    }
    let text = match survey.store().get(&Key::Manifest, Manifest::SIZE_MAX as u64).await {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Some(finding(Severity::Damage, "it vanished while the replica was read")));
        }
        Err(error) => return Err(error.into()),
    };
    let first = first_claim(survey).await?;
    let stated = first.as_ref().and_then(|(claim, _)| claim.manifest.as_ref());
    let form = first.as_ref().and_then(|(_, encryption)| *encryption);
    Ok(match stated {
        Some(stated) if is_form_of(stated, form, &text) => None,
        Some(_) => Some(finding(
            Severity::Damage,
            "it is not the one that entry 1 states; remove it, and `ebbtide replicate` puts that one there again",
        )),
        None => Some(finding(
            Severity::Note,
            "nothing proves when and by whom the replica was created: there is no entry 1 that states it",
        )),
    })
}

/// Whether this is the text that entry 1 states, or what a copy in the form of that entry's object has in its place.
fn is_form_of(stated: &str, form: Option<Encryption>, text: &[u8]) -> bool {
    if stated.as_bytes() == text {
        return true;
    }
    let stated = Manifest::from_json(stated.as_bytes());
    let is_other = stated.as_ref().is_ok_and(|stated| stated.encryption != form);
    is_other && stated.is_ok_and(|stated| stated.in_form(form).to_json() == text)
}

/// The claim that is entry 1, if it can be read, and how its object is encrypted. It may stand by itself once the history after it is thinned; nothing
/// is ever put under its name again.
async fn first_claim(survey: &Survey) -> Result<Option<(Claim, Option<Encryption>)>> {
    let known = survey.known();
    let listing = known.listing();
    let objects = listing.log.iter().take(1).chain(&listing.packs);
    let begins = |key: Key| first_of(key) == Some(Txid::FIRST) && known.is_usable(key);
    for &object in objects.filter(|object| begins(object.key)) {
        match survey.index(object).await {
            Ok(fetched) => {
                let claim = fetched.index.entries().first();
                let claim = claim.and_then(|entry| Claim::from_detail(&entry.detail).ok());
                let envelope = fetched.index.opener().envelope();
                let encryption = envelope.map(|envelope| Encryption::new(envelope.index));
                return Ok(claim.map(|claim| (claim, encryption)));
            }
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn is_damage(error: &CatalogError) -> bool {
    error.is_about_object()
}

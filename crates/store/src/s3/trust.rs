//! Whose certificates are believed.
//!
//! `AWS_CA_BUNDLE`, or `ca_bundle` of the profile, takes the place of the system's certificates, as it does for the AWS
//! tools; `SSL_CERT_FILE` says where the system's are, as it does for OpenSSL. A file that is named and of no use is an
//! error: whoever names one would otherwise be told only that no server can be believed.

use std::io::Read as _;
use std::path::Path;

use aws_smithy_http_client::tls::TrustStore;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::{ErrorKind, StoreError};
use ebbtide_directory::open_regular;

/// A bundle of all authorities in the world has a few hundred kilobytes.
const BUNDLE_BYTES_MAX: u64 = 16 << 20;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Those of `bundle`, which is what `AWS_CA_BUNDLE` or the profile says, or else the system's.
pub(super) fn roots(bundle: Option<String>, what: &str) -> Result<TrustStore, StoreError> {
    if let Some(path) = bundle.filter(|path| !path.is_empty()) {
        return Ok(TrustStore::empty().with_pem_certificate(certificates(
            "AWS_CA_BUNDLE or ca_bundle",
            &path,
            what,
        )?));
    }
    if let Some(path) = std::env::var("SSL_CERT_FILE").ok().filter(|path| !path.is_empty()) {
        certificates("SSL_CERT_FILE", &path, what)?;
    }
    Ok(TrustStore::default())
}

/// No authority at all, for connections that have no certificates.
pub(super) fn nobody() -> TrustStore {
    TrustStore::empty()
}

/// The certificates in a file that can be used, of which there must be one.
fn certificates(named: &str, path: &str, what: &str) -> Result<String, StoreError> {
    let wrong = |why: String| StoreError::new(ErrorKind::Invalid, what, why);
    let mut text = Vec::new();
    open_regular(Path::new(path))
        .and_then(|file| file.take(BUNDLE_BYTES_MAX).read_to_end(&mut text))
        .map_err(|error| {
            wrong(format!("cannot read {path}, which {named} names")).caused_by(error)
        })?;
    let usable = usable(&String::from_utf8_lossy(&text));
    if usable.is_empty() {
        let why = format!("{path}, which {named} names, has no certificate that can be used");
        return Err(wrong(why));
    }
    Ok(usable)
}

/// Each certificate by itself, without those that nothing could be proved with. TLS would take one of them for a fault.
fn usable(text: &str) -> String {
    let blocks = text.split(BEGIN).skip(1).filter_map(|after| after.split_once(END));
    let blocks = blocks.map(|(body, _)| format!("{BEGIN}{body}{END}\n"));
    blocks.filter(|block| is_usable(block)).collect()
}

fn is_usable(block: &str) -> bool {
    let certificate = CertificateDer::from_pem_slice(block.as_bytes());
    certificate.is_ok_and(|certificate| RootCertStore::empty().add(certificate).is_ok())
}

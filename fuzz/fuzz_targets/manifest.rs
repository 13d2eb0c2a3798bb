//! Any bytes as a manifest or as the detail of a claim.

#![no_main]

use ebbtide_replica::{Claim, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::from_json(bytes) {
        let again = Manifest::from_json(&manifest.to_json()).expect("what was written is read");
        assert_eq!(again, manifest);
    }
    if let Ok(claim) = Claim::from_detail(bytes) {
        // Text that was just short enough may be written in a longer way.
        if let Ok(detail) = claim.to_detail() {
            assert_eq!(Claim::from_detail(&detail).expect("what was written is read"), claim);
        }
    }
});

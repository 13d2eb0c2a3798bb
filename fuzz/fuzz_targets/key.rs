//! Any text as a name or a number: what is accepted is written in one way only.

#![no_main]

use ebbtide_replica::{Key, ReplicaId, Timestamp, Txid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(key) = Key::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(txid) = text.parse::<Txid>() {
        assert_eq!(txid.to_string().parse(), Ok(txid));
    }
    if let Ok(replica) = text.parse::<ReplicaId>() {
        assert_eq!(replica.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
});

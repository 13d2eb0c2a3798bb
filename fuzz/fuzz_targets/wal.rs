//! Any bytes as a log, as they are and with its checksums renewed; as a wal-index; as the beginning of a database.

#![no_main]

use ebbtide_wal::{
    ByteOrder, Checksum, Cursor, DatabaseHeader, FRAME_HEADER_BYTES, HEADER_BYTES, Header, Index,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Neither says more than yes or no here; that they return at all is the test.
    std::hint::black_box((Index::parse(bytes).is_ok(), DatabaseHeader::parse(bytes).is_ok()));
    walk(bytes);
    let mut renewed = bytes.to_vec();
    renew(&mut renewed);
    walk(&renewed);
});

/// Proves frame after frame. From each place, the rest must look the same to one who resumes there.
fn walk(log: &[u8]) {
    let Ok(header) = Header::parse(log) else { return };
    assert_eq!(Header::parse(&header.encode()), Ok(header));
    let mut cursor = Cursor::start(&header);
    let mut rest = log.get(HEADER_BYTES..).unwrap_or_default();
    while let Ok(frame) = cursor.advance(rest) {
        assert_eq!(frame.number, cursor.position().frame);
        assert_eq!(frame.image.len(), header.page_size.bytes());
        assert!(frame.commit != Some(0));
        let resumed = Cursor::resume(&header, cursor.position(), rest.first_chunk());
        rest = &rest[FRAME_HEADER_BYTES + frame.image.len()..];
        let mut resumed = resumed.expect("the position was proved");
        assert_eq!(resumed.advance(rest), cursor.clone().advance(rest));
    }
}

/// Gives the header and all frames the checksums and the salts that they must have.
fn renew(log: &mut [u8]) {
    let Some(header) = renew_header(log) else { return };
    let length = FRAME_HEADER_BYTES + header.page_size.bytes();
    let mut checksum = header.checksum;
    for frame in log[HEADER_BYTES..].chunks_exact_mut(length) {
        let (head, image) = frame.split_at_mut(FRAME_HEADER_BYTES);
        checksum = checksum.extend(header.order, &head[..8]).extend(header.order, image);
        head[8..16].copy_from_slice(&header.salts.0);
        head[16..].copy_from_slice(&checksum.to_stored());
    }
}

fn renew_header(log: &mut [u8]) -> Option<Header> {
    let header = log.get_mut(..HEADER_BYTES)?;
    let order = if header[3] & 1 == 0 { ByteOrder::Little } else { ByteOrder::Big };
    let checksum = Checksum::default().extend(order, &header[..24]);
    header[24..].copy_from_slice(&checksum.to_stored());
    Header::parse(header).ok()
}

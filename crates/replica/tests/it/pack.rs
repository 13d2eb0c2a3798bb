//! Segments that are merged prove the same history as before.

use ebbtide_replica::container::{Contents, Header, Index, Writer};
use ebbtide_replica::{Chain, Txid};

use crate::objects::{Pages, REPLICA, Step, number, read, sample_steps, segment, size, write};

/// Writes the entries of `segments`, as they were read back, into one pack.
fn pack(segments: &[(Index, Vec<Pages>)]) -> Vec<u8> {
    let (first, _) = &segments[0];
    let chain = first.header().chain().unwrap();
    let contents = Contents::Pack { first: first.header().first(), chain };
    let mut writer = Writer::new(Header { contents, ..*first.header() });
    for (index, entries) in segments {
        for (entry, pages) in index.entries().iter().zip(entries) {
            writer.begin_entry(entry.start()).unwrap();
            for (&page, image) in pages {
                writer.page(number(page), image).unwrap();
            }
            assert_eq!(&writer.end_entry(entry.digest).unwrap(), entry);
        }
    }
    writer.finish().unwrap().tail
}

#[test]
fn two_segments_merged_into_a_pack_lead_to_the_same_chain() {
    let page_size = size(1024);
    let steps = sample_steps(page_size);
    let (whole, footer) = write(segment(page_size), None, &steps, usize::MAX).unwrap();
    for cut in 1..steps.len() {
        let (before, after): (&[Step], &[Step]) = steps.split_at(cut);
        let (one, between) = write(segment(page_size), None, before, usize::MAX).unwrap();
        let contents = Contents::Segment { first: after[0].start.txid, chain: between.chain };
        let next = Header { contents, ..segment(page_size) };
        let (other, end) = write(next, None, after, usize::MAX).unwrap();
        assert_eq!(end.chain, footer.chain, "where segments are cut does not matter");

        let merged = pack(&[read(&one).unwrap(), read(&other).unwrap()]);
        let (index, entries) = read(&merged).unwrap();
        assert_eq!(index.header().chain(), Some(Chain::genesis(REPLICA)));
        assert_eq!(index.footer().chain, footer.chain);
        assert_eq!(index.footer().digest, footer.digest);
        assert_eq!(index.footer().last, footer.last);
        assert_eq!(index.header().first(), Txid::FIRST);
        let (apart, apart_entries) = read(&whole).unwrap();
        assert_eq!(index.entries(), apart.entries());
        assert!(entries == apart_entries);
    }
}

#[test]
fn a_segment_after_another_history_does_not_merge() {
    let page_size = size(1024);
    let steps = sample_steps(page_size);
    let contents =
        Contents::Segment { first: steps[2].start.txid, chain: Chain::from_bytes([9; 32]) };
    let stray = Header { contents, ..segment(page_size) };
    let (_, footer) = write(segment(page_size), None, &steps, usize::MAX).unwrap();
    let (_, other) = write(stray, None, &steps[2..], usize::MAX).unwrap();
    assert_ne!(other.chain, footer.chain);
}

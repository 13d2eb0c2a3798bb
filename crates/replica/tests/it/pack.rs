//! Segments that are merged prove the same history as before.

use ebbtide_replica::container::{Contents, Header, Index, Merge, Parsed};
use ebbtide_replica::{Chain, Txid};

use crate::objects::{REPLICA, Step, read, sample_steps, segment, size, write};

fn index(body: &[u8]) -> Index {
    match Index::parse(body.len() as u64, body, body).unwrap() {
        Parsed::Ready(index) => index,
        Parsed::NeedTail(_) => panic!("all of it is there"),
    }
}

/// Merges segments into one pack.
fn pack(segments: &[&[u8]]) -> ebbtide_replica::Result<Vec<u8>> {
    let mut merge = Merge::begin(&index(segments[0]))?;
    for segment in segments {
        merge.add(&index(segment), segment)?;
    }
    merge.finish()
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

        let merged = pack(&[&one, &other]).unwrap();
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
    let (one, _) = write(segment(page_size), None, &steps[..2], usize::MAX).unwrap();
    let (other, _) = write(stray, None, &steps[2..], usize::MAX).unwrap();
    let error = pack(&[&one, &other]).unwrap_err().to_string();
    assert!(error.contains("the history before it is another one"), "{error}");
    // A gap is another history, too.
    let (other, _) = write(segment(page_size), None, &steps, usize::MAX).unwrap();
    assert!(pack(&[&one, &other]).is_err());
}

#[test]
fn a_damaged_segment_does_not_get_into_a_pack() {
    let page_size = size(1024);
    let steps = sample_steps(page_size);
    let (whole, _) = write(segment(page_size), None, &steps, usize::MAX).unwrap();
    let sound = index(&whole);
    for block in sound.page_blocks() {
        let mut damaged = whole.clone();
        damaged[usize::try_from(block.offset).unwrap()] ^= 1;
        let mut merge = Merge::begin(&sound).unwrap();
        assert!(merge.add(&sound, &damaged).is_err());
    }
}

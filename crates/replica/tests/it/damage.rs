//! S3, S15: whatever single byte of an object changes, and wherever it is cut off, reading it says so.

use ebbtide_replica::Error;
use ebbtide_replica::container::{Opener, limits};

use crate::objects::{parse, read, samples, size, stored};

/// The changes that are made to each byte: each of its bits, and all of them.
const FLIPS: [u8; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 255];

#[test]
fn s15_every_changed_byte_of_every_kind_of_object_is_reported() {
    for (name, mut object) in samples(size(512)) {
        let index = parse(&object).unwrap();
        let blocks = 128..usize::try_from(index.footer().index_offset).unwrap();
        for position in 0..object.len() {
            for flip in FLIPS {
                object[position] ^= flip;
                if blocks.contains(&position) {
                    let index = parse(&object).unwrap();
                    let blocks = index.page_blocks().iter().chain(index.hash_blocks());
                    let mut owners = 0;
                    for block in blocks {
                        let here = (block.offset..block.end()).contains(&(position as u64));
                        assert_eq!(
                            block.decode(&Opener::PLAIN, stored(&object, block)).is_err(),
                            here
                        );
                        owners += u32::from(here);
                    }
                    assert_eq!(owners, 1, "{name}: byte {position}");
                } else {
                    assert!(parse(&object).is_err(), "{name}: byte {position} ^ {flip:#x}");
                }
                object[position] ^= flip;
            }
        }
        assert!(read(&object).is_ok());
    }
}

#[test]
fn s03_an_object_that_is_cut_off_anywhere_or_has_more_behind_it_is_reported() {
    for (name, object) in samples(size(512)) {
        for length in 0..object.len() {
            let error = read(&object[..length]).expect_err(name);
            assert!(matches!(error, Error::Damaged { .. }), "{name} of {length} bytes: {error}");
        }
        for more in [&[0][..], &[0; 128], &object] {
            assert!(read(&[&object, more].concat()).is_err(), "{name}");
        }
    }
}

#[test]
fn s15_an_object_with_any_part_left_out_or_doubled_is_reported() {
    let (name, object) = samples(size(512)).into_iter().next().unwrap();
    for length in [1, 16, 128, 512] {
        for at in 0..object.len() - length {
            let without = [&object[..at], &object[at + length..]].concat();
            let same = without.len() == object.len();
            assert!(!same && read(&without).is_err(), "{name}: {length} bytes at {at}");
            let doubled = [&object[..at + length], &object[at..]].concat();
            assert!(read(&doubled).is_err(), "{name}: {length} bytes at {at}");
        }
    }
}

/// The parts of two sound objects do not make a third.
#[test]
fn s15_the_end_of_one_object_does_not_fit_the_beginning_of_another() {
    let objects = samples(size(512));
    for (name, object) in &objects {
        for (other_name, other) in objects.iter().filter(|(_, other)| other[..128] != object[..128])
        {
            let mixed = [&object[..128], &other[128..]].concat();
            assert!(read(&mixed).is_err(), "{name} then {other_name}");
        }
    }
    const { assert!(limits::BLOCK_RAW_TARGET <= limits::BLOCK_RAW_MAX) };
}

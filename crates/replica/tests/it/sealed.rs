//! Encrypted objects: they say the same as plain ones to whoever has the keys, nothing to others, and are altered by nobody.

use ebbtide_replica::container::layout::{footer, header, sealed_index};
use ebbtide_replica::container::{
    Contents, Footer, Header, Index, IndexReader, Merge, Outside, Parsed, Sealing, Writer,
};
use ebbtide_replica::{Chain, Error, Horizon, Key, Mark, MarkContents, Result, Timestamp};
use ebbtide_seal::{KeyId, KeyUse, Keys, ObjectKey, Salt, SecretKey};

use crate::hostile::{parse_offset, reseal};
use crate::objects::{
    REPLICA, keys, open, pack, read, read_with, sample_steps, samples, sealed_samples, sealing,
    segment, size, stored, txid, write_with,
};

/// All that is stored between the header and the footer is proved without a key.
fn check_outside(object: &[u8]) -> Result<()> {
    let outside = Outside::parse(object.len() as u64, object, object)?.expect("it is encrypted");
    let mut check = outside.check();
    for piece in object[Header::SIZE..object.len() - Footer::SIZE].chunks(100) {
        check.push(piece)?;
    }
    check.finish()
}

#[test]
fn an_encrypted_object_says_what_a_plain_one_says() {
    for page_size in [512, 4096] {
        let plain = samples(size(page_size));
        for ((name, plain), (_, sealed)) in plain.iter().zip(sealed_samples(size(page_size))) {
            let (index, pages) = read(plain).unwrap();
            let (opened, opened_pages) = read_with(&sealed, &keys()).unwrap();
            assert_eq!(opened.header(), index.header(), "{name}");
            assert_eq!(opened.entries(), index.entries(), "{name}");
            assert_eq!(opened_pages, pages, "{name}");
            assert_eq!(opened.key(), index.key());
            let (ours, theirs) = (opened.footer(), index.footer());
            assert_eq!(
                (ours.chain, ours.digest, ours.last),
                (theirs.chain, theirs.digest, theirs.last)
            );
            assert_eq!(opened.chains().last(), index.chains().last());
            let outside = Outside::parse(sealed.len() as u64, &sealed, &sealed).unwrap().unwrap();
            assert_eq!((outside.key(), outside.replica()), (index.key(), REPLICA));
            assert_eq!(outside.envelope().index, KeyId::of(&sealing().index));
            check_outside(&sealed).unwrap();
            assert!(Outside::parse(plain.len() as u64, plain, plain).unwrap().is_none());
        }
    }
}

/// H39: no image, page hash, digest, content or chain of the plain object is in the encrypted one.
#[test]
fn h39_nothing_of_the_content_is_in_the_clear() {
    for ((name, plain), (_, sealed)) in
        samples(size(512)).into_iter().zip(sealed_samples(size(512)))
    {
        let (index, entries) = read(&plain).unwrap();
        let mut secrets: Vec<Vec<u8>> = Vec::new();
        for image in entries.iter().flat_map(|pages| pages.values()) {
            secrets.push(image[..16].to_vec());
        }
        for entry in index.entries() {
            secrets.push(entry.content[..16].to_vec());
            secrets.push(entry.digest.as_bytes().to_vec());
        }
        secrets.extend(index.chains().map(|chain| chain.as_bytes()[..16].to_vec()));
        secrets.extend(index.header().chain().map(|chain| chain.as_bytes()[..16].to_vec()));
        for block in index.hash_blocks() {
            secrets.extend(stored(&plain, block).chunks(16).map(<[u8]>::to_vec));
        }
        // Zeros are everywhere: they say nothing.
        secrets.retain(|secret| secret.iter().any(|&byte| byte != 0));
        assert!(secrets.len() > 5, "{name}");
        for secret in secrets {
            assert!(!sealed.windows(secret.len()).any(|window| window == secret), "{name}");
        }
    }
}

#[test]
fn the_index_key_opens_all_but_the_images() {
    let only = |key: SecretKey| [key].into_iter().collect::<Keys>();
    let Sealing { pages, index: index_key } = sealing();
    for (name, object) in sealed_samples(size(512)) {
        let mut index = open(&object, &only(index_key.clone())).unwrap();
        for block in index.hash_blocks() {
            block.decode(index.opener(), stored(&object, block)).unwrap();
        }
        let id = KeyId::of(pages.as_ref().unwrap());
        assert_eq!(index.opener().missing(), Some(id));
        for block in index.page_blocks() {
            let error = block.decode(index.opener(), stored(&object, block)).unwrap_err();
            let is_it = |error| matches!(error, Error::NoKey { id: missing, key_use: KeyUse::Pages } if missing == id);
            assert!(is_it(error), "{name}");
        }
        index.add_keys(&keys());
        assert_eq!(index.opener().missing(), None);
        for block in index.page_blocks() {
            block.decode(index.opener(), stored(&object, block)).unwrap();
        }
        for none in [Keys::NONE, only(pages.clone().unwrap())] {
            let error = open(&object, &none).unwrap_err();
            assert!(
                matches!(error, Error::NoKey { key_use: KeyUse::Index, .. }),
                "{name}: {error}"
            );
        }
    }
}

/// H36: damage is found by whoever has no key.
#[test]
fn h36_every_changed_byte_is_reported_with_and_without_keys() {
    for (name, mut object) in sealed_samples(size(512)) {
        for position in 0..object.len() {
            for flip in [1, 0x80, 0xff] {
                object[position] ^= flip;
                assert!(read_with(&object, &keys()).is_err(), "{name}: byte {position}");
                let outside = Outside::parse(object.len() as u64, &object, &object);
                let is_found = !matches!(outside, Ok(Some(_))) || check_outside(&object).is_err();
                assert!(is_found, "{name}: byte {position} ^ {flip:#x} without a key");
                object[position] ^= flip;
            }
        }
        for length in (0..object.len()).step_by(7) {
            assert!(read_with(&object[..length], &keys()).is_err(), "{name} of {length} bytes");
        }
        assert!(read_with(&object, &keys()).is_ok());
    }
}

/// Renews all checks that need no key: the CRC32s, the root, and the hash of the blocks.
fn renew(object: &mut [u8]) {
    let end = object.len() - footer::SIZE;
    let start = usize::try_from(parse_offset(object)).unwrap().clamp(header::SIZE, end);
    let blocks = *blake3::hash(&object[header::SIZE..start]).as_bytes();
    object[end + footer::CHAIN.offset..][..32].copy_from_slice(&blocks);
    reseal(object);
}

/// H36: against people, not only against faults: whoever may write the store and has no key changes nothing of an object.
#[test]
fn h36_every_changed_byte_is_reported_even_with_the_checks_renewed() {
    for (name, object) in sealed_samples(size(512)) {
        let end = object.len() - footer::SIZE;
        let last = end + footer::LAST.offset..end + footer::LAST.offset + 8;
        // But for the checks themselves, which are renewed.
        let head = (0..header::CRC.offset).chain(header::SIZE..end);
        for position in head.chain(last) {
            for flip in [1, 0x80, 0xff] {
                let mut changed = object.clone();
                changed[position] ^= flip;
                renew(&mut changed);
                assert!(
                    read_with(&changed, &keys()).is_err(),
                    "{name}: byte {position} ^ {flip:#x}"
                );
            }
        }
    }
}

/// H36: blocks of one object in another order, or of another object, and an object under another name.
#[test]
fn h36_nothing_that_was_moved_is_opened() {
    let (_, object) = sealed_samples(size(4096)).into_iter().next().unwrap();
    let index = open(&object, &keys()).unwrap();
    let (_, again) = sealed_samples(size(4096)).into_iter().next().unwrap();
    let other = open(&again, &keys()).unwrap();
    for (block, same) in index.page_blocks().iter().zip(other.page_blocks()) {
        assert_eq!((block.offset, block.stored_len), (same.offset, same.stored_len));
        let mut theirs = *block;
        theirs.crc = same.crc;
        assert!(theirs.decode(index.opener(), stored(&again, same)).is_err());
        let mut moved = *block;
        moved.offset += 1;
        assert!(moved.decode(index.opener(), stored(&object, block)).is_err());
    }
    // The header of one writer before what another has written of the same.
    let mut mixed = [&object[..Header::SIZE], &again[Header::SIZE..]].concat();
    renew(&mut mixed);
    assert!(read_with(&mixed, &keys()).is_err());
}

/// H35: what is written again has other keys, so that no nonce is used twice with one.
#[test]
fn h35_two_writers_of_one_object_have_nothing_in_common() {
    for ((name, one), (_, other)) in sealed_samples(size(512)).iter().zip(sealed_samples(size(512)))
    {
        assert_eq!(one.len(), other.len());
        assert_ne!(one[header::SALT.offset..][..24], other[header::SALT.offset..][..24]);
        let end = one.len() - Footer::SIZE;
        let (one, other) = (&one[Header::SIZE..end], &other[Header::SIZE..end]);
        let windows = one.windows(16).zip(other.windows(16));
        assert!(windows.into_iter().all(|(one, other)| one != other), "{name}");
    }
}

/// Whoever has the index key can write an index as he likes; it must be as sound as a plain one.
#[test]
fn an_index_that_was_altered_by_its_owner_is_held_to_the_same_rules() {
    let (_, object) = sealed_samples(size(512)).into_iter().next().unwrap();
    let end = object.len() - footer::SIZE;
    let index = open(&object, &keys()).unwrap();
    let start = usize::try_from(index.footer().index_offset).unwrap();
    let salt = Salt::from_bytes(object[header::SALT.offset..][..24].try_into().unwrap());
    let name = index.key().to_string();
    let secret = sealing().index;
    let key =
        ObjectKey::derive(&secret, KeyUse::Index, &salt, &object[..header::CRC.offset], &name);
    let footer_bytes = &object[end..];
    let associated = [&footer_bytes[..32], &footer_bytes[96..104]].concat();
    let mut plain = object[start..end].to_vec();
    let plain = key.open_index(start as u64, &associated, &mut plain).unwrap().to_vec();
    let seal = |plain: &[u8]| {
        let mut changed = object[..start].to_vec();
        changed.extend_from_slice(plain);
        key.seal_index(start as u64, &associated, &mut changed, start);
        changed.extend_from_slice(footer_bytes);
        renew(&mut changed);
        changed
    };
    assert!(read_with(&seal(&plain), &keys()).is_ok());
    for position in 0..plain.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = plain.clone();
            changed[position] ^= flip;
            assert!(read_with(&seal(&changed), &keys()).is_err(), "byte {position} ^ {flip:#x}");
        }
    }
    assert_eq!(plain[..32], *Chain::genesis(REPLICA).as_bytes());
    assert!(plain.len() > sealed_index::SIZE);
}

#[test]
fn an_index_that_comes_in_pieces_is_the_same() {
    for (name, object) in sealed_samples(size(512)) {
        let length = object.len() as u64;
        let whole = open(&object, &keys()).unwrap();
        let mut reader = IndexReader::open(length, &object, &object, &keys()).unwrap();
        let range = reader.range();
        let at = |at: u64| usize::try_from(at).unwrap();
        for piece in object[at(range.start)..at(range.end)].chunks(11) {
            reader.push(piece).unwrap();
        }
        let index = reader.finish(&keys()).unwrap();
        assert_eq!((index.entries(), index.footer()), (whole.entries(), whole.footer()), "{name}");
        let mut reader = IndexReader::open(length, &object, &object, &keys()).unwrap();
        reader.push(&object[at(range.start)..at(range.end)]).unwrap();
        assert!(reader.push(&[0]).is_err());
        let reader = IndexReader::open(length, &object, &object, &keys()).unwrap();
        assert!(reader.finish(&keys()).is_err());
        let mut tail = 0;
        while let Ok(Parsed::NeedTail(needed)) =
            Index::open(length, &object, &object[object.len() - tail..], &keys())
        {
            assert!(needed > tail as u64);
            tail = at(needed);
        }
        assert!(Index::open(length, &object, &object[object.len() - tail..], &keys()).is_ok());
    }
}

/// The name of a pack is in its keys, so it is known before the first block.
#[test]
fn an_object_that_becomes_another_than_was_planned_is_not_written() {
    let page_size = size(512);
    let steps = sample_steps(page_size);
    for (last, is_written) in [(5, true), (4, false), (6, false)] {
        let header = pack(page_size);
        let sealer = sealing().object(&header, txid(last)).unwrap();
        let written = write_with(Writer::sealed(header, sealer), None, &steps, usize::MAX);
        assert_eq!(written.is_ok(), is_written, "{last}");
    }
    let header = segment(page_size);
    let sealer = sealing().without_pages().object(&header, txid(5)).unwrap();
    assert!(write_with(Writer::sealed(header, sealer), None, &steps, usize::MAX).is_err());
    let sealer = sealing().without_pages().object(&header, txid(1)).unwrap();
    let written = write_with(Writer::sealed(header, sealer), None, &steps[..1], usize::MAX);
    let (claim, _) = written.unwrap();
    let (index, _) = read_with(&claim, &keys()).unwrap();
    assert_eq!(index.opener().envelope().unwrap().pages, None);
}

#[test]
fn segments_are_merged_into_a_pack_that_is_encrypted_as_they_are() {
    let page_size = size(512);
    let [(_, segment), (_, pack), ..] = sealed_samples(page_size);
    let index = open(&segment, &keys()).unwrap();
    let mut merge = Merge::begin_sealed(&index, txid(5), &sealing()).unwrap();
    merge.add(&index, &segment).unwrap();
    let (merged, pages) = read_with(&merge.finish().unwrap(), &keys()).unwrap();
    let (expected, expected_pages) = read_with(&pack, &keys()).unwrap();
    assert_eq!((merged.entries(), pages), (expected.entries(), expected_pages));
    assert_eq!(merged.key(), Key::Pack { first: txid(1), last: txid(5) });
    let mut planned_short = Merge::begin_sealed(&index, txid(4), &sealing()).unwrap();
    planned_short.add(&index, &segment).unwrap();
    assert!(planned_short.finish().is_err());
    // Neither a plain pack of encrypted segments nor the reverse.
    assert!(Merge::begin(&index).unwrap().add(&index, &segment).is_err());
    let (_, plain) = samples(page_size).into_iter().next().unwrap();
    let plain_index = open(&plain, &Keys::NONE).unwrap();
    let mut merge = Merge::begin_sealed(&plain_index, txid(5), &sealing()).unwrap();
    assert!(merge.add(&plain_index, &plain).is_err());
}

#[test]
fn documents_are_encrypted_under_the_index_key() {
    let time = Timestamp::from_micros(1_795_253_400_000_000).unwrap();
    let contents =
        MarkContents { name: "a secret name".to_owned(), txid: txid(7), time, lasts: None };
    let mark = Mark {
        replica: REPLICA,
        page_size: size(512),
        txid: txid(7),
        random: 0x1122,
        chain: Chain::genesis(REPLICA),
        digest: ebbtide_replica::Digest::EMPTY,
        contents,
    };
    let object = mark.seal(&sealing()).unwrap();
    assert!(!object.windows(6).any(|window| window == b"secret"));
    let index_key: Keys = [sealing().index].into_iter().collect();
    assert_eq!(Mark::open(&object, &index_key).unwrap(), mark);
    assert!(matches!(Mark::parse(&object), Err(Error::NoKey { .. })));
    assert!(Horizon::open(&object, &index_key).is_err());
    check_outside(&object).unwrap();
    for position in 0..object.len() {
        let mut changed = object.clone();
        changed[position] ^= 1;
        assert!(Mark::open(&changed, &index_key).is_err(), "byte {position}");
        assert!(check_outside_of(&changed).is_err(), "byte {position}");
        let last = object.len() - footer::SIZE + footer::LAST.offset;
        let is_check = (header::CRC.offset..header::SIZE).contains(&position);
        let is_before = position < object.len() - footer::SIZE && !is_check;
        if is_before || (last..last + 8).contains(&position) {
            renew(&mut changed);
            assert!(Mark::open(&changed, &index_key).is_err(), "byte {position}, checks renewed");
        }
    }
}

fn check_outside_of(object: &[u8]) -> Result<()> {
    match Outside::parse(object.len() as u64, object, object)? {
        Some(_) => check_outside(object),
        None => Err(Error::damaged("the object", "it is a plain one")),
    }
}

/// A reader without encryption refuses by name what it cannot read, and an encrypted header states no chain.
#[test]
fn suites_and_chains_where_they_have_no_place_are_refused() {
    let (_, object) = sealed_samples(size(512)).into_iter().next().unwrap();
    let with = |offset: usize, value: u8| {
        let mut changed = object.clone();
        changed[offset] = value;
        renew(&mut changed);
        Header::parse_any(&changed).unwrap_err()
    };
    assert!(matches!(with(header::SUITE.offset, 2), Error::Newer { .. }));
    assert!(matches!(with(header::RESERVED.offset, 1), Error::Newer { .. }));
    assert!(matches!(with(header::CHAIN.offset, 1), Error::Damaged { .. }));
    // Without the suite, the other fields are reserved.
    assert!(matches!(with(header::SUITE.offset, 0), Error::Newer { .. }));
    assert!(matches!(Header::parse(&object), Err(Error::NoKey { .. })));
    let (header, envelope) = Header::parse_any(&object).unwrap();
    assert_eq!(header.contents, Contents::Segment { first: txid(1), chain: Chain::NONE });
    assert!(envelope.is_some());
}

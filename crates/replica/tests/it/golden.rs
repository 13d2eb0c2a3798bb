//! A replica that the first version wrote must be readable, and writable in the same way, for ever.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ebbtide_replica::container::{Codec, Header, Index, Recast, Sealer, Writer};
use ebbtide_replica::{
    Chain, Digest, Encryption, Entry, EntryFlags, Key, KeyPrefix, Manifest, Txid, Vouch,
};
use ebbtide_seal::{KeyId, Salt};

use crate::objects::{
    Pages, Step, digest_of, keys, read, read_with, sealing, txid, write, write_with,
};

/// BLAKE3 of the database after the last entry.
const DATABASE: &str = "ee28032376ec2f39d9b34bb885f69e1f1f77da45d5625c074cb997818fe1ae89";
const CHAIN: &str = "24cab742751466d2169d9144cb7ae8b7b75f20b20797a10795486fc8bd1b9c4e";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn sealed() -> PathBuf {
    golden().with_file_name("v1-sealed")
}

fn manifest() -> Manifest {
    manifest_at(&golden())
}

fn manifest_at(directory: &Path) -> Manifest {
    let json = std::fs::read(directory.join("ebbtide.json")).unwrap();
    let manifest = Manifest::from_json(&json).unwrap();
    assert_eq!(manifest.to_json(), json);
    manifest
}

/// All objects by their keys.
fn objects() -> BTreeMap<Key, Vec<u8>> {
    objects_at(&golden())
}

fn objects_at(directory: &Path) -> BTreeMap<Key, Vec<u8>> {
    let mut objects = BTreeMap::new();
    for prefix in KeyPrefix::ALL {
        // It has neither horizons nor marks.
        let Ok(files) = std::fs::read_dir(directory.join(prefix.name())) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let key = format!("{prefix}/{name}").parse().unwrap();
            objects.insert(key, std::fs::read(&path).unwrap());
        }
    }
    objects
}

fn steps(index: &Index, entries: Vec<Pages>) -> Vec<Step> {
    let steps = index.entries().iter().zip(entries);
    let vouched = |entry: &Entry| Vouch::all_of(entry).first().map(|vouch| vouch.content);
    let step = |(entry, pages): (&Entry, _)| {
        let (start, digest, vouched) = (entry.start(), entry.digest, vouched(entry));
        Step { start, pages, digest, vouched }
    };
    steps.map(step).collect()
}

#[test]
fn every_object_is_read_and_written_again_byte_for_byte() {
    let objects = objects();
    assert_eq!(objects.len(), 7);
    for (key, object) in objects {
        let (index, entries) = read(&object).unwrap();
        assert_eq!(index.key(), key);
        assert_eq!(index.header().replica, manifest().replica);
        let (header, footer): (Header, _) = (*index.header(), *index.footer());
        let chain = header.chain().is_none().then_some(footer.chain);
        let (again, same) = write(header, chain, &steps(&index, entries), 1).unwrap();
        if index.page_blocks().iter().all(|block| block.codec == Codec::Stored) {
            assert!(again == object, "{key} is written in another way");
        } else {
            // A better compressor may write other blocks, but no other history.
            assert_eq!(key, Key::Log(txid(5)));
            assert_eq!((same.chain, same.digest), (footer.chain, footer.digest));
            assert_eq!(read(&again).unwrap().0.entries(), index.entries());
        }
    }
}

#[test]
fn the_log_leads_from_the_claim_to_the_last_commit() {
    let objects = objects();
    let mut chain = Chain::genesis(manifest().replica);
    let mut database = Pages::new();
    let mut next = Txid::FIRST;
    while let Some(object) = objects.get(&Key::Log(next)) {
        let (index, entries) = read(object).unwrap();
        assert_eq!(index.header().chain(), Some(chain));
        for (entry, (mut pages, chain)) in
            index.entries().iter().zip(entries.into_iter().zip(index.chains()))
        {
            if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
                let (snapshot, mut state) = read(&objects[&Key::Snapshot(entry.txid)]).unwrap();
                assert_eq!(snapshot.footer().chain, chain);
                assert_eq!(Vouch::all_of(entry)[0].content, snapshot.entries()[0].content);
                pages = state.remove(0);
            }
            database.extend(pages);
            database.retain(|&page, _| page <= entry.database_pages);
            assert_eq!(digest_of(&database), entry.digest);
            next = entry.txid.next();
        }
        chain = index.footer().chain;
    }
    assert_eq!(next, txid(6));
    assert_eq!(chain.to_string(), CHAIN);
    let file: Vec<u8> = database.into_values().flatten().collect();
    assert_eq!(blake3::hash(&file).to_string(), DATABASE);
}

#[test]
fn a_pack_and_a_delta_end_where_the_segments_end() {
    let objects = objects();
    let ends = |key: Key| {
        let footer = *read(&objects[&key]).unwrap().0.footer();
        (footer.last, footer.chain, footer.digest)
    };
    let end = ends(Key::Log(txid(3)));
    assert_ne!(end.2, Digest::EMPTY);
    assert_eq!(ends(Key::Pack { first: txid(1), last: txid(4) }), end);
    assert_eq!(ends(Key::Delta { first: txid(3), last: txid(4) }), end);
}

/// BLAKE3 of all images of the golden pack, in the order of its entries, and the chain after the last.
const PACK_IMAGES: &str = "2a69175b02bfd59fb61343d51e1fcd24c65f37205f529a321fba2af7b6510c3b";
const PACK_CHAIN: &str = "d617a933ce23928eb641ab20e723a6be956c437f8bdb5497e4ba0ada6301c303";

/// Another compressor may write other bytes, so it is read only.
#[test]
fn the_pack_with_differences_is_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/by-page");
    let key = Key::Pack { first: txid(1), last: txid(62) };
    let (index, entries) = read(&std::fs::read(directory.join(key.to_string())).unwrap()).unwrap();
    assert_eq!(index.key(), key);
    assert!(index.is_by_page());
    let codecs: Vec<Codec> = index.page_blocks().iter().map(|block| block.codec).collect();
    assert_eq!(codecs, [Codec::Records]);
    let mut images = blake3::Hasher::new();
    for image in entries.iter().flat_map(Pages::values) {
        images.update(image);
    }
    assert_eq!(images.finalize().to_string(), PACK_IMAGES);
    assert_eq!(index.footer().chain.to_string(), PACK_CHAIN);
}

/// What encrypts an object of `v1` as it is in `v1-sealed`: with a salt that is made from its name, so that it can be made
/// again.
fn sealer(key: Key, index: &Index) -> Sealer {
    let mut salt = [0; Salt::SIZE];
    salt.copy_from_slice(&blake3::hash(key.to_string().as_bytes()).as_bytes()[..Salt::SIZE]);
    let sealing = match index.page_blocks().is_empty() {
        true => sealing().without_pages(),
        false => sealing(),
    };
    sealing.with_salt(index.header(), index.footer().last, Salt::from_bytes(salt))
}

fn seal(key: Key, object: &[u8]) -> Vec<u8> {
    let (index, entries) = read(object).unwrap();
    let (header, footer) = (*index.header(), *index.footer());
    let sealer = sealer(key, &index);
    let chain = header.chain().is_none().then_some(footer.chain);
    write_with(Writer::sealed(header, sealer), chain, &steps(&index, entries), 1).unwrap().0
}

/// With EBBTIDE_GOLDEN the files that are missing are made.
#[test]
fn the_encrypted_replica_is_read_and_written_again_byte_for_byte() {
    let write_missing = |key: Key, bytes: &[u8]| {
        let path = sealed().join(key.to_string());
        if std::env::var_os("EBBTIDE_GOLDEN").is_some() && !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    };
    let encryption = Some(Encryption::new(KeyId::of(&sealing().index)));
    let created_by = "ebbtide 0.1.0".to_owned();
    let expected = Manifest { created_by, encryption, ..manifest() };
    write_missing(Key::Manifest, &expected.to_json());
    let plain = objects();
    plain.iter().for_each(|(&key, object)| write_missing(key, &seal(key, object)));
    assert_eq!(manifest_at(&sealed()), expected);
    let mut sealed = objects_at(&sealed());
    sealed.retain(|key, _| !matches!(key, Key::Wrapped { .. }));
    assert_eq!(sealed.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    for (key, object) in sealed {
        let (index, pages) = read_with(&object, &keys()).unwrap();
        let (plain_index, plain_pages) = read(&plain[&key]).unwrap();
        assert_eq!(
            (index.header(), index.entries()),
            (plain_index.header(), plain_index.entries())
        );
        assert_eq!(pages, plain_pages, "{key}");
        if index.page_blocks().iter().all(|block| block.codec == Codec::Stored) {
            assert!(seal(key, &plain[&key]) == object, "{key} is written in another way");
        }
    }
}

/// The object in its other form, out of all of its bytes.
fn recast(index: Index, sealer: Option<Sealer>, object: &[u8]) -> Vec<u8> {
    let mut recast = Recast::begin(index, sealer).unwrap();
    let size = recast.size();
    for block in recast.blocks().to_vec() {
        let at = |offset| usize::try_from(offset).unwrap();
        recast.add(&object[at(block.offset)..at(block.end())]).unwrap();
    }
    let finished = recast.finish().unwrap();
    assert_eq!((finished.object_size, finished.tail.len() as u64), (size, size));
    finished.tail
}

#[test]
fn each_form_is_made_of_the_other_byte_for_byte() {
    let (plain, sealed) = (objects(), objects_at(&sealed()));
    for (key, plain) in plain {
        let sealed = &sealed[&key];
        let index = read(&plain).unwrap().0;
        let sealer = sealer(key, &index);
        assert!(recast(index, Some(sealer), &plain) == *sealed, "{key} encrypted");
        let index = read_with(sealed, &keys()).unwrap().0;
        assert!(recast(index, None, sealed) == plain, "{key} decrypted");
        let (here, there) = (plain.len() as u64, sealed.len() as u64);
        assert!(Recast::may_be(here, there) && !Recast::may_be(there, here), "{key}");
        assert!(!Recast::may_be(here, there + 1) && !Recast::may_be(here, here), "{key}");
    }
}

/// Would catch a block that is taken for another, and one that nobody here opens.
#[test]
fn what_is_not_the_next_block_is_not_recast() {
    let key = Key::Log(txid(3));
    let object = &objects_at(&sealed())[&key];
    let index = read_with(object, &keys()).unwrap().0;
    let mut begun = Recast::begin(index.clone(), None).unwrap();
    let blocks = begun.blocks().to_vec();
    let stored = |block: &ebbtide_replica::container::Block| {
        let at = |offset| usize::try_from(offset).unwrap();
        object[at(block.offset)..at(block.end())].to_vec()
    };
    assert!(begun.add(&stored(&blocks[1])).is_err());
    let mut changed = stored(&blocks[0]);
    changed[0] ^= 1;
    assert!(Recast::begin(index.clone(), None).unwrap().add(&changed).is_err());
    let mut short = Recast::begin(index, None).unwrap();
    short.add(&stored(&blocks[0])).unwrap();
    assert!(short.finish().is_err(), "blocks are missing");
}

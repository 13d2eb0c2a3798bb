//! Horizons and marks: what is written is read, and nothing else.

use ebbtide_replica::container::layout::{block_row, counts, footer, header};
use ebbtide_replica::container::{Contents, DocumentObject, Header, Index, limits};
use ebbtide_replica::{
    Chain, Condemned, Digest, Horizon, HorizonContents, HorizonObject, HorizonState, Key, Mark,
    MarkContents, ReplicaId, Timestamp, Written,
};

use crate::hostile::reseal;
use crate::objects::{size, txid};

const CHAIN: &str = "33c687dd0e2afef97905d93cc62887175272d5df6e54799a35e925c29bc4e882";

fn state(number: u64) -> HorizonState {
    let time = Timestamp::EPOCH;
    let (digest, chain) = ("ccc752f560485ae2c4ab44b82a745ffe".to_owned(), CHAIN.to_owned());
    let (why, path) = (vec!["daily".to_owned()], vec![0]);
    HorizonState { txid: txid(number), time, until: time, pages: 9, digest, chain, why, path }
}

/// A horizon that keeps so many states of snapshots.
fn horizon(states: u64) -> Horizon {
    let object = |number| HorizonObject::new(Key::Snapshot(txid(number)), 4096, &[7; 32]);
    let pack = Key::Pack { first: txid(1), last: txid(9) };
    let contents = HorizonContents {
        number: 7,
        previous: Some(CHAIN.to_owned()),
        written: Written { time: Timestamp::EPOCH, by: "a test".to_owned() },
        keep: Some("daily=1y".to_owned()),
        freed: Some(txid(states)),
        states: (1..=states).map(state).collect(),
        objects: (1..=states).map(object).collect(),
        condemned: vec![Condemned { name: pack, size: 1, since: 3 }],
        held: Vec::new(),
    };
    Horizon {
        replica: ReplicaId::from_bytes([7; 16]),
        page_size: size(512),
        number: 7,
        window: txid(states + 1),
        before: Chain::from_bytes([8; 32]),
        head: txid(states + 100),
        chain: Chain::from_bytes([9; 32]),
        digest: Digest::from_bytes([1; 16]),
        contents,
    }
}

fn mark() -> Mark {
    let time = Timestamp::EPOCH;
    let (name, lasts) = ("before-migration".to_owned(), Some("90d".to_owned()));
    Mark {
        replica: ReplicaId::from_bytes([7; 16]),
        page_size: size(512),
        txid: txid(0x2a),
        random: 0x0011_2233_4455_66ff,
        chain: Chain::from_bytes([9; 32]),
        digest: Digest::from_bytes([1; 16]),
        contents: MarkContents { name, txid: txid(0x2a), time, lasts },
    }
}

#[test]
fn horizons_and_marks_are_read_as_they_were_written() {
    // The last has more than one block.
    for states in [1, 10, 9000] {
        let horizon = horizon(states);
        let object = horizon.encode().unwrap();
        let (read, _) = Horizon::parse(&object).unwrap();
        assert_eq!((read.key(), &read), (Key::Horizon(7), &horizon));
        assert!(Mark::parse(&object).is_err());
    }
    let object = mark().encode().unwrap();
    assert_eq!(Mark::parse(&object).unwrap(), mark());
    assert!(Horizon::parse(&object).is_err());
    // Nobody takes them for objects with entries.
    assert!(Index::parse(object.len() as u64, &object, &object).is_err());
}

#[test]
fn h24_every_flipped_byte_of_a_horizon_or_mark_is_found() {
    for object in [horizon(3).encode().unwrap(), mark().encode().unwrap()] {
        let is_read = |object: &[u8]| Horizon::parse(object).is_ok() || Mark::parse(object).is_ok();
        assert!(is_read(&object));
        for at in 0..object.len() {
            for flip in [1, 16, 128, 255] {
                let mut changed = object.clone();
                changed[at] ^= flip;
                assert!(!is_read(&changed), "byte {at} ^ {flip:#x}");
            }
            assert!(!is_read(&object[..at]) && !is_read(&object[at + 1..]), "cut at {at}");
        }
        assert!(!is_read(&[&object[..], b"x"].concat()));
    }
}

#[test]
fn s20_a_document_that_claims_more_than_it_has_is_refused() {
    let object = horizon(3).encode().unwrap();
    let field = object.len() - footer::SIZE + footer::INDEX_OFFSET.offset;
    let index = u64::from_le_bytes(object[field..field + 8].try_into().unwrap());
    let index = usize::try_from(index).unwrap();
    let fields = [
        (0, counts::ENTRIES),
        (0, counts::BLOCKS),
        (0, counts::RUNS),
        (0, counts::DETAILS),
        (counts::SIZE, block_row::STORED),
        (counts::SIZE, block_row::RAW),
    ];
    for (row, field) in fields {
        for value in [0, 1, 1000, 1 << 20, u32::MAX] {
            let mut changed = object.clone();
            let at = index + row + field.offset;
            if changed[at..at + 4] == u32::to_le_bytes(value) {
                continue;
            }
            changed[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            reseal(&mut changed);
            assert!(Horizon::parse(&changed).is_err(), "{} = {value}", field.name);
        }
    }
    for kind in [1, 2, 3] {
        let mut changed = object.clone();
        changed[index + counts::SIZE] = kind;
        reseal(&mut changed);
        assert!(Horizon::parse(&changed).is_err(), "a block of kind {kind}");
    }
    let mut changed = object;
    changed[header::BASE.offset] ^= 1;
    reseal(&mut changed);
    assert!(Horizon::parse(&changed).is_err(), "another number than the document's");
}

#[test]
fn a_document_that_contradicts_itself_is_neither_written_nor_read() {
    type Spoil = fn(&mut Horizon);
    let spoils: [(&str, Spoil); 12] = [
        ("number", |one| one.contents.number = 8),
        ("window", |one| one.window = one.head.next().next()),
        ("a name twice", |one| one.contents.objects[0].name = one.contents.objects[1].name),
        ("kept and condemned", |one| {
            one.contents.condemned[0].name = one.contents.objects[1].name;
        }),
        ("root", |one| one.contents.objects[0].root = "no root".to_owned()),
        ("since", |one| one.contents.condemned[0].since = 8),
        ("since", |one| one.contents.condemned[0].since = 0),
        ("order", |one| one.contents.states.swap(0, 1)),
        ("in the window", |one| one.contents.states[2].txid = one.window),
        ("digest", |one| one.contents.states[0].digest.clear()),
        ("path", |one| one.contents.states[0].path.push(3)),
        ("path", |one| one.contents.states[0].path.clear()),
    ];
    for (what, spoil) in spoils {
        let mut spoilt = horizon(3);
        spoil(&mut spoilt);
        assert!(spoilt.encode().is_err(), "{what}");
        // Written by somebody who does not check.
        let Horizon { replica, page_size, number, window: first, before: chain, .. } = spoilt;
        let contents = Contents::Horizon { first, number, chain };
        let document = DocumentObject {
            header: Header { replica, page_size, contents },
            last: spoilt.head,
            chain: spoilt.chain,
            digest: spoilt.digest,
            json: serde_json::to_vec(&spoilt.contents).unwrap(),
        };
        assert!(Horizon::parse(&document.encode().unwrap()).is_err(), "{what}");
    }
    for name in ["", "two\nlines", &"x".repeat(MarkContents::NAME_MAX + 1)] {
        let mut spoilt = mark();
        spoilt.contents.name = name.to_owned();
        assert!(spoilt.encode().is_err(), "{name}");
    }
}

#[test]
fn a_document_is_no_longer_than_a_reader_takes() {
    let Mark { replica, page_size, txid, random, chain, digest, .. } = mark();
    let header = Header { replica, page_size, contents: Contents::Mark { txid, random } };
    let document =
        |length| DocumentObject { header, last: txid, chain, digest, json: vec![b' '; length] };
    assert!(document(0).encode().is_err());
    assert!(document(limits::DOCUMENT_SIZE_MAX + 1).encode().is_err());
    let object = document(limits::DOCUMENT_SIZE_MAX).encode().unwrap();
    assert_eq!(DocumentObject::parse(&object).unwrap().0.json.len(), limits::DOCUMENT_SIZE_MAX);
    assert!(object.len() as u64 <= DocumentObject::OBJECT_SIZE_MAX);
}

//! Horizons that tests write by hand, for replicas of the [builder](crate::builder).

use std::collections::BTreeMap;

use ebbtide_replica::container::Footer;
use ebbtide_replica::{
    Condemned, Horizon, HorizonContents, HorizonObject, HorizonState, Key, Written,
};
use ebbtide_store::Store;

use crate::builder::{Builder, micros, txid};

const SOUND: &str = "what the test says is sound";

/// What a horizon says.
#[derive(Debug, Clone)]
pub struct Says {
    /// Its number.
    pub number: u64,
    /// The first entry from which on everything is kept, at least 2.
    pub window: u64,
    /// The states before that, each with its objects.
    pub states: Vec<(u64, Vec<Key>)>,
    /// What is condemned, each with the horizon that did it first.
    pub condemned: Vec<(Key, u64)>,
    /// What is held, likewise.
    pub held: Vec<(Key, u64)>,
}

/// Puts a horizon at so many µs of the store's clock. Nothing is deleted.
///
/// # Panics
/// When it names what is not there.
pub async fn put_horizon(builder: &Builder, now: i64, says: Says) {
    let mut objects: BTreeMap<Key, HorizonObject> = BTreeMap::new();
    for key in says.states.iter().flat_map(|(_, path)| path) {
        let body = builder.body(*key).await;
        let root = Footer::parse(&body).expect(SOUND).root;
        objects.insert(*key, HorizonObject::new(*key, body.len() as u64, &root));
    }
    let index = |key: &Key| {
        let at = objects.keys().position(|name| name == key).expect(SOUND);
        u32::try_from(at).expect(SOUND)
    };
    let state = |(number, path): &(u64, Vec<Key>)| {
        let (state, next) = (builder.state(*number), builder.state(number + 1));
        HorizonState {
            txid: state.txid,
            time: state.time,
            until: next.time,
            pages: u32::try_from(state.pages.len()).expect(SOUND),
            digest: state.digest.to_string(),
            chain: state.chain.to_string(),
            why: vec!["daily".to_owned()],
            path: path.iter().map(index).collect(),
        }
    };
    let condemned = |all: &[(Key, u64)]| {
        let condemned = |&(name, since): &(Key, u64)| Condemned { name, size: 1, since };
        all.iter().map(condemned).collect()
    };
    let contents = HorizonContents {
        number: says.number,
        previous: None,
        written: Written { time: micros(now), by: "a test".to_owned() },
        keep: None,
        freed: None,
        states: says.states.iter().map(state).collect(),
        objects: objects.values().cloned().collect(),
        condemned: condemned(&says.condemned),
        held: condemned(&says.held),
    };
    let head = builder.last();
    let horizon = Horizon {
        replica: builder.manifest.replica,
        page_size: builder.manifest.page_size,
        number: says.number,
        window: txid(says.window),
        before: builder.state(says.window - 1).chain,
        head: head.txid,
        chain: head.chain,
        digest: head.digest,
        contents,
    };
    builder.store.set_now(micros(now));
    let body = match builder.sealing() {
        Some(sealing) => horizon.seal(&sealing),
        None => horizon.encode(),
    };
    let body = body.expect(SOUND);
    builder.store.put(&horizon.key(), body.into()).await.expect(SOUND);
}

//! The store that fails as a script says, which other tests rely on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::{ErrorKind, MemoryStore, Store};
use ebbtide_testkit::contract::{self, Subject};
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};

const KEY: Key = Key::Log(Txid::FIRST);

struct Unscripted;

#[async_trait]
impl Subject for Unscripted {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(Faulty::new(Arc::new(MemoryStore::new())))
    }

    async fn plant(&self, _store: &dyn Store, _name: &str, _body: Bytes) -> bool {
        false
    }
}

#[tokio::test]
async fn without_a_script_it_keeps_the_contract() {
    contract::check(&Unscripted).await;
}

#[tokio::test]
async fn calls_end_as_the_script_says() {
    let store = Faulty::new(Arc::new(MemoryStore::new()));
    let body = || Bytes::from_static(b"body");
    let always = |outcome: Outcome| store.script(move |_| Some(outcome.clone()));

    always(Outcome::Fail(ErrorKind::Throttled));
    assert_eq!(store.put(&KEY, body()).await.unwrap_err().kind(), ErrorKind::Throttled);
    always(Outcome::Lose);
    assert_eq!(store.put(&KEY, body()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.put(&KEY, body()).await.unwrap_err().kind(), ErrorKind::Exists);
    always(Outcome::Flip(6));
    assert_eq!(store.get(&KEY, 100).await.unwrap(), "boey");
    always(Outcome::Truncate(2));
    assert_eq!(store.get_range(&KEY, 1..4).await.unwrap(), "od");
    store.heal();
    assert_eq!(store.list(KeyPrefix::Log, None).await.unwrap().len(), 1);
    let calls = [Call::Put(KEY), Call::Put(KEY), Call::Put(KEY), Call::Get(KEY)];
    assert_eq!(store.calls()[..4], calls);
    assert_eq!(store.calls()[4..], [Call::GetRange(KEY, 1..4), Call::List(KeyPrefix::Log)]);
}

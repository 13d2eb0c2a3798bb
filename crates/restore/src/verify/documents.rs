//! Proves horizons and marks, each by itself, and notes what they say of states.

use std::collections::BTreeMap;

use ebbtide_catalog::{CatalogError, Survey, index_keys};
use ebbtide_replica::container::DocumentObject;
use ebbtide_replica::{Chain, Digest, Error, Horizon, HorizonContents, Key, KeyPrefix, Mark, Txid};
use ebbtide_store::{ErrorKind, Object};
use futures::{StreamExt as _, stream};

use super::finding::{Finding, Severity};
use crate::error::Result;

/// How many are read at once: each may be long.
const DOCUMENTS_AT_ONCE: usize = 4;

/// What a horizon or mark says of the state after an entry.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) key: Key,
    pub(super) txid: Txid,
    pub(super) chain: Chain,
    pub(super) digest: Digest,
    /// For how long a mark keeps the state, if not until it is removed.
    pub(super) lasts: Option<String>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) horizons: u64,
    pub(super) marks: u64,
    pub(super) bytes: u64,
    pub(super) statements: Vec<Statement>,
    pub(super) findings: Vec<Finding>,
}

/// One that was read.
enum Document {
    Horizon(Box<Horizon>, [u8; 32]),
    Mark(Box<Mark>),
}

/// Reads and proves all horizons and marks.
pub(super) async fn check_documents(survey: &Survey) -> Result<Documents> {
    let store = survey.store();
    let mut objects = store.list(KeyPrefix::Horizon, None).await?;
    objects.extend(store.list(KeyPrefix::Mark, None).await?);
    let read = |object: Object| async move { (object, read(survey, object.key).await) };
    let mut all = stream::iter(objects).map(read).buffered(DOCUMENTS_AT_ONCE);
    let mut documents = Documents::default();
    let mut roots = BTreeMap::new();
    while let Some((object, document)) = all.next().await {
        match document? {
            // It was deleted meanwhile, as old horizons and marks are.
            None => continue,
            Some(Err(error)) => documents.damage(object.key, error.to_string()),
            Some(Ok(Document::Horizon(horizon, root))) => {
                let before = roots.get(&(horizon.number - 1));
                if let Some(previous) = &horizon.contents.previous
                    && before.is_some_and(|before| before != previous)
                {
                    let what = format!("it was not written after horizon {}", horizon.number - 1);
                    documents.damage(object.key, what);
                }
                roots.insert(horizon.number, HorizonContents::naming(&root));
                let Horizon { head: txid, chain, digest, .. } = *horizon;
                let (key, lasts) = (object.key, None);
                documents.statements.push(Statement { key, txid, chain, digest, lasts });
                documents.horizons += 1;
            }
            Some(Ok(Document::Mark(mark))) => {
                let Mark { txid, chain, digest, contents, .. } = *mark;
                let (key, lasts) = (object.key, contents.lasts);
                documents.statements.push(Statement { key, txid, chain, digest, lasts });
                documents.marks += 1;
            }
        }
        documents.bytes += object.size;
    }
    Ok(documents)
}

/// Nothing if it is gone; what is wrong with it, if anything is.
async fn read(survey: &Survey, key: Key) -> Result<Option<Result<Document, Error>>> {
    let size_max = match key {
        Key::Mark { .. } => Mark::SIZE_MAX,
        _ => DocumentObject::OBJECT_SIZE_MAX,
    };
    let body = match survey.store().get(&key, size_max).await {
        Ok(body) => body,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::Damaged => {
            return Ok(Some(Err(Error::damaged("the object", error.to_string()))));
        }
        Err(error) => return Err(error.into()),
    };
    let manifest = survey.manifest();
    let keys = match index_keys(&**survey.store(), manifest, key, &body).await {
        Ok(keys) => keys,
        Err(CatalogError::Object { source, .. }) => return Ok(Some(Err(source))),
        Err(error) => return Err(error.into()),
    };
    let document = match key {
        Key::Mark { .. } => Mark::open(&body, &keys).map(|mark| {
            let identity = (mark.key(), mark.replica, mark.page_size);
            (identity, Document::Mark(Box::new(mark)))
        }),
        _ => Horizon::open(&body, &keys).map(|(horizon, root)| {
            let identity = (horizon.key(), horizon.replica, horizon.page_size);
            (identity, Document::Horizon(Box::new(horizon), root))
        }),
    };
    Ok(Some(document.and_then(|(identity, document)| {
        match identity == (key, manifest.replica, manifest.page_size) {
            true => Ok(document),
            false => {
                let why = "it has another name, or belongs to another replica";
                Err(Error::damaged("the object", why))
            }
        }
    })))
}

impl Documents {
    fn damage(&mut self, key: Key, what: impl Into<String>) {
        self.findings.push(Finding { key, severity: Severity::Damage, what: what.into() });
    }
}

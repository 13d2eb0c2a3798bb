//! Whether each secret key that an object names is there in some wrapped form: without it nobody can open the object.

use std::collections::{BTreeMap, BTreeSet};

use ebbtide_replica::container::Envelope;
use ebbtide_replica::{Key, KeyPrefix, Manifest, Timestamp, Txid};
use ebbtide_seal::{KeyId, KeyUse};
use ebbtide_store::Store;

use super::finding::{Finding, Severity};
use crate::error::Result;

/// What an object covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) txids: [Txid; 2],
    /// If they could be read.
    pub(super) times: Option<[Timestamp; 2]>,
}

/// What is under which key.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeMap<KeyId, Under>);

/// What is under one key.
#[derive(Debug)]
struct Under {
    key_use: KeyUse,
    objects: u64,
    span: Span,
}

impl Named {
    /// Takes note of the keys of an object, which may have images.
    pub(super) fn add(&mut self, envelope: &Envelope, has_images: bool, span: Span) {
        let pages = envelope.pages.map(|id| (id, KeyUse::Pages, has_images));
        for (id, key_use, is_used) in
            pages.into_iter().chain([(envelope.index, KeyUse::Index, true)])
        {
            let under = self.0.entry(id).or_insert(Under { key_use, objects: 0, span });
            if is_used {
                let before = if under.objects == 0 { span } else { under.span };
                under.span = before.with(span);
                under.objects += 1;
            }
        }
    }

    /// Takes note of the index key that the replica began with.
    pub(super) fn add_index(&mut self, manifest: &Manifest) {
        if let Some(encryption) = manifest.encryption {
            let span = Span { txids: [Txid::FIRST; 2], times: None };
            let key_use = KeyUse::Index;
            self.0.entry(encryption.index).or_insert(Under { key_use, objects: 0, span });
        }
    }

    /// How many wrapped keys there are, and those that are missing, or that were found to be damaged where others served.
    pub(super) async fn check(self, store: &dyn Store) -> Result<(u64, Vec<Finding>)> {
        let listed = store.list(KeyPrefix::Wrapped, None).await?;
        let ids: BTreeSet<KeyId> = listed.iter().filter_map(|object| id_of(object.key)).collect();
        let mut findings = Vec::new();
        for (id, under) in self.0 {
            let key = Key::Wrapped { id, number: 1 };
            // A listing may lag behind.
            if !ids.contains(&id) && store.size(&key).await?.is_none() {
                let severity = if under.is_unused() { Severity::Note } else { Severity::Damage };
                findings.push(Finding { key, severity, what: under.lost() });
            }
        }
        for (key, why) in store.keyring().map(|keyring| keyring.damaged()).unwrap_or_default() {
            let what = format!("it is damaged, and only an older form of the key opens: {why}");
            findings.push(Finding { key, severity: Severity::Damage, what });
        }
        Ok((listed.len() as u64, findings))
    }
}

fn id_of(key: Key) -> Option<KeyId> {
    match key {
        Key::Wrapped { id, .. } => Some(id),
        _ => None,
    }
}

impl Under {
    /// Whether it is a page key without a page, as that of a start after which nothing was committed.
    fn is_unused(&self) -> bool {
        self.objects == 0 && self.key_use == KeyUse::Pages
    }

    /// What it means that the key is missing.
    fn lost(&self) -> String {
        if self.is_unused() {
            return "the page key is missing, and no page is under it".to_owned();
        }
        if self.objects == 0 {
            return "ebbtide.json names this index key, and nothing else does: it is missing"
                .to_owned();
        }
        let what = match self.key_use {
            KeyUse::Pages => "the pages of",
            KeyUse::Index => "all that is in",
        };
        let objects = if self.objects == 1 { "object" } else { "objects" };
        let [first, last] = self.span.txids;
        let span = match self.span.times {
            Some([first, last]) => format!("{first} to {last}"),
            None => format!("entries {first} to {last}"),
        };
        let (name, count) = (self.key_use.key_name(), self.objects);
        format!(
            "the {name} is missing: {what} {count} {objects}, {span}, cannot be read by anybody"
        )
    }
}

impl Span {
    fn with(self, other: Span) -> Span {
        let ([first, last], [begin, end]) = (self.txids, other.txids);
        let times = self.times.zip(other.times);
        let times = times.map(|([first, last], [begin, end])| [first.min(begin), last.max(end)]);
        Span { txids: [first.min(begin), last.max(end)], times }
    }
}

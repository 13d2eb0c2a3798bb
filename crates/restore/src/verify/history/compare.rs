//! What is not of the log, compared with the history that the log is: packs, deltas and snapshots, and what horizons and
//! marks say of states.

use ebbtide_catalog::Fetched;
use ebbtide_replica::Key;
use ebbtide_store::Object;

use super::Prover;
use crate::error::Result;
use crate::verify::documents::Statement;
use crate::verify::finding::{Finding, Severity};

impl Prover<'_> {
    /// Compares what is not of the log with the log.
    pub(super) async fn compare_others(&mut self) -> Result<()> {
        let survey = self.survey;
        let known = survey.known();
        let listing = known.listing();
        let others = listing.packs.iter().chain(&listing.deltas).chain(&listing.snapshots);
        let others = others.filter(|object| known.is_usable(object.key));
        let others: Vec<Object> =
            others.filter(|object| self.scope.has(object.key)).copied().collect();
        for object in others {
            let fetched = survey.index(object).await?;
            self.compare(object.key, &fetched);
        }
        Ok(())
    }

    /// Compares what horizons and marks say of states with the history, or with the states that are kept.
    pub(super) fn compare_statements(&mut self) {
        let known = self.survey.known();
        let window = known.window();
        for statement in std::mem::take(&mut self.statements) {
            let Statement { key, txid, .. } = statement;
            let said = (Some(statement.chain), Some(statement.digest));
            let known = match self.points.get(&txid) {
                Some(point) => Some((Some(point.state.chain), Some(point.state.digest))),
                None => known.kept(txid).map(|kept| (kept.chain(), kept.digest())),
            };
            let is_mark = matches!(key, Key::Mark { .. });
            match known {
                Some(known) if known != said => {
                    self.damage(key, format!("the history has another state after entry {txid}"));
                }
                None if is_mark && txid < window => {
                    self.proved.claimed_back.push(statement);
                }
                _ => {}
            }
        }
    }

    pub(super) fn compare(&mut self, key: Key, fetched: &Fetched) {
        let (header, footer) = (fetched.index.header(), fetched.index.footer());
        let database_pages = fetched.index.entries().last().map(|entry| entry.database_pages);
        if self.differs(key, fetched) {
            return;
        }
        let begin = header.first().previous().and_then(|txid| self.points.get(&txid));
        if let (Some(begin), Some(chain)) = (begin, header.chain())
            && begin.state.chain != chain
        {
            self.damage(
                key,
                format!("the log does not lead to it after entry {}", begin.state.txid()),
            );
        }
        match self.points.get(&footer.last).copied() {
            Some(end) => {
                let state = (end.state.chain, end.state.digest, Some(end.state.database_pages));
                if state != (footer.chain, footer.digest, database_pages) {
                    self.damage(
                        key,
                        format!("the log has another state after entry {}", end.state.txid()),
                    );
                }
            }
            None if self.proved.last.is_some_and(|last| footer.last > last.txid) => {
                let what = "no entry leads to it: it is left over, and nothing uses it";
                self.proved.findings.push(Finding {
                    key,
                    severity: Severity::Note,
                    what: what.to_owned(),
                });
            }
            None => {
                // The log around it is no longer kept, or damaged, which is a finding of its own.
                if let Key::Snapshot(txid) = key {
                    let first = self.proved.first_restorable;
                    self.proved.first_restorable =
                        Some(first.map_or(txid, |first| first.min(txid)));
                }
            }
        }
    }

    /// Whether a snapshot or delta has other pages than the log says, which is noted.
    fn differs(&mut self, key: Key, fetched: &Fetched) -> bool {
        let Some(entry) = fetched.index.entries().first().filter(|_| key.state().is_some()) else {
            return false;
        };
        let differs = |content: Option<&[u8; 32]>| content.is_some_and(|it| *it != entry.content);
        if differs(self.vouches.get(&key)) {
            self.damage(key, "its pages are not those that the log vouches for");
            return true;
        }
        let contents = |txid| self.contents.get(&txid).filter(|_| matches!(key, Key::Snapshot(_)));
        if differs(key.state().and_then(contents)) {
            self.damage(key, "its pages are not those that the log leads to");
            return true;
        }
        false
    }
}

//! The decision of a start over every combination of evidence that can occur.

use std::collections::BTreeSet;

use ebbtide_replica::{Chain, Digest, Point, Timestamp, Txid};
use ebbtide_shipper::Restored;

use super::*;

const BOTH: [bool; 2] = [false, true];
const LOGS: [LogEvidence; 3] =
    [LogEvidence::Continues, LogEvidence::Restarted, LogEvidence::Truncated];
const HEADS: [HeadRelation; 7] = [
    HeadRelation::Same,
    HeadRelation::ClaimsSince,
    HeadRelation::OwnCommitsSince,
    HeadRelation::OthersSince,
    HeadRelation::Unread,
    HeadRelation::EndsEarlier,
    HeadRelation::Overwritten,
];

fn consents() -> impl Iterator<Item = Consent> {
    (0..8).map(|bits| Consent {
        adopt: bits & 1 != 0,
        take_back: bits & 2 != 0,
        begin_anew: bits & 4 != 0,
    })
}

/// Each `true` of `few` is one of `many`.
fn is_part(few: Consent, many: Consent) -> bool {
    few.adopt <= many.adopt && few.take_back <= many.take_back && few.begin_anew <= many.begin_anew
}

fn state() -> EntryState {
    EntryState {
        point: Point { txid: Txid::FIRST, time: Timestamp::EPOCH },
        chain: Chain::from_bytes([1; 32]),
        digest: Digest::EMPTY,
        database_pages: 1,
    }
}

fn known() -> Vec<KnownEvidence> {
    let restored = [None, Some(true), Some(false)].map(|unchanged| {
        unchanged.map(|is_head_unchanged| Restored { to: state(), is_head_unchanged })
    });
    let mut all = Vec::new();
    for head in HEADS {
        for bits in 0..16_u8 {
            let bit = |number: u8| bits & (1 << number) != 0;
            let (has_base, has_entry) = (bit(0), bit(1));
            let (has_page_hashes, spool_continues) = (bit(2), bit(3));
            // The spool is looked at with the page hashes alone, and continues what the replica ends with.
            if spool_continues && !(head == HeadRelation::Same && has_page_hashes) {
                continue;
            }
            all.extend(restored.map(|restored| KnownEvidence {
                has_base,
                has_entry,
                head,
                has_page_hashes,
                spool_continues,
                restored,
            }));
        }
    }
    all
}

fn evidence() -> Vec<Evidence> {
    let mut replicas = vec![ReplicaEvidence::Unknown];
    for is_known_here in BOTH {
        replicas.extend(
            BOTH.map(|has_leftovers| ReplicaEvidence::Empty { is_known_here, has_leftovers }),
        );
    }
    replicas.extend(known().into_iter().map(ReplicaEvidence::Known));
    let mut all = Vec::new();
    for replica in replicas {
        for page_size_differs in BOTH {
            all.extend(BOTH.map(|is_copy| Evidence { replica, page_size_differs, is_copy }));
        }
    }
    all
}

/// Calls `check` with everything that can be found and consented to, and with the plan for it.
fn for_all(mut check: impl FnMut(&Evidence, LogEvidence, Consent, StartPlan)) {
    for evidence in evidence() {
        for log in LOGS {
            for consent in consents() {
                check(&evidence, log, consent, start_plan(&evidence, log, consent));
            }
        }
    }
}

/// Its name in the table of `docs/architecture.md`.
fn label(plan: StartPlan) -> String {
    match plan {
        StartPlan::Compare { past, .. } => match past {
            Past::Restored(_) => "Compare(Restored)".to_owned(),
            past => format!("Compare({past:?})"),
        },
        plan => format!("{plan:?}"),
    }
}

/// Would catch a log that is read on although commits may be missing before it.
#[test]
fn the_log_is_read_on_only_where_everything_before_is_proved() {
    for_all(|evidence, log, consent, plan| {
        let reads_on =
            matches!(plan, StartPlan::Continue | StartPlan::SendSpool | StartPlan::Replay);
        let ReplicaEvidence::Known(known) = evidence.replica else {
            return assert!(!reads_on, "{evidence:?}");
        };
        if !reads_on {
            return;
        }
        let what = format!("{evidence:?} {log:?} {consent:?}: {plan:?}");
        assert_eq!(log, LogEvidence::Continues, "{what}");
        assert!(known.has_page_hashes, "{what}");
        let in_between = known.head == HeadRelation::OwnCommitsSince;
        assert_eq!(plan == StartPlan::Replay, in_between, "{what}");
        let is_level = matches!(known.head, HeadRelation::Same | HeadRelation::ClaimsSince);
        assert!(in_between || is_level, "{what}");
        assert_eq!(plan == StartPlan::SendSpool, known.spool_continues, "{what}");
    });
}

/// Would catch a replica of another writer, or one that was rolled back, that is written all the same.
#[test]
fn what_is_not_this_databases_history_is_refused() {
    for_all(|evidence, log, consent, plan| {
        let what = format!("{evidence:?} {log:?} {consent:?}: {plan:?}");
        let is_refused = matches!(plan, StartPlan::Refuse(_));
        let ReplicaEvidence::Known(known) = evidence.replica else { return };
        let is_elsewhere =
            matches!(known.head, HeadRelation::EndsEarlier | HeadRelation::Overwritten);
        let is_others = matches!(known.head, HeadRelation::OthersSince | HeadRelation::Unread);
        let is_there = known.has_base && known.has_entry || consent.begin_anew;
        assert!(is_refused || !is_elsewhere, "{what}");
        assert!(is_refused || !is_others || known.is_set_back(consent), "{what}");
        assert!(is_refused || is_there, "{what}");
        assert!(is_refused || !evidence.page_size_differs, "{what}");
        assert!(is_refused || !evidence.is_copy || consent.may_move(), "{what}");
    });
}

/// Would catch a second replica beside one that has only gone out of seen.
#[test]
fn a_replica_is_created_only_where_none_is_known() {
    for_all(|evidence, _, consent, plan| {
        let may = matches!(
            evidence.replica,
            ReplicaEvidence::Empty { is_known_here, has_leftovers: false }
                if !is_known_here || consent.begin_anew
        );
        assert_eq!(plan == StartPlan::Create, may, "{evidence:?} {consent:?}");
    });
}

/// Would catch an option that changes what is done where nothing has to be overruled.
#[test]
fn a_consent_overrules_refusals_and_nothing_else() {
    for_all(|evidence, log, consent, plan| {
        if matches!(plan, StartPlan::Refuse(_)) {
            return;
        }
        for more in consents().filter(|&more| is_part(consent, more)) {
            let then = start_plan(evidence, log, more);
            let is_own = matches!(
                evidence.replica,
                ReplicaEvidence::Known(KnownEvidence { head: HeadRelation::OwnCommitsSince, .. })
            );
            let takes_back = is_own && more.take_back && !consent.take_back;
            assert!(
                then == plan || takes_back,
                "{evidence:?} {log:?}: {plan:?}, {more:?}: {then:?}"
            );
        }
    });
}

/// Would catch page hashes of another state, or ones that do not add up, as the base of a comparison.
#[test]
fn pages_are_compared_with_hashes_of_the_replicas_end() {
    for_all(|evidence, log, consent, plan| {
        let StartPlan::Compare { hashes: Hashes::Local, .. } = plan else { return };
        let ReplicaEvidence::Known(known) = evidence.replica else {
            panic!("{evidence:?} {log:?} {consent:?}");
        };
        let is_level = matches!(known.head, HeadRelation::Same | HeadRelation::ClaimsSince);
        assert!(known.has_page_hashes && is_level, "{evidence:?} {log:?} {consent:?}");
    });
}

/// Would catch a plan that the page on the architecture does not tell of, and one that does not exist any more.
#[test]
fn the_table_of_starts_has_every_plan() {
    let mut plans = BTreeSet::new();
    for_all(|_, _, _, plan| {
        plans.insert(label(plan));
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/architecture.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split("## Starting").nth(1).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).skip(2).collect();
    let cells = rows.iter().map(|row| row.split('|').nth(3).unwrap().trim());
    let told: BTreeSet<String> =
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.replace('`', "")).collect();
    assert_eq!(told, plans);
}

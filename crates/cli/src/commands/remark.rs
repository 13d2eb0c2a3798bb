//! What is special about an entry, in words.

use ebbtide_catalog::ResyncDetail;
use ebbtide_replica::{Claim, Entry, EntryFlags, EntryKind, Txid};

/// The remark on `entry`; `before` is the last entry before it that is not a claim.
pub(super) fn remark(entry: &Entry, before: Option<Txid>) -> String {
    match entry.kind {
        EntryKind::Claim => match Claim::from_detail(&entry.detail) {
            Ok(claim) => format!("by process {} on {}", claim.pid, claim.host),
            Err(_) => "by a process that cannot be read".to_owned(),
        },
        EntryKind::Resync => resync(entry, before),
        EntryKind::Commit | EntryKind::Image => String::new(),
    }
}

fn resync(entry: &Entry, before: Option<Txid>) -> String {
    let detail = ResyncDetail::of(entry).unwrap_or_default();
    let back = match detail.set_back_to {
        Some(to) => Some(set_back(to, &detail, before)),
        None => {
            let is_fork = entry.flags.contains(EntryFlags::FORK);
            is_fork.then(|| "fork: the replica had more than the database".to_owned())
        }
    };
    let in_snapshot = entry.flags.contains(EntryFlags::IN_SNAPSHOT);
    let remarks = [
        back,
        in_snapshot.then(|| "the whole database, in a snapshot".to_owned()),
        detail.since.map(|since| format!("gap: history since {since} was missed")),
    ];
    remarks.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn set_back(to: Txid, detail: &ResyncDetail, before: Option<Txid>) -> String {
    let by = match detail.by.as_deref() {
        Some(ResyncDetail::RESTORE) => " by a restore",
        _ => "",
    };
    let aside = match before.filter(|&last| last > to) {
        Some(last) if to.precedes(last) => format!(", {:x} set aside", last.get()),
        Some(last) => format!(", {:x} to {:x} set aside", to.next().get(), last.get()),
        None => String::new(),
    };
    format!("set back to {:x}{by}{aside}", to.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    #[test]
    fn o25_a_step_back_names_what_was_set_aside() {
        let by = |by: Option<&str>| ResyncDetail {
            by: by.map(str::to_owned),
            ..ResyncDetail::default()
        };
        let restore = by(Some("restore"));
        let said = set_back(txid(0x68), &restore, Some(txid(0xfb)));
        assert_eq!(said, "set back to 68 by a restore, 69 to fb set aside");
        let said = set_back(txid(0x68), &by(None), Some(txid(0x69)));
        assert_eq!(said, "set back to 68, 69 set aside");
        assert_eq!(set_back(txid(0x68), &by(Some("later")), Some(txid(0x68))), "set back to 68");
    }
}

//! Who descends from us, as the system's process table has it.

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgrp};

/// A process that descends from us and is no helper of ours, such as one that a profile's `credential_process` names:
/// those stay in our process group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: Pid,
    pub(super) parent: Pid,
    pub(super) group: Pid,
    pub(super) name: String,
    pub(super) is_stopped: bool,
}

/// All of them, parents before their children; nothing where the table cannot be read, or is another container's.
pub(super) fn members() -> Option<Vec<Member>> {
    let us = Pid::this();
    if parse(&fs::read_to_string("/proc/self/stat").ok()?)?.pid != us {
        return None;
    }
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").ok()? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.parse::<u32>().is_ok()) {
            // Who cannot be read has ended meanwhile.
            let stat = fs::read_to_string(entry.path().join("stat")).ok();
            all.extend(stat.as_deref().and_then(parse));
        }
    }
    Some(below(us, getpgrp(), all))
}

fn below(us: Pid, our_group: Pid, mut all: Vec<Member>) -> Vec<Member> {
    let mut found: Vec<Member> = Vec::new();
    let mut parents = vec![us];
    while !parents.is_empty() {
        let (children, others) =
            all.into_iter().partition(|member| parents.contains(&member.parent));
        all = others;
        let children: Vec<Member> = children;
        parents = children.iter().map(|child| child.pid).collect();
        found.extend(children.into_iter().filter(|child| child.group != our_group));
    }
    found
}

/// `stat` of proc(5): the number, the name in parentheses, which may hold any character, the state, the parent, the
/// group. A zombie counts until it was waited for: others of its threads may still run.
fn parse(stat: &str) -> Option<Member> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let mut number = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    let (parent, group) = (number()?, number()?);
    let is_stopped = state == "T";
    let pid = Pid::from_raw(pid.parse().ok()?);
    Some(Member { pid, parent, group, name: name.to_owned(), is_stopped })
}

/// The first of each line of descent that handles a signal: it is the application, and what it started is its own
/// affair. A shell that only waits for it would end by the signal.
pub(super) fn handlers(members: &[Member], handles: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let mut handlers: Vec<Pid> = Vec::new();
    let mut covered: Vec<Pid> = Vec::new();
    for member in members {
        if covered.contains(&member.parent) {
            covered.push(member.pid);
        } else if handles(member.pid) {
            handlers.push(member.pid);
            covered.push(member.pid);
        }
    }
    handlers
}

/// Whether a process handles a signal itself.
pub(super) fn handles(pid: Pid, signal: Signal) -> bool {
    is_in_mask(&format!("/proc/{pid}/status"), "SigCgt:", signal)
}

/// Whether this process was begun with a signal ignored, as by `nohup`. To be asked before it is handled.
pub(crate) fn was_begun_ignoring(signal: Signal) -> bool {
    is_in_mask("/proc/self/status", "SigIgn:", signal)
}

fn is_in_mask(path: &str, mask: &str, signal: Signal) -> bool {
    let status = fs::read_to_string(path).unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix(mask));
    let mask = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: i32, parent: i32, group: i32) -> Member {
        let [pid, parent, group] = [pid, parent, group].map(Pid::from_raw);
        Member { pid, parent, group, name: "app".to_owned(), is_stopped: false }
    }

    fn pids(members: &[Member]) -> Vec<i32> {
        members.iter().map(|member| member.pid.as_raw()).collect()
    }

    #[test]
    fn a_process_may_have_any_name() {
        let parsed = parse("12 (a) (b c) S 3 4 4 0 -1").unwrap();
        assert_eq!(
            (parsed.pid.as_raw(), parsed.parent.as_raw(), parsed.group.as_raw()),
            (12, 3, 4)
        );
        assert_eq!(parsed.name, "a) (b c");
        assert!(parse("12 (held) T 3 4 4 0 -1").unwrap().is_stopped);
        for text in ["", "12", "12 (a)", "12 (a) S", "12 (a) S x y"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn descendants_are_found_wherever_they_went_and_helpers_are_none() {
        let all = vec![
            member(40, 30, 40),
            member(30, 20, 20),
            member(20, 10, 20),
            member(11, 10, 10),
            member(99, 1, 99),
            member(50, 10, 50),
        ];
        let found = below(Pid::from_raw(10), Pid::from_raw(10), all);
        assert_eq!(pids(&found), [20, 50, 30, 40]);
    }

    #[test]
    fn a_signal_goes_to_the_first_that_handles_it_in_each_line() {
        let members = [member(2, 1, 2), member(3, 2, 2), member(4, 3, 2), member(5, 1, 5)];
        let handle = |those: &'static [i32]| {
            let handlers = handlers(&members, |pid| those.contains(&pid.as_raw()));
            handlers.iter().map(|pid| pid.as_raw()).collect::<Vec<i32>>()
        };
        assert_eq!(handle(&[3, 4, 5]), [3, 5]);
        assert_eq!(handle(&[4]), [4]);
        assert_eq!(handle(&[]), [0; 0]);
    }
}

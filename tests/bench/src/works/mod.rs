//! The works, each of which can be run by itself.

mod bulk;
mod downtime;
mod encrypted;
mod growth;
mod idle;
mod large;
mod large_commits;
mod latency;
mod many;
mod moments;
mod reopen;
mod restore;
mod resync;
mod saturate;
mod steady;
mod tenants;
mod week;

use crate::Result;
use crate::results::Results;
use crate::rig::Rig;
use crate::tool::Tool;

/// A work.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it is done when no work is named.
    pub(crate) is_usual: bool,
    pub(crate) run: fn(&Rig, &[Tool], &mut Results) -> Result<()>,
}

const fn usual(
    name: &'static str,
    about: &'static str,
    run: fn(&Rig, &[Tool], &mut Results) -> Result<()>,
) -> Work {
    Work { name, about, is_usual: true, run }
}

const fn unusual(
    name: &'static str,
    about: &'static str,
    run: fn(&Rig, &[Tool], &mut Results) -> Result<()>,
) -> Work {
    Work { name, about, is_usual: false, run }
}

/// All of them.
pub(crate) const WORKS: &[Work] = &[
    usual("latency", "a commit now and then: how long until it is in the store", latency::run),
    usual(
        "saturate",
        "an application that never pauses, alone and beside each tool",
        saturate::run,
    ),
    usual(
        "large-commits",
        "an application that commits 1 MB at a time and never pauses, alone and beside each tool",
        large_commits::run,
    ),
    usual(
        "reopen",
        "an application that opens and closes the database for each commit, alone and beside each tool",
        reopen::run,
    ),
    usual("bulk", "400 MB in one transaction, until they are durable", bulk::run),
    usual("restore", "200 MB and 600 later commits, over a store 20 ms away", restore::run),
    usual(
        "large",
        "a restore of 2.1 GB against cp and fsync, from a directory and from MinIO",
        large::run,
    ),
    usual("steady", "200 commits a second", steady::run),
    usual("many", "300 databases, 30 of them with a commit a second", many::run),
    usual(
        "thousand",
        "1,000 databases, idle, then 50 of them with a commit a second",
        many::thousand,
    ),
    usual("idle", "one database that nobody writes: requests", idle::run),
    usual("moments", "restores to 12 moments at 20 commits a second", moments::run),
    usual(
        "downtime",
        "the application writes while the tool is down, in three ways",
        downtime::run,
    ),
    usual(
        "resync",
        "1 GB, of which one page in a hundred changed while the tool was down and the log went",
        resync::run,
    ),
    unusual(
        "week",
        "a week in five minutes by ebbtide and Litestream 0.5, whose intervals are as much shorter",
        week::run,
    ),
    unusual(
        "past",
        "ebbtide alone: a row, a table, a comparison and a search in a database of 10 GB with a day of history",
        crate::past::run,
    ),
    unusual(
        "encrypted",
        "ebbtide alone: latency, bulk, steady, restore and large, plain and encrypted",
        encrypted::run,
    ),
    unusual("sizes", "ebbtide alone: time and memory from 1 MB to 20 GB", growth::sizes),
    unusual(
        "numbers",
        "ebbtide alone: memory and CPU time from 1 to 1,000 databases",
        growth::numbers,
    ),
    unusual(
        "tenants",
        "ebbtide alone: 1 to 10,000 databases that one pattern names and nobody has open",
        tenants::run,
    ),
    unusual("history", "ebbtide alone: restores after 1 to 100,000 commits", growth::history),
];

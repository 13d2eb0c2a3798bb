//! What encryption costs: other works, by ebbtide plain and encrypted.

use super::{bulk, large, latency, restore, steady};
use crate::Result;
use crate::results::Results;
use crate::rig::Rig;
use crate::tool::{Kind, Tool};

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let plain = tools.iter().find(|tool| tool.kind == Kind::Ebbtide);
    let plain = plain.ok_or("this is about ebbtide")?;
    let keys = rig.case()?;
    let both = [plain.clone(), plain.encrypted(&keys.directory)?];
    // In turns, because an hour is not like the next one.
    for _ in 0..rig.repeat {
        latency::run(rig, &both, results)?;
    }
    for work in [bulk::run, steady::run, restore::run, large::run] {
        work(rig, &both, results)?;
    }
    Ok(())
}

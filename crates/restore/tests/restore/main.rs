//! Restores from replicas that are written by hand, against the states they were written from.

#[cfg(test)]
mod builder;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod deltas;
#[cfg(test)]
mod drills;
#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod growing;
#[cfg(test)]
mod leave;
#[cfg(test)]
mod many;
#[cfg(test)]
mod packs;
#[cfg(test)]
mod rampage;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod thinned;
#[cfg(test)]
mod thinned_times;
#[cfg(test)]
mod times;
#[cfg(test)]
mod verify;

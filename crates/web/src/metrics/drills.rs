//! The metrics of drills of a fleet, as a file for the textfile collector of Prometheus' node_exporter.
//!
//! The label `replica` is the address of a replica, so there are as many series as there are replicas.

use std::fmt;

use ebbtide_replica::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use super::exposition::{Exposition, Labels, bytes, plain, seconds};
use super::values::{count, flag, since_epoch};

/// A replica, and what drills of it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct DrilledReplica {
    /// Its address.
    pub address: String,
    /// When it was begun, if that could be read.
    pub created: Option<Timestamp>,
    /// The last drill that succeeded.
    pub proved: Option<ProvedReplica>,
    /// Whether the last of all drills failed, or none could begin.
    pub is_failed: bool,
}

/// A drill that succeeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProvedReplica {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many bytes it fetched.
    pub bytes_fetched: u64,
}

/// Drills of all replicas below an address.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetDrills {
    /// All replicas, those that were not drilled this time, too.
    pub replicas: Vec<DrilledReplica>,
    /// How many of them were left for the next time, because there was no time or nothing more was to be fetched.
    pub left: u64,
    /// When the last of the drills ended.
    pub ended: Timestamp,
}

impl FleetDrills {
    /// The metrics, in the text format of Prometheus.
    ///
    /// # Errors
    /// When they cannot be written as text, which would be a fault of ours.
    pub fn metrics(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }

    /// What a value of each replica is, if it has one.
    fn each<'a>(
        &'a self,
        value: impl Fn(&'a DrilledReplica) -> Option<f64> + 'a,
    ) -> impl Iterator<Item = (Labels, f64)> + 'a {
        let named = |it: &DrilledReplica| vec![("replica", it.address.clone())];
        self.replicas.iter().filter_map(move |it| Some((named(it), value(it)?)))
    }
}

impl Collector for FleetDrills {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Exposition::new(encoder);
        let one = |value: f64| std::iter::once((Labels::new(), value));
        let found = plain("ebbtide_fleet_replicas", "Replicas that were found below the address");
        to.gauges(found, one(count(self.replicas.len() as u64)))?;
        let left = "Replicas that were left for the next time";
        to.gauges(plain("ebbtide_fleet_drills_left", left), one(count(self.left)))?;
        let ended = "When the drills ended, since the epoch";
        to.gauges(seconds("ebbtide_fleet_drills_timestamp", ended), one(since_epoch(self.ended)))?;
        let created = "When the replica was begun, since the epoch";
        to.gauges(
            seconds("ebbtide_fleet_created_timestamp", created),
            self.each(|it| it.created.map(since_epoch)),
        )?;
        let proved = "When a drill last proved that the replica can be restored, since the epoch";
        to.gauges(
            seconds("ebbtide_fleet_proved_timestamp", proved),
            self.each(|it| Some(since_epoch(it.proved?.at))),
        )?;
        let took = seconds("ebbtide_fleet_drill_duration", "How long that drill took");
        to.gauges(took, self.each(|it| Some(it.proved?.seconds)))?;
        let fetched = bytes("ebbtide_fleet_drill_fetched", "Bytes that that drill fetched");
        to.gauges(fetched, self.each(|it| Some(count(it.proved?.bytes_fetched))))?;
        let failed = "1 if the last drill failed, or the replica cannot be read, else 0";
        to.gauges(
            plain("ebbtide_fleet_drill_failed", failed),
            self.each(|it| Some(flag(it.is_failed))),
        )
    }
}

//! Families of metrics, written as they are named.

use std::fmt;

use ebbtide_count::Distribution;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// Names with their values.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Where metrics are written to.
pub(super) struct Exposition<'a>(DescriptorEncoder<'a>);

/// What a metric is called. A name does not have its unit, nor `total`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) help: &'static str,
}

/// A metric without a unit.
pub(super) const fn plain(name: &'static str, help: &'static str) -> Family {
    Family { name, unit: None, help }
}

/// A metric in seconds.
pub(super) const fn seconds(name: &'static str, help: &'static str) -> Family {
    Family { name, unit: Some("seconds"), help }
}

/// A metric in bytes.
pub(super) const fn bytes(name: &'static str, help: &'static str) -> Family {
    Family { name, unit: Some("bytes"), help }
}

impl<'a> Exposition<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Exposition<'a> {
        Exposition(encoder)
    }

    /// Values that go up and down.
    pub(super) fn gauges(
        &mut self,
        family: Family,
        samples: impl Iterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        self.family(family, MetricType::Gauge, |encoder| {
            for (labels, value) in samples {
                labelled(encoder, &labels, |encoder| encoder.encode_gauge(&value))?;
            }
            Ok(())
        })
    }

    /// Values that only go up.
    pub(super) fn counters(
        &mut self,
        family: Family,
        samples: impl Iterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        self.family(family, MetricType::Counter, |encoder| {
            for (labels, value) in samples {
                labelled(encoder, &labels, |encoder| {
                    encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
                })?;
            }
            Ok(())
        })
    }

    /// How long things took.
    pub(super) fn histograms(
        &mut self,
        family: Family,
        samples: impl Iterator<Item = (Labels, Distribution)>,
    ) -> fmt::Result {
        self.family(family, MetricType::Histogram, |encoder| {
            for (labels, value) in samples {
                let buckets: Vec<(f64, u64)> = value
                    .counts
                    .iter()
                    .map(|(bound, count)| {
                        (bound.map_or(f64::INFINITY, |it| it.as_secs_f64()), *count)
                    })
                    .collect();
                let (sum, count) = (value.sum.as_secs_f64(), value.count());
                labelled(encoder, &labels, |encoder| {
                    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
                })?;
            }
            Ok(())
        })
    }

    fn family(
        &mut self,
        family: Family,
        metric_type: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let unit = family.unit.map(|unit| Unit::Other(unit.to_owned()));
        let Family { name, help, .. } = family;
        write(&mut self.0.encode_descriptor(name, help, unit.as_ref(), metric_type)?)
    }
}

fn labelled(
    encoder: &mut MetricEncoder<'_>,
    labels: &Labels,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match labels.is_empty() {
        true => write(encoder),
        false => write(&mut encoder.encode_family(labels)?),
    }
}

//! Metrics, read as Prometheus reads them: strictly.

use std::collections::BTreeMap;

/// All samples of an answer, by their names with labels as they are written.
#[derive(Debug)]
pub(crate) struct Samples {
    values: BTreeMap<String, f64>,
    /// The types of the families.
    pub(crate) types: BTreeMap<String, String>,
    /// What each family says of itself.
    pub(crate) help: BTreeMap<String, String>,
}

impl Samples {
    /// Of the text format, 0.0.4 or OpenMetrics.
    pub(crate) fn parse(text: &str) -> Samples {
        let mut samples =
            Samples { values: BTreeMap::new(), types: BTreeMap::new(), help: BTreeMap::new() };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(samples.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                samples.help.insert(name.to_owned(), help.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
                let value = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
                assert!(samples.values.insert(name.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        samples
    }

    /// The value of a sample, named as it is written: `name{label="value"}`.
    pub(crate) fn find(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// The same; it must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.values))
    }

    /// The sum of all samples whose names begin so and have all of these parts.
    pub(crate) fn sum(&self, begin: &str, parts: &[&str]) -> f64 {
        let is_meant = |name: &str| {
            let rest = name.strip_prefix(begin);
            let ends = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
            ends && parts.iter().all(|part| name.contains(part))
        };
        self.values.iter().filter(|(name, _)| is_meant(name)).map(|(_, value)| value).sum()
    }
}

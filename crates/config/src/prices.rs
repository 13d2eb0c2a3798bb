//! What a store costs, as far as a configuration or the table of this file says.

use serde::Deserialize;

use crate::key::{Key, KeyTable};
use crate::shown::number;

/// When the prices of [`Prices::default`] were listed.
pub const PRICES_AS_OF: &str = "2026-11";

/// A month, in which prices are given, in seconds.
pub const MONTH_SECONDS: f64 = 30.0 * 24.0 * 3600.0;

/// Of a budget, what is left to the puts of commits: packs, looks and deltas take the rest.
const SHARE_OF_PUTS: f64 = 0.9;

/// The prices, once: what is written of them, what holds, and what each means.
macro_rules! prices {
    ($($(#[doc = $line:literal])+ $key:ident;)*) => {
        /// Prices in US dollars.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct Prices {
            $($(#[doc = $line])+ pub $key: f64,)*
        }

        /// The table as it is written.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct PricesTable {
            $($key: Option<f64>,)*
        }

        /// The keys of `[prices]`.
        pub(crate) fn keys() -> Vec<Key> {
            let usual = Prices::default();
            vec![$(Key::new(stringify!($key), KeyTable::Prices, "0.0", &number(usual.$key), &[$($line),+]),)*]
        }
    };
}

prices! {
    /// A million requests that write or list, in US dollars.
    writes_per_million;
    /// A million requests that read.
    reads_per_million;
    /// A gigabyte (10^9 bytes) stored for a month.
    gigabyte_month;
    /// A gigabyte that is fetched to a place outside of the provider's region.
    gigabyte_fetched;
}

/// Those of S3's standard class in us-east-1, which others are near to or below. It gives an idea, and is no bill.
impl Default for Prices {
    fn default() -> Prices {
        Prices {
            writes_per_million: 5.0,
            reads_per_million: 0.4,
            gigabyte_month: 0.023,
            gigabyte_fetched: 0.09,
        }
    }
}

impl PricesTable {
    /// The prices, each of which may be 0.
    pub(crate) fn check(&self) -> Result<Prices, String> {
        let usual = Prices::default();
        let price = |key: &str, written: Option<f64>, usual: f64| match written {
            None => Ok(usual),
            Some(price) if price.is_finite() && price >= 0.0 => Ok(price),
            Some(price) => Err(format!("[prices] {key} = {price} must be 0 or more")),
        };
        Ok(Prices {
            writes_per_million: price(
                "writes-per-million",
                self.writes_per_million,
                usual.writes_per_million,
            )?,
            reads_per_million: price(
                "reads-per-million",
                self.reads_per_million,
                usual.reads_per_million,
            )?,
            gigabyte_month: price("gigabyte-month", self.gigabyte_month, usual.gigabyte_month)?,
            gigabyte_fetched: price(
                "gigabyte-fetched",
                self.gigabyte_fetched,
                usual.gigabyte_fetched,
            )?,
        })
    }
}

impl Prices {
    /// So many requests.
    #[must_use]
    pub fn requests(&self, writes: f64, reads: f64) -> f64 {
        (writes * self.writes_per_million + reads * self.reads_per_million) / 1e6
    }

    /// So many bytes, stored for a month.
    #[must_use]
    pub fn stored(&self, bytes: f64) -> f64 {
        bytes / 1e9 * self.gigabyte_month
    }

    /// So many bytes, fetched.
    #[must_use]
    pub fn fetched(&self, bytes: f64) -> f64 {
        bytes / 1e9 * self.gigabyte_fetched
    }

    /// How many puts a second a budget in dollars a month pays for.
    pub(crate) fn puts_per_second(&self, budget: f64) -> f64 {
        budget * SHARE_OF_PUTS / self.writes_per_million * 1e6 / MONTH_SECONDS
    }
}

/// A budget as it is written: "5 USD/month".
pub(crate) fn budget(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix("USD/month").map(str::trim_end);
    let dollars = number.and_then(|number| number.parse::<f64>().ok());
    let valid = dollars.filter(|dollars| dollars.is_finite() && *dollars > 0.0);
    valid.ok_or_else(|| format!("budget = \"{text}\" is none: write for example \"5 USD/month\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_dollars_a_month() {
        assert_eq!(budget("5 USD/month"), Ok(5.0));
        assert_eq!(budget("0.50USD/month"), Ok(0.5));
        for wrong in
            ["5", "5 EUR/month", "0 USD/month", "-1 USD/month", "NaN USD/month", "USD/month"]
        {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_budget_pays_for_costs_no_more_than_it() {
        let prices = Prices::default();
        let puts = prices.puts_per_second(5.0) * MONTH_SECONDS;
        assert!((prices.requests(puts, 0.0) - 4.5).abs() < 1e-9);
        assert!((prices.stored(2e9) - 0.046).abs() < 1e-9);
    }
}

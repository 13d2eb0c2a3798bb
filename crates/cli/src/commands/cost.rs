//! `ebbtide cost`: what a month costs, by what is stored, what may be put, and what a running process has measured.

mod estimate;
mod float;
mod forecast;

use std::collections::HashMap;
use std::path::Path;

use ebbtide_config::{Config, Database, PRICES_AS_OF, Prices};
use ebbtide_sidecar::control::Report;
use ebbtide_sidecar::present;
use serde_json::{Value, json};

use self::estimate::{Estimate, Measured, Stored};
use self::forecast::Forecast;
use super::status::gather;
use crate::args::Cost;
use crate::escape::OneLine;
use crate::exit::{Code, Failure, Outcome};
use crate::{output, terminal};

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong, or a store does not answer.
pub(crate) async fn run(args: Cost) -> Result<Outcome, Failure> {
    let config = Config::read(&args.config)?;
    let databases = match &args.database {
        Some(path) => vec![named(&config, path)?],
        None => all(&config),
    };
    let (reports, _) = gather();
    let reports: HashMap<&str, &Report> =
        reports.iter().map(|report| (report.database.as_str(), report)).collect();
    if !args.json {
        print_prices(&config.prices);
    }
    let mut total = 0.0;
    for database in &databases {
        let path = std::path::absolute(&database.path).unwrap_or_else(|_| database.path.clone());
        let report = reports.get(&*path.to_string_lossy()).copied();
        let estimate = Estimate::of(database, report, &config.prices).await;
        let estimate = estimate.map_err(|error| Failure::new(Code::Failed, error))?;
        total += estimate.dollars();
        if args.json {
            output::json(as_json(database, &estimate));
        } else {
            print(database, &estimate);
        }
    }
    if !args.json && databases.len() > 1 {
        output::line(format_args!("together {} a month", money(total)));
    }
    Ok(Outcome::Done)
}

fn named(config: &Config, path: &Path) -> Result<Database, Failure> {
    let usage = |why| Failure::new(Code::Usage, why);
    let unknown = || usage(format!("{} is no database of the configuration", path.display()));
    config.database(path).map_err(usage)?.ok_or_else(unknown)
}

/// Those that are named one by one, and those that patterns name now.
fn all(config: &Config) -> Vec<Database> {
    let mut all = config.databases.clone();
    for pattern in &config.patterns {
        for database in present(pattern).databases.into_iter().flatten() {
            let is_known = all.iter().any(|known| known.location == database.location);
            if !is_known {
                all.push(database);
            }
        }
    }
    all
}

fn print_prices(prices: &Prices) {
    let whose = if *prices == Prices::default() { PRICES_AS_OF } else { "the configuration" };
    output::line(format_args!(
        "prices of {whose}: ${} a million writes, ${} a million reads, ${} a GB stored for a month, ${} a GB fetched",
        prices.writes_per_million,
        prices.reads_per_million,
        prices.gigabyte_month,
        prices.gigabyte_fetched
    ));
}

fn print(database: &Database, estimate: &Estimate) {
    output::line(OneLine(format!("{} into {}", database.path.display(), database.location)));
    let row = |what: &str, dollars: f64, words: String| {
        output::line(format_args!("  {what:<12} {:>9} a month   {words}", money(dollars)));
    };
    let Estimate { stored, puts_most, puts_dollars, drill_bytes, drill_dollars, measured, .. } =
        estimate;
    let Stored { objects, bytes, dollars } = stored;
    let count = terminal::number_of(*objects, "object");
    row("stored now", *dollars, format!("{count}, {}", terminal::bytes(*bytes)));
    match &estimate.forecast {
        Some(forecast) => row("stored later", estimate.forecast_dollars, foreseen(forecast)),
        None => output::line(
            "  stored later         -             too young to tell: look again in an hour",
        ),
    }
    let why = match database.budget {
        Some(budget) => format!("budget = \"{budget} USD/month\""),
        None => format!("puts-per-second = {}", database.puts.per_second),
    };
    row(
        "puts at most",
        *puts_dollars,
        format!("{puts_most:.0} puts, if it is always written: {why}"),
    );
    if *drill_bytes > 0 {
        row("drills", *drill_dollars, format!("{} are fetched", terminal::bytes(*drill_bytes)));
    }
    match measured {
        Some(Measured { seconds, writes, reads, sent_bytes, dollars, .. }) => row(
            "measured",
            *dollars,
            format!(
                "at the rate of the last {seconds:.0} s, in which there were {writes} writes, {reads} reads and {} sent",
                terminal::bytes(*sent_bytes)
            ),
        ),
        None => output::line("  measured             -             nobody follows it now"),
    }
}

/// What will be stored, and why.
fn foreseen(forecast: &Forecast) -> String {
    let Forecast { days_measured, bytes_a_day, bytes, days } = forecast;
    let rate = format!(
        "{} a day, as in the last {}",
        terminal::bytes(*bytes_a_day),
        if *days_measured < 2.0 {
            format!("{:.0} hours", days_measured * 24.0)
        } else {
            format!("{days_measured:.0} days")
        }
    );
    match bytes {
        Some(bytes) => format!(
            "{} once `keep` has thinned for {days:.0} days; {rate}",
            terminal::bytes(*bytes)
        ),
        None => format!("more with each day that passes, for ever: {rate}"),
    }
}

fn as_json(database: &Database, estimate: &Estimate) -> Value {
    let measured = estimate.measured.as_ref().map(|measured| {
        json!({
            "seconds": measured.seconds,
            "writes": measured.writes,
            "reads": measured.reads,
            "sent_bytes": measured.sent_bytes,
            "received_bytes": measured.received_bytes,
            "dollars": measured.dollars,
        })
    });
    json!({
        "database": database.path.to_string_lossy(),
        "replica": database.location.to_string(),
        "prices_as_of": PRICES_AS_OF,
        "stored_objects": estimate.stored.objects,
        "stored_bytes": estimate.stored.bytes,
        "stored_dollars": estimate.stored.dollars,
        "forecast": estimate.forecast.map(|forecast| json!({
            "days_measured": forecast.days_measured,
            "bytes_a_day": forecast.bytes_a_day,
            "bytes": forecast.bytes,
            "dollars": estimate.forecast_dollars,
        })),
        "puts_most": estimate.puts_most,
        "puts_most_dollars": estimate.puts_dollars,
        "drill_bytes": estimate.drill_bytes,
        "drill_dollars": estimate.drill_dollars,
        "measured": measured,
        "dollars": estimate.dollars(),
    })
}

/// With cents, and a word where there are none.
fn money(dollars: f64) -> String {
    if dollars > 0.0 && dollars < 0.005 { "<$0.01".to_owned() } else { format!("${dollars:.2}") }
}

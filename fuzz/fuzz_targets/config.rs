//! Any text as a configuration: it is read or refused, and what was read can be written and read again.

#![no_main]

use std::time::Duration;

use ebbtide_config::{Config, Database};
use ebbtide_store::Location;
use libfuzzer_sys::fuzz_target;
use toml::{Table, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(text) {
        Ok(config) => {
            config.databases.iter().for_each(check);
            let written = write(&config).to_string();
            assert_eq!(Config::parse(&written).expect("what was written is read"), config);
        }
        // It shows the line and points at the place in it.
        Err(why) => assert!(!why.is_empty() && why.len() <= 8 * text.len() + 1000, "{why}"),
    }
});

/// What everybody who is given a database relies on.
fn check(database: &Database) {
    let address = database.location.to_string();
    assert_eq!(
        address.parse::<Location>().expect("an address that was printed"),
        database.location
    );
    assert!(database.puts.per_second > 0.0 && database.puts.per_second.is_finite());
    assert!(database.puts.burst >= 1.0 && database.puts.burst.is_finite());
    assert!(database.snapshot_interval.is_none_or(|it| it >= Duration::from_secs(60)));
    assert!(database.log_bytes_max >= 16 << 20 && database.checkpoint_frames >= 10);
    assert!(database.waiting_bytes_max() >= database.log_bytes_max.max(database.spool_bytes_max));
}

/// A configuration with every key.
fn write(config: &Config) -> Table {
    let databases = config.databases.iter().map(|database| Value::Table(entry(database)));
    let mut file = Table::new();
    file.insert("database".to_owned(), Value::Array(databases.collect()));
    file.insert("shutdown-timeout".to_owned(), span(config.shutdown_timeout));
    file
}

fn entry(database: &Database) -> Table {
    // A dollar sign would begin a variable.
    let escaped = |text: &str| Value::from(text.replace('$', "$$"));
    let text = |text: &std::path::Path| escaped(text.to_str().expect("it was read as text"));
    let size = |bytes: u64| Value::from(bytes.to_string());
    let mut entry = Table::new();
    let mut add = |key: &str, value| entry.insert(key.to_owned(), value);
    add("path", text(&database.path));
    add("replica", escaped(&database.location.to_string()));
    add("puts-per-second", Value::from(database.puts.per_second));
    add("puts-burst", Value::from(database.puts.burst));
    if let Some(interval) = database.snapshot_interval {
        add("snapshot-interval", span(interval));
    }
    add("log-max", size(database.log_bytes_max));
    add("spool-max", size(database.spool_bytes_max));
    add("checkpoint-frames", Value::from(database.checkpoint_frames));
    add("enable-wal", Value::from(database.enable_wal));
    if let Some(state) = &database.state {
        add("state", text(state));
    }
    entry
}

fn span(duration: Duration) -> Value {
    Value::from(format!("{}s {}ns", duration.as_secs(), duration.subsec_nanos()))
}

//! What people see on a terminal: `status` and `log` in columns that fit, what needs somebody first, times that say their zone.
//! Would catch a line that breaks, a colour in a pipe, and a newest commit that has to be looked for.

use std::process::Command;

use crate::support::{Ended, Setup};

/// A command on a terminal that is so wide, without colours.
fn shown(setup: &Setup, columns: u32, args: &[&str]) -> Ended {
    on_terminal(setup, columns, args, "1")
}

fn on_terminal(setup: &Setup, columns: u32, args: &[&str], no_color: &str) -> Ended {
    let run = setup.command(args);
    let words = std::iter::once(run.get_program()).chain(run.get_args());
    let words: Vec<String> =
        words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"))).collect();
    let mut script = Command::new("script");
    crate::support::by_itself_in(&mut script);
    let mut script = setup.equip(script);
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    script.env("COLUMNS", columns.to_string()).env("TERM", "xterm").env("TZ", "Asia/Kathmandu");
    script.env("NO_COLOR", no_color).stdin(std::process::Stdio::null());
    Ended::of(&mut script)
}

fn lines(ended: &Ended) -> Vec<&str> {
    ended.out.lines().map(str::trim_end).collect()
}

#[test]
fn a_status_fits_the_terminal_and_says_what_needs_attention() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    app.insert(1, 700);
    setup.sync();
    for columns in [80, 100, 200] {
        let status = shown(&setup, columns, &["status"]).exits(0);
        let lines = lines(&status);
        assert!(lines[0].starts_with("   DATABASE"), "{}", status.out);
        assert!(lines[1].starts_with(" ✓ "), "{}", status.out);
        assert!(lines[1].contains("app.db  following") && lines[1].contains(" · "), "{}", lines[1]);
        let table = &lines[..2];
        let is_cut = |line: &&str| line.chars().count() <= usize::try_from(columns).unwrap();
        assert!(table.iter().all(is_cut), "{columns}: {}", status.out);
        assert_eq!(lines[0].contains("REPLICA"), columns >= 140, "{}", lines[0]);
        let last = lines.last().unwrap();
        assert_eq!(
            *last,
            "1 database, nothing needs attention · times in Asia/Kathmandu (UTC+05:45)"
        );
    }
    let utc = shown(&setup, 100, &["status", "--utc"]).exits(0);
    assert!(utc.out.trim_end().ends_with("· times in UTC"), "{}", utc.out);
    let config = setup.configure("", "");
    let more = format!(
        "{}\n[[database]]\npath = \"gone.db\"\nreplica = \"gone\"\n",
        std::fs::read_to_string(&config).unwrap()
    );
    std::fs::write(&config, more).unwrap();
    let two = shown(&setup, 100, &["status", "--config", &config]).exits(1);
    let lines = lines(&two);
    assert!(lines[1].starts_with(" ✗ ") && lines[1].contains("gone.db"), "{}", two.out);
    two.prints("2 databases, 1 needs attention");
    // Colours are for terminals, and for people who want them.
    assert!(on_terminal(&setup, 100, &["status"], "").out.contains("\u{1b}[32m✓"));
    assert!(!setup.run(&["status"]).out.contains(['\u{1b}', '✓']));
    setup.run(&["status", "--watch"]).exits(2).says("--watch needs a terminal");
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_log_begins_with_the_newest_and_ends_with_the_next_command() {
    let (setup, app) = Setup::with_rows(3);
    setup.once().exits(0);
    let sidecar = setup.follow();
    for _ in 0..30 {
        app.insert(1, 700);
    }
    setup.sync();
    assert_eq!(sidecar.stop(), 0);
    app.insert(2, 700);
    app.checkpoint("TRUNCATE");
    setup.once().exits(0);
    setup.run(&["mark", "before-lunch", &setup.replica]).exits(0);
    let head = setup.history().head().unwrap();
    let log = shown(&setup, 100, &["log", &setup.replica]).exits(0);
    let rows = lines(&log);
    assert_eq!(rows[0], setup.replica);
    assert!(rows[1].contains(" states from ") && rows[1].contains("gap"), "{}", rows[1]);
    assert!(rows[2].starts_with("times in Asia/Kathmandu (UTC+05:45); newest first; 20 of"));
    assert!(rows[4].trim_start().starts_with("TXID"), "{}", log.out);
    assert!(rows[5].trim_start().starts_with(&format!("{:x}  ", head.get())), "{}", rows[5]);
    assert!(rows[5].contains("◆ before-lunch"), "{}", rows[5]);
    log.prints("of history missed: nobody followed the database");
    assert!(!log.out.contains("by process"), "{}", log.out);
    assert!(rows[4..25].iter().all(|row| row.chars().count() <= 100), "{}", log.out);
    let last = rows.last().unwrap();
    let command = format!("ebbtide restore -o copy.db --txid {:x} {}", head.get(), setup.replica);
    assert_eq!(*last, format!("restore one:  {command}"));
    let all = shown(&setup, 100, &["log", "--all", &setup.replica]).exits(0);
    all.prints("by process ").prints("newest first\n".trim_end());
    let three = shown(&setup, 100, &["log", "-n", "3", &setup.replica]).exits(0);
    three.prints("; 3 of ");
}

#[test]
fn a_log_in_a_pipe_has_the_newest_if_that_is_asked_for() {
    let (setup, app) = Setup::with_rows(3);
    setup.once().exits(0);
    for _ in 0..3 {
        app.insert(1, 700);
        setup.once().exits(0);
    }
    let all = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    let entries = |lines: &[serde_json::Value]| -> Vec<String> {
        let entries = lines.iter().filter(|line| line["digest"].is_string());
        entries.map(|line| line["txid"].as_str().unwrap().to_owned()).collect()
    };
    let newest = setup.run(&["log", "--json", "-n", "2", &setup.replica]).exits(0).json_lines();
    assert_eq!(entries(&newest), entries(&all)[entries(&all).len() - 2..]);
    let since = format!("txid:{}", entries(&newest)[0].trim_start_matches('0'));
    let from = setup.run(&["log", "--json", "--since", &since, &setup.replica]).exits(0);
    assert_eq!(entries(&from.json_lines()), entries(&newest));
    let text = setup.run(&["log", "-n", "1", &setup.replica]).exits(0);
    assert_eq!(text.out.lines().filter(|line| line.starts_with("00000")).count(), 1);
}

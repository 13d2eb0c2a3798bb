//! A history of which the policy kept a part, as the command shows it. Would catch a restore that takes another state than
//! the one that was asked for without being told to.

use std::fs;

use ebbtide_replica::Key;
use ebbtide_store::Store as _;
use ebbtide_testkit::builder::{Builder, SECOND, micros, txid};
use ebbtide_testkit::horizons::{Says, put_horizon};

use crate::support::Setup;

/// Entries 3 to 12, a second apart; before 10 only 5 and 9 are kept, and nothing else is there but the claim.
async fn history() -> Builder {
    let mut builder = Builder::started(512, 2).await;
    for number in 3..=12 {
        builder.wait(SECOND);
        builder.commit(&[(0, number)], 2);
        builder.snapshot().await;
        builder.cut().await;
    }
    let path = |number: u64| (number, vec![Key::Snapshot(txid(number))]);
    let (states, condemned, held) = (vec![path(5), path(9)], Vec::new(), Vec::new());
    put_horizon(&builder, 0, Says { number: 1, window: 10, states, condemned, held }).await;
    for number in 2..=9 {
        builder.store.delete(&Key::Log(txid(number))).await.unwrap();
        if ![5, 9].contains(&number) {
            builder.store.delete(&Key::Snapshot(txid(number))).await.unwrap();
        }
    }
    builder
}

/// Such a history as the replica of a setup.
pub(crate) fn setup() -> (Setup, Builder) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (setup, builder) = (Setup::new(), runtime.block_on(history()));
    setup.write(&builder);
    (setup, builder)
}

#[test]
fn h22_a_state_that_is_not_kept_is_refused_with_the_commands_for_both_neighbours() {
    let (setup, builder) = setup();
    let out = setup.text("out.db");
    let time = micros(builder.state(7).time.as_micros() + 1).to_string();
    for args in [["--timestamp", &time], ["--txid", "7"]] {
        let restore = |more: &[&str]| {
            setup.run(
                &[&["restore", "--json", "-o", &out, &setup.replica][..], &args, more].concat(),
            )
        };
        let refused = restore(&[]).exits(3);
        let command = |number: u64, side: &str| {
            let time = builder.state(number).time;
            let (out, replica) = (&out, &setup.replica);
            format!("{side} it: ebbtide restore -o {out} --txid {number:x} {replica} (of {time})")
        };
        refused.says(&command(5, "before")).says(&command(9, "after"));
        assert!(!fs::exists(&out).unwrap());
        for (side, number) in [("before", 5), ("after", 9)] {
            let restored = restore(&["--nearest", side]).exits(0);
            restored.says("no longer kept");
            assert_eq!(restored.json()["txid"], txid(number).to_string());
            assert_eq!(fs::read(&out).unwrap(), builder.state(number).image());
            fs::remove_file(&out).unwrap();
        }
    }
}

/// Would catch an empty list that is taken for an answer.
#[test]
fn a_log_that_would_end_before_it_begins_is_refused() {
    let (setup, _) = setup();
    let log =
        |from: &str, to: &str| setup.run(&["log", "--from", from, "--to", to, &setup.replica]);
    for (from, to) in [("now", "1h ago"), ("txid:c", "txid:a"), ("2026-11-21", "2026-11-20")] {
        log(from, to).exits(2).says("give the earlier one as --from");
    }
    log("txid:a", "txid:c").exits(0).prints("000000000000000b");
    log("1h ago", "now").exits(0);
    log("now", "now").exits(0);
}

#[test]
fn h22_a_side_is_taken_only_where_there_is_none_to_be_had() {
    let (setup, builder) = setup();
    let out = setup.text("out.db");
    let restore = |args: &[&str]| {
        setup.run(&[&["restore", "--json", "-o", &out, &setup.replica][..], args].concat())
    };
    // It is kept.
    let restored = restore(&["--txid", "b", "--nearest", "before"]).exits(0);
    assert_eq!(restored.json()["txid"], txid(11).to_string());
    fs::remove_file(&out).unwrap();
    // Nothing is kept before it.
    let refused = restore(&["--txid", "3", "--nearest", "before"]).exits(3);
    refused.says("after it: ");
    let dry = restore(&["--txid", "3", "--nearest", "after", "--dry-run"]).exits(0);
    assert_eq!(dry.json()["txid"], txid(5).to_string());
    let early = micros(builder.state(3).time.as_micros()).to_string();
    let restored = restore(&["--timestamp", &early, "--nearest", "after"]).exits(0);
    assert_eq!(restored.json()["txid"], txid(5).to_string());
    fs::remove_file(&out).unwrap();
    // What there never was has no neighbours that are meant.
    restore(&["--txid", "ff", "--nearest", "before"]).exits(3).says("there is no txid");
}

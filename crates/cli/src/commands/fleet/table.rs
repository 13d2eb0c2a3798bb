//! The fleet as a table: a line for each replica, and lines below it for what needs attention.

use std::fmt::Write as _;

use ebbtide_fleet::{Member, Newest};
use ebbtide_replica::Timestamp;
use ebbtide_time::ago;

use crate::commands::tally;
use crate::escape::OneLine;
use crate::screen::cut_front;
use crate::terminal;

/// Names are cut to what is left of the line, but never to less.
const NAME_MIN: usize = 20;

/// What stands in the columns after the name.
struct Row {
    mark: &'static str,
    name: String,
    host: String,
    txid: String,
    newest: String,
    since: String,
    size: String,
    remarks: Vec<String>,
}

/// The table, for a terminal of so many columns; for a pipe nothing is cut.
pub(super) fn table(members: &[Member], now: Timestamp, columns: Option<usize>) -> String {
    let rows: Vec<Row> = members.iter().map(|member| row(member, now)).collect();
    let widest = |of: fn(&Row) -> &str, title: &str| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let [host, txid, newest] = [
        widest(|row| &row.host, "HOST"),
        widest(|row| &row.txid, "TXID"),
        widest(|row| &row.newest, "NEWEST"),
    ];
    let [since, size] = [widest(|row| &row.since, "KEPT SINCE"), widest(|row| &row.size, "SIZE")];
    let others = 2 + host + txid + newest + since + size + 5 * 2;
    let name = widest(|row| &row.name, "REPLICA");
    let name =
        columns.map_or(name, |columns| name.min(columns.saturating_sub(others).max(NAME_MIN)));
    let mut text = String::new();
    let mut line = |cells: [&str; 7]| {
        let [mark, called, host_of, txid_of, newest_of, since_of, size_of] = cells;
        let called =
            if called.starts_with(' ') { called.to_owned() } else { cut_front(called, name) };
        let row = format!(
            "{mark} {called:<name$}  {host_of:<host$}  {txid_of:>txid$}  {newest_of:>newest$}  {since_of:<since$}  {size_of:>size$}"
        );
        writeln!(text, "{}", OneLine(row.trim_end())).unwrap_or_default();
    };
    line([" ", "REPLICA", "HOST", "TXID", "NEWEST", "KEPT SINCE", "SIZE"]);
    for row in &rows {
        line([row.mark, &row.name, &row.host, &row.txid, &row.newest, &row.since, &row.size]);
        row.remarks
            .iter()
            .for_each(|remark| line(["  ", &format!("  {remark}"), "", "", "", "", ""]));
    }
    text
}

fn row(member: &Member, now: Timestamp) -> Row {
    let mark = if member.needs_attention(now) { "!" } else { " " };
    let name = member.name.clone();
    let mut remarks = member.complaints(now);
    let summary = match &member.summary {
        Ok(summary) => summary,
        Err(_) => {
            let [host, txid, newest, since, size] = ["-"; 5].map(str::to_owned);
            return Row { mark, name, host, txid, newest, since, size, remarks };
        }
    };
    let txid = match summary.newest {
        Newest::Entry(point) => format!("{:x}", point.txid.get()),
        Newest::AtLeast(txid) => format!("≥{:x}", txid.get()),
        Newest::None => "-".to_owned(),
    };
    let dash = || "-".to_owned();
    let counted = summary.counted().filter(|tally| tally.gaps + tally.forks > 0);
    remarks.extend(counted.map(|tally| tally::text(&tally)));
    Row {
        mark,
        name,
        host: summary.origin.host.clone().unwrap_or_else(dash),
        txid,
        newest: summary.silence.map_or_else(dash, |silence| ago(silence.since, now)),
        since: summary.kept_since().map_or_else(dash, day),
        size: terminal::bytes(summary.bytes),
        remarks,
    }
}

fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

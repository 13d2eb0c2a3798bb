//! The accident, as the history has it.

use serde_json::Value;

/// The txid of the transaction that deleted orders, in what `log --json --tables` says.
pub(super) fn deletion(log: &str) -> Option<String> {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let has_deleted = |line: &Value| {
        let tables = line["changed"]["tables"].as_array().into_iter().flatten();
        let mut deleted = tables.filter(|table| table["table"] == "orders");
        deleted.any(|table| table["deleted"].as_u64() > Some(0))
    };
    let found = lines.rfind(has_deleted)?;
    Some(found["txid"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accident_is_the_last_deletion() {
        let line = |txid: &str, deleted: u32| {
            let table = format!("{{\"table\":\"orders\",\"deleted\":{deleted}}}");
            format!("{{\"txid\":\"{txid}\",\"changed\":{{\"tables\":[{table}]}}}}\n")
        };
        let log = [line("1", 0), line("2", 3), line("3", 0)].concat();
        assert_eq!(deletion(&log).as_deref(), Some("2"));
        assert_eq!(deletion("{\"txid\":\"1\"}\nno json"), None);
    }
}

//! All keys of a configuration.

use crate::key::Key;
use crate::{file, prices, settings};

/// All keys, in the order of the documentation.
#[must_use]
pub fn keys() -> Vec<Key> {
    let mut keys = file::keys();
    keys.extend(prices::keys());
    keys.extend(settings::keys());
    keys
}

/// How the key of this name is written, and what it means.
pub(crate) fn explained(name: &str) -> Option<String> {
    keys().iter().find(|key| key.name == name).map(Key::explained)
}

/// Whether the key of this name is one of the whole process.
pub(crate) fn is_of_the_process(name: &str) -> bool {
    file::keys().iter().any(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::key::KeyTable;

    /// Would catch an example that its reader cannot use.
    #[test]
    fn each_example_is_accepted() {
        for key in keys() {
            let line = format!("{} = {}", key.name, key.example);
            let also = match key.name.as_str() {
                "listen-token-file" => "listen = \"0.0.0.0:9094\"",
                "heartbeat-interval" => "heartbeat-url = \"https://example.com\"",
                "webhook-secret-file" => "webhook-url = \"https://example.com\"",
                "drill-file" | "drill-directory" => "drill = \"1d\"",
                _ => "",
            };
            let needed = [("path", "\"/data/app.db\""), ("replica", "\"/backup/app\"")];
            let needed = needed.iter().filter(|(name, _)| *name != key.name);
            let database: String =
                needed.map(|(name, value)| format!("{name} = {value}\n")).collect();
            let text = match key.table {
                KeyTable::Process => format!("{line}\n{also}\n[[database]]\n{database}"),
                KeyTable::Prices => format!("[prices]\n{line}\n[[database]]\n{database}"),
                _ => format!("[[database]]\n{database}{line}\n{also}\n"),
            };
            Config::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn a_slip_of_the_table_is_told_where_it_belongs() {
        let database = "[[database]]\npath = \"a.db\"\nreplica = \"b\"\n";
        let said = |text: &str| Config::parse(text).unwrap_err();
        let below = said(&format!("{database}listen = \"127.0.0.1:9094\"\n"));
        assert!(below.ends_with("it belongs above the first [table]"), "{below}");
        let single = said(&database.replace("[[", "[").replace("]]", "]"));
        assert!(
            single.ends_with("write [[database]], in double brackets: there may be many"),
            "{single}"
        );
        let empty = said(&database.replace("a.db", ""));
        assert_eq!(empty, "the [[database]] of line 1 has an empty path");
        let value = said(&format!("{database}log-max = \"7 wombats\"\n"));
        assert!(value.starts_with("[[database]] a.db: line 4: log-max = "), "{value}");
        let default = said(&format!("[defaults]\nspool-max = \"x\"\n{database}"));
        assert!(default.starts_with("[defaults] line 2: spool-max = "), "{default}");
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_how_it_is_written() {
        let with = |line: &str| Config::parse(&format!("[[database]]\n{line}\n")).unwrap_err();
        let said = with("log-max = 5");
        assert!(said.ends_with("write for example log-max = \"256 MiB\": How long the log may get while it waits for the \
             store; at least 16 MiB. Then the spool takes what comes"), "{said}");
        let said = with("replica = [\"a\", \"b\"]");
        assert!(said.contains("write for example replica = \"s3://backups/{name}\""), "{said}");
        let said = with("retention = \"72h\"");
        assert!(said.ends_with("in place of retention: keep says which history is kept"), "{said}");
    }

    #[test]
    fn every_key_says_what_it_means_and_what_holds_without_it() {
        let keys = keys();
        assert!(keys.len() > 20, "{} keys", keys.len());
        for key in &keys {
            assert!(key.means.len() > 10 && !key.without.is_empty(), "{key:?}");
            assert!(!key.means.ends_with('.') && !key.means.contains('|'), "{key:?}");
            assert!(!key.explained().contains("]("), "{}", key.explained());
        }
        assert_eq!(keys.iter().filter(|key| key.table == KeyTable::Database).count(), 2);
    }
}

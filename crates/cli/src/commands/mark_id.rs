//! What tells marks of one name apart.

use std::fmt;
use std::str::FromStr;

use ebbtide_replica::{Key, Mark};

/// `<txid>-<random>`, as in the name of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MarkId(Key);

impl MarkId {
    pub(super) fn of(mark: &Mark) -> MarkId {
        MarkId(mark.key())
    }

    /// That of the object with this name, if it is a mark's.
    pub(super) fn of_key(key: Key) -> Option<MarkId> {
        matches!(key, Key::Mark { .. }).then_some(MarkId(key))
    }

    /// The name of the object.
    pub(super) fn key(self) -> Key {
        self.0
    }
}

impl fmt::Display for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.to_string();
        f.write_str(name.trim_start_matches("mark/").trim_end_matches(".seg"))
    }
}

impl FromStr for MarkId {
    type Err = ();

    fn from_str(text: &str) -> Result<MarkId, ()> {
        Key::parse(text)
            .or_else(|| Key::parse(&format!("mark/{text}.seg")))
            .and_then(MarkId::of_key)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_mark_is_read_with_and_without_its_directory() {
        let text = "000000000000002a-00112233445566ff";
        let id: MarkId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("mark/{text}.seg").parse(), Ok(id));
        for other in ["", "before-migration", "2a-1", "log/000000000000002a.seg", "../x"] {
            assert_eq!(other.parse::<MarkId>(), Err(()), "{other}");
        }
    }
}

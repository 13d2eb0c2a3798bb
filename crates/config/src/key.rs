//! A key of a configuration, with what it means. Each stands where it is read: `docs/reference/configuration.md` is made of
//! them, and messages about a key say what it means in these words.

/// A key, as it may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub table: KeyTable,
    /// A value as it may be written, in TOML.
    pub example: &'static str,
    /// What holds without it, in Markdown.
    pub without: String,
    /// What it means, in Markdown, without a full stop.
    pub means: String,
}

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyTable {
    /// Above all tables.
    Process,
    /// In `[prices]`.
    Prices,
    /// In a `[[database]]` alone.
    Database,
    /// In a `[[database]]`, and in `[defaults]` for all that do not say otherwise.
    Defaults,
}

impl Key {
    /// A key as a macro has it: the name with underscores, and the lines of its documentation.
    pub(crate) fn new(
        field: &str,
        table: KeyTable,
        example: &'static str,
        without: &str,
        lines: &[&str],
    ) -> Key {
        let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        Key {
            name: field.replace('_', "-"),
            table,
            example,
            without: without.to_owned(),
            means: lines.join(" ").trim_end_matches('.').to_owned(),
        }
    }

    /// The key with a value and its meaning, for a message, in which no link leads anywhere.
    pub(crate) fn explained(&self) -> String {
        let begin = ["; see [", ". See ["].iter().filter_map(|link| self.means.find(link)).min();
        let means = self.means[..begin.unwrap_or(self.means.len())].replace('`', "");
        format!("write for example {} = {}: {means}", self.name, self.example)
    }
}

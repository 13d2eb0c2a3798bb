//! What was probably meant where a configuration cannot be read.

use crate::elsewhere::here;
use crate::keys::{explained, is_of_the_process};

/// A longer word is no misspelt key, and would cost much memory to compare.
const MISSPELT_BYTES_MAX: usize = 32;

/// The parser's own message, which shows the line, and what to write instead: what the same is called here, or the nearest
/// key of those that the parser says it expected, or how the key is written whose value it does not take.
pub(crate) fn with_suggestion(text: &str, error: &toml::de::Error) -> String {
    let message = error.to_string();
    let message = message.trim_end();
    let mut words = error.message().split('`').skip(1).step_by(2);
    if error.message().starts_with("invalid type: map, expected a sequence") {
        return format!("{message}\nwrite [[database]], in double brackets: there may be many");
    }
    if !error.message().starts_with("unknown field ") {
        let key = error.span().and_then(|span| key_at(text, span.start));
        return match key.and_then(explained) {
            Some(how) => format!("{message}\n{how}"),
            None => message.to_owned(),
        };
    }
    let short = |word: &&str| word.len() <= MISSPELT_BYTES_MAX;
    let Some(unknown) = words.next().filter(short).map(|unknown| unknown.replace('_', "-")) else {
        return message.to_owned();
    };
    if is_of_the_process(&unknown) {
        return format!(
            "{message}\n`{unknown}` is for the whole process: it belongs above the first [table]"
        );
    }
    if let Some(here) = here(&unknown) {
        return format!("{message}\nin place of {unknown}: {here}");
    }
    let close = |key: &&str| strsim::damerau_levenshtein(key, &unknown);
    match words.min_by_key(close).filter(|key| close(key) <= 1 + unknown.len() / 4) {
        Some(key) => format!("{message}\ndid you mean `{key}`?"),
        None => message.to_owned(),
    }
}

/// The key of the line that this byte is in.
fn key_at(text: &str, byte: usize) -> Option<&str> {
    let begin = text.get(..byte)?.rfind('\n').map_or(0, |end| end + 1);
    text[begin..].split('=').next().map(str::trim)
}

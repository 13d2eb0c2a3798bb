//! A value in a message: enough to find it, and no more.

use ebbtide_rows::ValueRef;

const CHARACTERS_MAX: usize = 40;

/// The value, in a few characters.
pub(crate) fn excerpt(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => format!("{real:?}"),
        ValueRef::Text(text) => {
            let begin = text.get(..CHARACTERS_MAX * 4).unwrap_or(text);
            let begin = String::from_utf8_lossy(begin);
            let mut shown: String = begin.chars().take(CHARACTERS_MAX).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            format!("'{}'", shown.escape_debug())
        }
        ValueRef::Blob(blob) => format!("a blob of {} bytes", blob.len()),
    }
}

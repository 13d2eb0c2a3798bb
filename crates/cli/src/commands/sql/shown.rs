//! A value as people and CSV have it.

use ebbtide_rows::{Literal, ValueRef};

/// A value as text: what is no plain text is as SQL has it.
pub(super) fn shown(value: ValueRef<'_>) -> String {
    match (value, value.plain_text()) {
        (_, Some(text)) => text.to_owned(),
        (value, None) => Literal::new(value).to_string(),
    }
}

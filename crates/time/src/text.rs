//! Values that are written as text, and the error for text that is not one of ours.

/// Text that is not a value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct ParseError {
    wanted: &'static str,
    text: String,
}

/// As much of a refused text as an error repeats.
const QUOTED_CHARS_MAX: usize = 80;

impl ParseError {
    /// `text` is not `wanted`, for example "a txid: 1 to 16 hexadecimal digits".
    #[must_use]
    pub fn new(wanted: &'static str, text: &str) -> ParseError {
        let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        if quoted.len() < text.len() {
            quoted.push('…');
        }
        ParseError { wanted, text: quoted }
    }
}

/// Makes types with `Display` and `FromStr` appear as that text in JSON.
#[macro_export]
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl $crate::serde::Serialize for $type {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = <String as $crate::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err($crate::serde::de::Error::custom)
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_repeats_only_the_beginning_of_a_long_text() {
        let error = ParseError::new("a txid", &"é".repeat(100_000));
        assert!(error.to_string().len() < 300);
    }
}

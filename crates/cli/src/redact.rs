//! Access key ids in what libraries log: at their lower levels they tell of whole requests, signatures included.
//!
//! What is told of a key is replaced, whatever the key looks like: servers other than AWS's have ids of any form.

use std::borrow::Cow;
use std::env;
use std::sync::OnceLock;

/// Each id follows one of these: in a signature, in the SDK's credentials, in the answer of a service that gives some.
const BEFORE: &[&str] =
    &["Credential=", "access_key_id", "accessKeyId", "AccessKeyId", "aws_access_key_id"];

/// Between the word and the id: quotes, escaped once or twice, and signs of assignment.
const BETWEEN: &[char] = &['"', '\\', ':', '=', ' ', '(', '>'];

/// What stands instead.
const INSTEAD: &str = "[key id]";

/// The line without access key ids.
pub(crate) fn redacted(line: &[u8]) -> Cow<'_, [u8]> {
    static OURS: OnceLock<Option<String>> = OnceLock::new();
    let ours = OURS.get_or_init(|| {
        env::var("AWS_ACCESS_KEY_ID").ok().map(|id| id.trim().to_owned()).filter(|id| id.len() > 2)
    });
    match std::str::from_utf8(line) {
        Ok(text) => match without_ids(text, ours.as_deref()) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        // The subscriber writes text.
        Err(_) => Cow::Borrowed(line),
    }
}

fn without_ids<'a>(text: &'a str, known: Option<&str>) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for before in BEFORE {
        if text.contains(before) {
            text = Cow::Owned(without_ids_after(&text, before));
        }
    }
    match known {
        Some(id) if text.contains(id) => Cow::Owned(text.replace(id, INSTEAD)),
        _ => text,
    }
}

fn without_ids_after(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let value = part.trim_start_matches(BETWEEN);
        let value = value.strip_prefix("Some").unwrap_or(value).trim_start_matches(BETWEEN);
        let skipped = part.len() - value.len();
        let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || "+._-".contains(c)));
        let rest = &value[end.unwrap_or(value.len())..];
        result.push_str(before);
        result.push_str(&part[..skipped]);
        // Where no value follows, nothing is said of one.
        if rest.len() < value.len() {
            result.push_str(INSTEAD);
        }
        result.push_str(rest);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z17_no_form_of_an_access_key_id_is_left() {
        let lines = [
            r"authorization: AWS4-HMAC-SHA256 Credential=KEYID/20261128/us-east-1/s3/aws4_request, Signature=1",
            r#"Credentials { access_key_id: "KEYID", secret_access_key: "** redacted **" }"#,
            r#"{\"access_key_id\":\"KEYID\",\"x\":1}"#,
            "x-amz-credential: a Credential=KEYID%2F20261128",
            "<AccessKeyId>KEYID</AccessKeyId>",
            "aws_access_key_id = KEYID",
            "access_key_id: Some(\"KEYID\")",
            "the id KEYID by itself",
        ];
        for line in lines {
            let left = without_ids(line, Some("KEYID"));
            assert!(!left.contains("KEYID") && left.contains(INSTEAD), "{left}");
        }
        for line in &lines[..lines.len() - 1] {
            let left = without_ids(line, None);
            assert!(!left.contains("KEYID") && left.contains(INSTEAD), "{left}");
        }
        let signature = without_ids(lines[0], None);
        assert!(
            signature
                .ends_with("Credential=[key id]/20261128/us-east-1/s3/aws4_request, Signature=1")
        );
        assert!(matches!(without_ids("nothing of interest", None), Cow::Borrowed(_)));
    }
}

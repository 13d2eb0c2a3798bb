//! What the process tells others by itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::value::duration;

/// A heartbeat that comes more often is a load.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How often a heartbeat comes, unless it is configured.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// An address that is asked for as long as everything is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The address.
    pub url: String,
    /// How often, and within what time everything has to be durable.
    pub interval: Duration,
}

/// An address to which each change of what needs attention is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// The file with the secret by which it is signed.
    pub secret_file: Option<PathBuf>,
}

/// What is written of a heartbeat.
pub(crate) fn heartbeat(
    url: Option<String>,
    interval: Option<&str>,
) -> Result<Option<Heartbeat>, String> {
    let Some(url) = url else {
        return match interval {
            None => Ok(None),
            Some(_) => {
                Err("heartbeat-interval says how often `heartbeat-url` is asked for".to_owned())
            }
        };
    };
    let interval =
        interval.map(duration).transpose().map_err(|why| format!("heartbeat-interval = {why}"))?;
    let interval = interval.unwrap_or(INTERVAL);
    if interval < INTERVAL_MIN {
        return Err("heartbeat-interval must be at least a second".to_owned());
    }
    Ok(Some(Heartbeat { url: web("heartbeat-url", url)?, interval }))
}

/// What is written of a webhook.
pub(crate) fn webhook(
    url: Option<String>,
    secret_file: Option<String>,
) -> Result<Option<Webhook>, String> {
    match (url, secret_file) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("webhook-secret-file signs what goes to `webhook-url`".to_owned()),
        (Some(url), secret) => {
            let secret_file = secret.map(PathBuf::from);
            Ok(Some(Webhook { url: web("webhook-url", url)?, secret_file }))
        }
    }
}

/// An address of the web. As a rule it is a secret, so it is in no message.
fn web(key: &str, url: String) -> Result<String, String> {
    match url.starts_with("https://") || url.starts_with("http://") {
        true => Ok(url),
        false => {
            Err(format!("{key} begins with https://, or http:// within a network of your own"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_an_address_needs_one() {
        let url = || Some("https://example.com/ping".to_owned());
        assert_eq!(heartbeat(None, None), Ok(None));
        assert_eq!(heartbeat(url(), None).unwrap().unwrap().interval, INTERVAL);
        assert_eq!(heartbeat(url(), Some("5s")).unwrap().unwrap().interval.as_secs(), 5);
        for wrong in ["0s", "soon", "-1m"] {
            assert!(heartbeat(url(), Some(wrong)).is_err(), "{wrong}");
        }
        assert!(heartbeat(None, Some("5s")).is_err());
        assert_eq!(webhook(None, None), Ok(None));
        assert!(webhook(None, Some("/etc/secret".to_owned())).is_err());
        let error = webhook(Some("hooks.example/secret".to_owned()), None).unwrap_err();
        assert!(error.contains("https://") && !error.contains("secret"), "{error}");
    }
}

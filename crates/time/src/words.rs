//! Times as people read them at a glance.

use crate::Timestamp;

const SECOND: i64 = 1_000_000;

/// A length of time, in microseconds.
#[must_use]
pub fn span(micros: i64) -> String {
    let seconds = micros / SECOND;
    match seconds {
        i64::MIN..0 => "0 s".to_owned(),
        0 if micros < 1000 => "0 s".to_owned(),
        0 => format!("{} ms", micros / 1000),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long ago a time was.
#[must_use]
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let micros = now.as_micros().saturating_sub(time.as_micros());
    match micros {
        i64::MIN..0 => format!("in {}", span(-micros)),
        0..SECOND => "just now".to_owned(),
        _ => format!("{} ago", span(micros)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_it_at_a_glance() {
        let spans =
            [0, 5_000, 61 * SECOND, 600 * SECOND, 9000 * SECOND, 864_000 * SECOND].map(span);
        assert_eq!(spans, ["0 s", "5 ms", "61 s", "10 min", "2 h", "10 days"]);
        let now = Timestamp::from_micros(3_600 * SECOND).unwrap();
        let at = |seconds: i64| ago(Timestamp::from_micros(seconds * SECOND).unwrap(), now);
        assert_eq!([0, 3600, 3660].map(at), ["60 min ago", "just now", "in 60 s"]);
    }
}

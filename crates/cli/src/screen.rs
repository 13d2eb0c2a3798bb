//! What people look at on a terminal: times of their own zone, columns that fit, a colour where something needs them. A pipe
//! gets none of it.

use std::io::{self, IsTerminal as _};

use ebbtide_replica::{Timestamp, Txid};

use crate::{clock, terminal};

/// A terminal that shows results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// How many characters fit into a line.
    pub(crate) columns: usize,
    has_colours: bool,
    is_utc: bool,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Beside the point.
    Soft,
}

impl Screen {
    /// That of standard output, if it is a terminal.
    pub(crate) fn of_output(is_utc: bool) -> Option<Screen> {
        io::stdout().is_terminal().then(|| Screen {
            columns: terminal::width().unwrap_or(80),
            has_colours: terminal::has_colours(&io::stdout()),
            is_utc,
        })
    }

    /// The text in its colour.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Warn => 33,
            Tone::Bad => 31,
            Tone::Soft => 2,
        };
        if self.has_colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// The text in place of all that the terminal shows, each line that was there before overwritten, so that nothing flickers.
    pub(crate) fn whole(self, text: &str) -> String {
        if terminal::is_dumb() {
            return text.to_owned();
        }
        let lines: String = text.lines().map(|line| format!("{line}\u{1b}[K\n")).collect();
        format!("\u{1b}[H{lines}\u{1b}[J")
    }

    /// A time of day to the millisecond, with its date if that is not today's.
    pub(crate) fn time(self, time: Timestamp, now: Timestamp) -> String {
        let (time, now) = (self.zoned(time), self.zoned(now));
        let form = if time.date() == now.date() { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" };
        time.strftime(form).to_string()
    }

    /// In which zone the times are, for people.
    pub(crate) fn zone(self, now: Timestamp) -> String {
        let now = self.zoned(now);
        match now.time_zone().iana_name() {
            Some("UTC" | "Etc/UTC") | None if now.offset().seconds() == 0 => {
                "times in UTC".to_owned()
            }
            Some(name) => format!("times in {name} (UTC{})", now.strftime("%:z")),
            None => format!("times in UTC{}", now.strftime("%:z")),
        }
    }

    fn zoned(self, time: Timestamp) -> jiff::Zoned {
        match self.is_utc {
            true => jiff::Timestamp::from(time).to_zoned(jiff::tz::TimeZone::UTC),
            false => clock::in_local_zone(time),
        }
    }
}

/// A txid as short as it is typed.
pub(crate) fn short(txid: Txid) -> String {
    format!("{:x}", txid.get())
}

/// A line that is no longer than `columns`, with a sign where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The end of a text that has more than so many columns says more than its beginning.
pub(crate) fn cut_front(text: &str, columns: usize) -> String {
    let count = text.chars().count();
    if count <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - columns.saturating_sub(1)).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!([cut("restored", 8), cut("restored", 5)], ["restored", "rest…"]);
        assert_eq!([cut_front("eu/a.db", 7), cut_front("eu/a.db", 5)], ["eu/a.db", "…a.db"]);
    }

    #[test]
    fn times_in_utc_say_so() {
        let screen = Screen { columns: 80, has_colours: false, is_utc: true };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-28T22:43:58.123456Z");
        assert_eq!(screen.time(at("2026-11-28T01:02:03.5Z"), now), "01:02:03.500");
        assert_eq!(screen.time(at("2026-11-27T01:02:03.5Z"), now), "2026-11-27 01:02:03.500");
        assert_eq!(screen.zone(now), "times in UTC");
        assert_eq!(screen.paint(Tone::Bad, "lost"), "lost");
    }
}

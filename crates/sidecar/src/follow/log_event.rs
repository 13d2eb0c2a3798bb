//! What an event of a log asks of its task: a pure function of the event and of the attention that the task wants.

use ebbtide_watcher::Seen;

/// More uncaptured frames than this wake the task even if commits are only dated: the log should not grow for the sake
/// of the dates.
const FRAMES_MAX: u32 = 1000;

/// What a file event or a poll of the log has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogEvent {
    /// The log was opened.
    Opened,
    /// A file descriptor that was open for writing was closed: perhaps the last one.
    Closed,
    /// The log was written, and the transaction has not ended. No event comes when it is published.
    Unfinished,
    /// The log was written or polled, and this was found.
    Observed(Seen),
    /// A poll has found nothing, and for the first time that no other process has the database open.
    LeftAlone,
}

/// What the task wants to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attention {
    /// For each commit.
    Commits,
    /// Not for commits, which are captured together before the next put.
    Puts,
    /// For everything: no connection of ours has the database open.
    Everything,
}

/// What to do about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing.
    Ignore,
    /// The commits have their timestamps, and are captured later.
    Date,
    /// Wake the task.
    Wake,
}

/// Decides what to do about an event.
pub(crate) fn on_log_event(event: LogEvent, attention: Attention) -> Reaction {
    if attention == Attention::Everything {
        return Reaction::Wake;
    }
    match event {
        // The log is held, so whoever opens it changes nothing.
        LogEvent::Opened => Reaction::Ignore,
        LogEvent::Closed | LogEvent::Unfinished | LogEvent::LeftAlone => Reaction::Wake,
        LogEvent::Observed(Seen { frames: 0, .. }) => Reaction::Ignore,
        LogEvent::Observed(seen)
            if attention == Attention::Puts && seen.uncaptured <= FRAMES_MAX =>
        {
            Reaction::Date
        }
        LogEvent::Observed(_) => Reaction::Wake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a commit that nobody is woken for, and a task that is woken for nothing.
    #[test]
    fn every_event_has_its_reaction_by_what_the_task_wants() {
        use Attention::{Commits, Everything, Puts};
        use Reaction::{Date, Ignore, Wake};
        let seen =
            |commits, frames, uncaptured| LogEvent::Observed(Seen { commits, frames, uncaptured });
        for (event, by_commits, by_puts) in [
            (LogEvent::Opened, Ignore, Ignore),
            (LogEvent::Closed, Wake, Wake),
            (LogEvent::Unfinished, Wake, Wake),
            (LogEvent::LeftAlone, Wake, Wake),
            (seen(0, 0, 0), Ignore, Ignore),
            (seen(0, 0, FRAMES_MAX + 1), Ignore, Ignore),
            (seen(1, 2, 2), Wake, Date),
            (seen(1, 2, FRAMES_MAX), Wake, Date),
            (seen(1, 2, FRAMES_MAX + 1), Wake, Wake),
            (seen(1, FRAMES_MAX + 1, FRAMES_MAX + 1), Wake, Wake),
        ] {
            assert_eq!(on_log_event(event, Commits), by_commits, "{event:?}");
            assert_eq!(on_log_event(event, Puts), by_puts, "{event:?}");
            assert_eq!(on_log_event(event, Everything), Wake, "{event:?}");
        }
    }
}

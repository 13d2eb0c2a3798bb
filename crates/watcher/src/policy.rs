//! The checkpoint policy: a pure function from a [`Situation`] to an [`Action`].
//!
//! The application's own autocheckpoints find the checkpoint lock taken, so this process must keep the log short. It
//! has three kinds of checkpoint, from the least intrusive on:
//!
//! - *Passive*: with the hold at the log's end, backfill the whole log, and hand the hold over again. If there was no
//!   commit meanwhile, the new hold reads the database file alone (`WAL_READ_LOCK(0)`), and the next writer restarts
//!   the log. Takes no lock that a writer needs.
//! - *Exclusive*: a saturating writer never pauses long enough for a passive checkpoint to complete, so hold the write
//!   lock for as long as the last few frames take.
//! - *Truncate*: SQLite writes a restarted log from its start again but never shrinks the file, so truncate the file
//!   once the database is idle.

use std::time::Duration;

/// The limits of the log. Each frame has one page of the database's page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The number of frames from which on the log is checkpointed; SQLite's own default is 1,000.
    pub checkpoint_frames: u32,
    /// The age of the last checkpoint from which on a shorter log is checkpointed.
    pub checkpoint_interval: Duration,
    /// The number of frames from which on the log is over its limit: exclusive checkpoints are allowed, and checkpoints
    /// do not wait until the store has confirmed every commit.
    pub exclusive_frames: u32,
    /// How long an exclusive checkpoint tries to take the write lock.
    pub write_lock_budget: Duration,
    /// The file size from which on the log of an idle database is truncated, in bytes.
    pub truncate_bytes: u64,
    /// The time without commits after which a database is idle.
    pub idle: Duration,
}

/// The input of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Frames in the log.
    pub frames: u32,
    /// How many frames are backfilled into the database.
    pub backfilled: u32,
    /// The last frame that the hold allows a checkpoint to backfill.
    pub held_frames: u32,
    /// Whether the hold reads the database file alone (`WAL_READ_LOCK(0)`), so that a writer may restart the log.
    pub reads_database_only: bool,
    /// Whether this process has the checkpoint lock. Without it a checkpoint would end with `SQLITE_BUSY`.
    pub has_checkpoint_lock: bool,
    /// Whether a passive checkpoint of ours is running.
    pub checkpointing: bool,
    /// The stage of the handover, if there is one.
    pub handover: Option<HandoverStage>,
    /// Whether every committed frame has been captured.
    pub captured: bool,
    /// Where the captured commits are, other than in the log.
    pub kept: Kept,
    /// The frames that are not backfilled, in bytes.
    pub backlog_bytes: u64,
    /// The committed frames that are not captured, in bytes.
    pub unread_bytes: u64,
    /// The frames committed since the last checkpoint began, in bytes; 0 if that checkpoint made no progress.
    pub grown_bytes: u64,
    /// How long ago the last brake ended.
    pub since_brake: Option<Duration>,
    /// Whether the receiver of captured transactions can take some thousands of frames without blocking.
    pub has_room: bool,
    /// Whether an image of the database is being read, whose read transaction holds the log too.
    pub imaging: bool,
    /// How long ago the last commit was observed.
    pub quiet: Duration,
    /// How long ago the last checkpoint ended.
    pub since_checkpoint: Duration,
    /// How long ago the last exclusive checkpoint failed, if the last one failed.
    pub since_failed_exclusive: Option<Duration>,
    /// How long ago the last checkpoint made no progress, if the last one made none.
    pub since_no_progress: Option<Duration>,
    /// How many checkpoints in a row made no progress.
    pub without_progress: u32,
    /// How long ago the last checkpoint ended with `SQLITE_BUSY`, if the last one did.
    pub since_busy_checkpoint: Option<Duration>,
    /// The size of the log's file.
    pub file_bytes: u64,
}

/// Where the captured commits are, other than in the log, which may be restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The store has confirmed all commits, or all but a few.
    Durable,
    /// This process can send them again whatever the store does. If the process dies, only the log has them.
    Elsewhere,
    /// They may have to be captured from the log again.
    Nowhere,
}

/// The stage of a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoverStage {
    /// Commits from before the next hold are still to be captured, or *checkpoint-lock-first* is not met yet.
    Waits,
    /// The present hold may end.
    Ready,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// End the present hold, because all commits from before the next hold are captured.
    EndHold,
    /// Begin a second hold at the log's end.
    HandOver,
    /// Run a passive checkpoint of the frames that the hold allows.
    Checkpoint,
    /// Take the write lock and checkpoint the whole log.
    ExclusiveCheckpoint,
    /// Truncate the log's file to zero bytes.
    Truncate,
    /// Hold the write lock for some milliseconds, so that the capturing catches up with the writers.
    Brake,
}

/// The backoff after a checkpoint that ended with `SQLITE_BUSY`. A saturating writer causes that now and then, and
/// during a long backoff it would grow the log by hundreds of megabytes.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The upper limit of the backoff after checkpoints without progress, which doubles from [`BUSY_PAUSE`] on. The first
/// one may have met a writer that was descheduled within its transaction, and not a long reader.
const NO_PROGRESS_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The backoff after an exclusive checkpoint that did not get the write lock, or was stopped by a reader. A saturating
/// writer writes tens of megabytes meanwhile.
const EXCLUSIVE_PAUSE: Duration = Duration::from_millis(100);

/// The same if the backlog is small, so that writers wait no longer than for a checkpoint of their own.
const END_NEAR_PAUSE: Duration = Duration::from_millis(10);

/// The pause after a brake. Writers then commit at the speed of the capturing.
const BRAKE_PAUSE: Duration = Duration::from_millis(1);

/// The committed frames that are not captured from which on writers are throttled.
const BEHIND_BYTES_MAX: u64 = 3 << 20;

/// The frames committed during a checkpoint from which on writers are throttled until it ends, as they would wait for a
/// checkpoint of their own.
const GROWN_BYTES_MAX: u64 = 2 << 20;

/// The backlog that an exclusive checkpoint may copy and sync under the write lock: writers wait for some ten
/// milliseconds, as they would for a checkpoint of their own. Each pair is a multiple of the log's limit and the
/// backlog that is allowed from there on: the longer the log, the less likely is a later chance with a smaller backlog.
const BACKLOG_BYTES_MAX: [(u32, u64); 3] = [(1, 5 << 20), (3, 8 << 20), (5, 16 << 20)];

/// Chooses the next action. Pure: the same situation always has the same answer.
#[must_use]
pub fn decide(now: &Situation, limits: &Limits) -> Action {
    if is_brake_due(now, limits) {
        return Action::Brake;
    }
    match now.handover {
        _ if now.checkpointing => return Action::Wait,
        Some(HandoverStage::Ready) => return Action::EndHold,
        Some(HandoverStage::Waits) => return Action::Wait,
        None if now.kept == Kept::Nowhere => return Action::Wait,
        None => {}
    }
    match shorten(now, limits) {
        Action::Checkpoint | Action::ExclusiveCheckpoint | Action::Truncate
            if !now.has_checkpoint_lock =>
        {
            Action::Wait
        }
        action => action,
    }
}

/// The action that shortens the log, if all locks are free.
fn shorten(now: &Situation, limits: &Limits) -> Action {
    let backlog = now.frames - now.backfilled.min(now.frames);
    // The log of an idle database is truncated, after all of its frames are backfilled.
    let truncate = now.file_bytes >= limits.truncate_bytes && now.quiet >= limits.idle;
    if backlog == 0 {
        return match (now.frames > 0 && !now.reads_database_only, truncate && !now.imaging) {
            // All frames are backfilled: let the next writer restart the log.
            (true, _) if now.captured => Action::HandOver,
            (false, true) if now.captured && now.kept == Kept::Durable => Action::Truncate,
            _ => Action::Wait,
        };
    }
    let over_limit = is_outrun(now.frames, limits);
    let due = now.frames >= limits.checkpoint_frames
        || now.since_checkpoint >= limits.checkpoint_interval
        || truncate;
    if !(over_limit || due && now.kept == Kept::Durable) {
        return Action::Wait;
    }
    let has_elapsed =
        |since: Option<Duration>, pause| since.is_none_or(|since: Duration| since >= pause);
    // Writers wait while an exclusive checkpoint copies the backlog, so passive checkpoints copy most of the log
    // before.
    let is_short = backlog <= limits.checkpoint_frames;
    let is_end_near =
        now.backfilled > 0 && now.backlog_bytes <= backlog_bytes_max(now.frames, limits);
    let pause = if is_end_near { END_NEAR_PAUSE } else { EXCLUSIVE_PAUSE };
    let can_stop = now.has_room && !now.imaging && has_elapsed(now.since_failed_exclusive, pause);
    if over_limit && (is_short || is_end_near) && can_stop {
        return Action::ExclusiveCheckpoint;
    }
    let no_progress_pause = no_progress_pause(now.without_progress);
    if !has_elapsed(now.since_no_progress, no_progress_pause)
        || !has_elapsed(now.since_busy_checkpoint, BUSY_PAUSE)
    {
        return Action::Wait;
    }
    if now.backfilled < now.held_frames.min(now.frames) {
        return Action::Checkpoint;
    }
    if now.held_frames < now.frames || now.reads_database_only {
        Action::HandOver
    } else {
        Action::Wait
    }
}

/// The backoff after this many checkpoints in a row without progress.
fn no_progress_pause(without_progress: u32) -> Duration {
    let doubled = 1_u32.checked_shl(without_progress.saturating_sub(1)).unwrap_or(u32::MAX);
    BUSY_PAUSE.saturating_mul(doubled).min(NO_PROGRESS_PAUSE_MAX)
}

/// Whether writers have to be throttled for the capturing or for a checkpoint, in any state of the handover. Only for a
/// scarce CPU or disk: for a slow store the log grows.
#[must_use]
fn is_brake_due(now: &Situation, limits: &Limits) -> bool {
    is_outrun(now.frames, limits)
        && (now.unread_bytes > BEHIND_BYTES_MAX || now.grown_bytes > GROWN_BYTES_MAX)
        && now.has_room
        && now.since_brake.is_none_or(|since| since >= BRAKE_PAUSE)
}

/// The backlog that an exclusive checkpoint may copy under the write lock, for a log of this many frames.
pub(crate) fn backlog_bytes_max(frames: u32, limits: &Limits) -> u64 {
    let is_reached = |&(times, _): &(u32, u64)| is_outrun(frames / times, limits);
    let reached = BACKLOG_BYTES_MAX.iter().rev().find(|bound| is_reached(bound));
    reached.map_or(BACKLOG_BYTES_MAX[0].1, |&(_, bytes)| bytes)
}

/// Whether a log of this many frames shows that its writers are faster than the checkpoints.
pub(crate) fn is_outrun(frames: u32, limits: &Limits) -> bool {
    frames >= limits.exclusive_frames
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIMITS: Limits = Limits {
        checkpoint_frames: 1000,
        checkpoint_interval: Duration::from_secs(60),
        exclusive_frames: 4000,
        write_lock_budget: Duration::from_millis(50),
        truncate_bytes: 1 << 20,
        idle: Duration::from_secs(5),
    };

    const QUIET: Situation = Situation {
        frames: 0,
        backfilled: 0,
        held_frames: 0,
        reads_database_only: true,
        has_checkpoint_lock: true,
        checkpointing: false,
        handover: None,
        captured: true,
        kept: Kept::Durable,
        backlog_bytes: 0,
        unread_bytes: 0,
        grown_bytes: 0,
        since_brake: None,
        has_room: true,
        imaging: false,
        quiet: Duration::ZERO,
        since_checkpoint: Duration::ZERO,
        since_failed_exclusive: None,
        since_no_progress: None,
        without_progress: 0,
        since_busy_checkpoint: None,
        file_bytes: 0,
    };

    #[test]
    fn a_short_log_is_left_alone() {
        let now = Situation { frames: 999, held_frames: 10, reads_database_only: false, ..QUIET };
        assert_eq!(decide(&now, &LIMITS), Action::Wait);
    }

    #[test]
    fn a_full_log_is_held_at_its_end_then_checkpointed_then_let_go() {
        let full = Situation { frames: 1000, held_frames: 10, reads_database_only: false, ..QUIET };
        assert_eq!(decide(&full, &LIMITS), Action::Checkpoint);
        let backfilled = Situation { backfilled: 10, ..full };
        assert_eq!(decide(&backfilled, &LIMITS), Action::HandOver);
        let held = Situation { held_frames: 1000, ..backfilled };
        assert_eq!(decide(&held, &LIMITS), Action::Checkpoint);
        let copied = Situation { backfilled: 1000, ..held };
        assert_eq!(decide(&copied, &LIMITS), Action::HandOver);
        let free = Situation { reads_database_only: true, ..copied };
        assert_eq!(decide(&free, &LIMITS), Action::Wait);
    }

    #[test]
    fn after_a_checkpoint_that_came_nowhere_the_next_waits_as_long_as_its_reason_warrants() {
        let full =
            Situation { frames: 1000, held_frames: 1000, reads_database_only: false, ..QUIET };
        let millis = |millis| Some(Duration::from_millis(millis));
        let reader = |without_progress, since| {
            let since_no_progress = millis(since);
            decide(&Situation { since_no_progress, without_progress, ..full }, &LIMITS)
        };
        for (without_progress, pause) in [(1, 10), (2, 20), (5, 160), (8, 1000), (u32::MAX, 1000)] {
            assert_eq!(reader(without_progress, pause - 1), Action::Wait);
            assert_eq!(reader(without_progress, pause), Action::Checkpoint);
        }
        let busy = |since| Situation { since_busy_checkpoint: since, ..full };
        assert_eq!(decide(&busy(millis(1)), &LIMITS), Action::Wait);
        assert_eq!(decide(&busy(millis(10)), &LIMITS), Action::Checkpoint);
    }

    #[test]
    fn what_the_store_has_not_confirmed_stays_in_the_log_until_the_log_is_over_its_limit() {
        let full = Situation {
            frames: 3999,
            held_frames: 3999,
            reads_database_only: false,
            kept: Kept::Elsewhere,
            ..QUIET
        };
        assert_eq!(decide(&full, &LIMITS), Action::Wait);
        let over_limit = Situation { frames: 4000, ..full };
        assert_eq!(decide(&over_limit, &LIMITS), Action::Checkpoint);
        let only_there = Situation { kept: Kept::Nowhere, ..over_limit };
        assert_eq!(decide(&only_there, &LIMITS), Action::Wait);
    }

    #[test]
    fn writers_are_stopped_once_little_is_left_to_copy() {
        let over_limit = Situation {
            frames: 4500,
            held_frames: 4000,
            backfilled: 4000,
            reads_database_only: false,
            kept: Kept::Elsewhere,
            ..QUIET
        };
        assert_eq!(decide(&over_limit, &LIMITS), Action::ExclusiveCheckpoint);
        let failed = Situation { since_failed_exclusive: Some(Duration::ZERO), ..over_limit };
        assert_eq!(decide(&failed, &LIMITS), Action::HandOver);
        let full = Situation { has_room: false, ..over_limit };
        assert_eq!(decide(&full, &LIMITS), Action::HandOver);
        let faster = Situation { frames: 5500, backlog_bytes: 5 << 20, ..over_limit };
        assert_eq!(decide(&faster, &LIMITS), Action::ExclusiveCheckpoint);
        let large = Situation { backlog_bytes: 24 << 20, ..faster };
        assert_eq!(decide(&large, &LIMITS), Action::HandOver);
        // With a small backlog it does not matter how many frames were backfilled before.
        let begun = Situation { backfilled: 100, held_frames: 100, ..faster };
        assert_eq!(decide(&begun, &LIMITS), Action::ExclusiveCheckpoint);
        let not_begun = Situation { backfilled: 0, held_frames: 0, ..faster };
        assert_eq!(decide(&not_begun, &LIMITS), Action::HandOver);
        // The longer the log, the larger the allowed backlog.
        for (frames, mebibytes, action) in [
            (6000, 5, Action::ExclusiveCheckpoint),
            (6000, 6, Action::HandOver),
            (12_000, 8, Action::ExclusiveCheckpoint),
            (12_000, 9, Action::HandOver),
            (20_000, 16, Action::ExclusiveCheckpoint),
        ] {
            let outrun = Situation { frames, backlog_bytes: mebibytes << 20, ..begun };
            assert_eq!(decide(&outrun, &LIMITS), action, "{frames} frames");
        }
    }

    #[test]
    fn writers_that_outrun_the_capturing_wait_for_it_now_and_then() {
        let behind = Situation { frames: 8000, unread_bytes: 20 << 20, ..QUIET };
        assert_eq!(decide(&behind, &LIMITS), Action::Brake);
        let outgrown = Situation { unread_bytes: 0, grown_bytes: 6 << 20, ..behind };
        assert_eq!(decide(&outgrown, &LIMITS), Action::Brake);
        let beside = Situation { checkpointing: true, ..outgrown };
        assert_eq!(decide(&beside, &LIMITS), Action::Brake, "the checkpoint is what they wait for");
        for not in [
            Situation { unread_bytes: 1 << 20, ..behind },
            Situation { frames: 3999, ..behind },
            Situation { has_room: false, ..behind },
            Situation { since_brake: Some(Duration::ZERO), ..behind },
        ] {
            assert_ne!(decide(&not, &LIMITS), Action::Brake);
        }
    }

    #[test]
    fn a_hold_ends_once_the_next_one_may_take_its_place_and_until_then_nothing_else_is_done() {
        let full = Situation { frames: 4500, held_frames: 10, reads_database_only: false, ..QUIET };
        for (handover, action) in [
            (Some(HandoverStage::Waits), Action::Wait),
            (Some(HandoverStage::Ready), Action::EndHold),
            (None, Action::Checkpoint),
        ] {
            let now = Situation { handover, kept: Kept::Elsewhere, ..full };
            assert_eq!(decide(&now, &LIMITS), action);
            assert_eq!(decide(&Situation { checkpointing: true, ..now }, &LIMITS), Action::Wait);
        }
    }

    #[test]
    fn without_the_checkpoint_lock_only_the_hold_moves() {
        let full = Situation { frames: 1000, held_frames: 10, reads_database_only: false, ..QUIET };
        let locked = Situation { has_checkpoint_lock: false, ..full };
        assert_eq!(decide(&locked, &LIMITS), Action::Wait);
        let backfilled = Situation { backfilled: 10, ..locked };
        assert_eq!(decide(&backfilled, &LIMITS), Action::HandOver);
    }

    #[test]
    fn an_idle_log_is_truncated_once_nobody_needs_it() {
        let idle = Situation {
            frames: 1000,
            backfilled: 1000,
            held_frames: 1000,
            quiet: Duration::from_secs(9),
            file_bytes: 4 << 20,
            ..QUIET
        };
        assert_eq!(decide(&idle, &LIMITS), Action::Truncate);
        let behind = Situation { frames: 10, backfilled: 5, reads_database_only: false, ..idle };
        assert_eq!(decide(&behind, &LIMITS), Action::Checkpoint);
        for busy in [
            Situation { quiet: Duration::ZERO, ..idle },
            Situation { imaging: true, ..idle },
            Situation { kept: Kept::Elsewhere, ..idle },
            Situation { file_bytes: 100, ..idle },
        ] {
            assert_eq!(decide(&busy, &LIMITS), Action::Wait);
        }
    }
}

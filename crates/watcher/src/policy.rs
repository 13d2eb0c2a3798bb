//! When to move the hold, to checkpoint, to stop the writers for a moment, to truncates the log: a function from what is
//! seen to what is done.
//!
//! The application's own autocheckpoints find the checkpoint lock taken, so the log is ours to keep short. Three means,
//! from the gentlest on:
//!
//! - *Checkpoint*: with the hold at the log's end, copy everything back, and hand the hold over again. If nobody wrote
//!   meanwhile the new hold ignores the log, and the next writer begins it anew. Takes no lock that a writer needs.
//! - *Barrier*: a saturating writer never pauses long enough for that, so take the write lock for as long as it takes
//!   to copy the last few frames.
//! - *Truncate*: a restarted log is written from its start again but its file never shrinks, so once the database is
//!   idle truncates it.

use std::time::Duration;

/// The limits between which the log is kept. Frames are of whatever size the database's pages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From how many frames on the log is checkpointed; SQLite's own default is 1,000.
    pub checkpoint_frames: u32,
    /// After how long even fewer are.
    pub checkpoint_interval: Duration,
    /// From how many frames on writers are stopped for it, and it is done before the store has confirmed everything.
    pub exclusive_frames: u32,
    /// How long writers may be kept waiting for the write lock to be taken and given back.
    pub write_lock_budget: Duration,
    /// From which size on an idle database's log is truncates, in bytes.
    pub truncate_bytes: u64,
    /// For how long a database without commits counts as idle.
    pub idle: Duration,
}

/// What is seen when the policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Frames in the log.
    pub frames: u32,
    /// How many of them are in the database.
    pub backfilled: u32,
    /// Up to which frame the hold lets a checkpoint go; all of them if the hold ignores the log.
    pub held_frames: u32,
    /// Whether the hold ignores the log, so that a writer may begin it anew.
    pub reads_database_only: bool,
    /// Whether the checkpoint lock is ours. Somebody else's checkpoint ends soon, and until then ours would get nowhere.
    pub has_checkpoint_lock: bool,
    /// Whether a checkpoint of ours runs beside.
    pub checkpointing: bool,
    /// How far the handing over of a hold has come, if one is handed over.
    pub handover: Option<HandoverStage>,
    /// Whether everything committed has been captured.
    pub captured: bool,
    /// Where else what was captured is.
    pub kept: Kept,
    /// How much of the log is not in the database, in bytes of frames.
    pub backlog_bytes: u64,
    /// How much is committed and not captured yet, in bytes of frames.
    pub unread_bytes: u64,
    /// How much was committed since the last checkpoint began, in bytes of frames; 0 if that one came no further.
    pub grown_bytes: u64,
    /// Since writers were last made to wait for the capturing, if they were.
    pub since_brake: Option<Duration>,
    /// Whether whoever takes what is captured can take some thousands of frames at once now, without waiting for
    /// anything.
    pub has_room: bool,
    /// Whether somebody reads an image of the database, which holds the log too.
    pub imaging: bool,
    /// Since the last commit was seen.
    pub quiet: Duration,
    /// Since the last checkpoint.
    pub since_checkpoint: Duration,
    /// Since a barrier last failed, if it did.
    pub since_failed_exclusive: Option<Duration>,
    /// Since a checkpoint last came no further than the one before it, if the last one did not.
    pub since_no_progress: Option<Duration>,
    /// How many such checkpoints there were in a row.
    pub without_progress: u32,
    /// Since a checkpoint last found a lock taken that is given back soon, if one did.
    pub since_busy_checkpoint: Option<Duration>,
    /// The length of the log's file.
    pub file_bytes: u64,
}

/// Where else what was captured is, should the log be begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The store has confirmed (nearly) all of it.
    Durable,
    /// Whatever the store does, it can be sent again; but if this process dies, the log alone has it.
    Elsewhere,
    /// It may have to be read from the log again.
    Nowhere,
}

/// How far the handing over of a hold has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoverStage {
    /// What was committed before the next hold is still to be captured, or Rule 0 is not met yet.
    Waits,
    /// The present hold may end.
    Ready,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// End the present hold, because the next one has everything before it captured.
    EndHold,
    /// Begin a second hold at the log's end.
    HandOver,
    /// Copy back what the hold lets through.
    Checkpoint,
    /// Stop the writers and copy back everything.
    ExclusiveCheckpoint,
    /// Cut the log's file to nothing.
    Truncate,
    /// Stop the writers for a moment, so that the capturing catches up with them.
    Brake,
}

/// After a checkpoint that found a lock taken, or met a writer that was just publishing a commit, how long until the next.
/// Beside a saturating writer that happens now and then, and a long pause would let the log grow by hundreds of megabytes.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The same after one that found a reader in its way: twice as long each time, up to this. At first it may have been a
/// writer that was not given a processor for a moment in the midst of its transaction.
const NO_PROGRESS_PAUSE_MAX: Duration = Duration::from_secs(1);

/// After a barrier that did not get the lock, or found a reader in its way, how long until the next. A saturating writer
/// fills tens of megabytes meanwhile.
const EXCLUSIVE_PAUSE: Duration = Duration::from_millis(100);

/// The same if writers outrun us.
const OUTRUN_EXCLUSIVE_PAUSE: Duration = Duration::from_millis(10);

/// After a brake, how long until the next one: they get on at our speed, which is more than a disk that fills up leaves
/// them.
const BRAKE_PAUSE: Duration = Duration::from_millis(1);

/// So far behind the writers the capturing may be before they are made to wait for it.
const BEHIND_BYTES_MAX: u64 = 3 << 20;

/// So much may be committed while a checkpoint runs before writers are made to wait for its end, as they would wait for
/// their own.
const GROWN_BYTES_MAX: u64 = 2 << 20;

/// How much of the log may be left to copy, and not be on the disk yet, when writers are stopped for it: they wait for some
/// ten milliseconds, as they would for a checkpoint of their own. More once the log has become so many times longer than
/// where writers outrun us, because the next chance may leave no less.
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
        action @ (Action::Checkpoint | Action::ExclusiveCheckpoint | Action::Truncate)
            if !now.has_checkpoint_lock =>
        {
            tracing::trace!(?action, "somebody else has the checkpoint lock");
            Action::Wait
        }
        action => action,
    }
}

/// What makes the log shorter, if all locks can be had.
fn shorten(now: &Situation, limits: &Limits) -> Action {
    let backlog = now.frames - now.backfilled.min(now.frames);
    // The file of an idle database shrinks, and everything in it has to be copied before.
    let truncates = now.file_bytes >= limits.truncate_bytes && now.quiet >= limits.idle;
    if backlog == 0 {
        return match (now.frames > 0 && !now.reads_database_only, truncates && !now.imaging) {
            // Everything is in the database: let the next writer begin the log anew.
            (true, _) if now.captured => Action::HandOver,
            (false, true) if now.captured && now.kept == Kept::Durable => Action::Truncate,
            _ => Action::Wait,
        };
    }
    let over_limit = now.frames >= limits.exclusive_frames;
    let due = now.frames >= limits.checkpoint_frames
        || now.since_checkpoint >= limits.checkpoint_interval
        || truncates;
    if !(over_limit || due && now.kept == Kept::Durable) {
        return Action::Wait;
    }
    let rested =
        |since: Option<Duration>, pause| since.is_none_or(|since: Duration| since >= pause);
    // Writers wait for as long as the rest takes to be copied, so most of it is copied before. If they are faster than
    // the copying, they have to wait all the same, or the log would never end.
    let is_end_near = now.backlog_bytes <= backlog_bytes_max(now.frames, limits);
    let mostly_copied = now.backfilled >= backlog && is_end_near;
    let short = backlog <= limits.checkpoint_frames || mostly_copied;
    let outrun = is_outrun(now.frames, limits) && now.backfilled > 0 && is_end_near;
    let pause = if outrun { OUTRUN_EXCLUSIVE_PAUSE } else { EXCLUSIVE_PAUSE };
    let can_stop = now.has_room && !now.imaging && rested(now.since_failed_exclusive, pause);
    if over_limit && (short || outrun) && can_stop {
        return Action::ExclusiveCheckpoint;
    }
    let no_progress_pause = no_progress_pause(now.without_progress);
    if !rested(now.since_no_progress, no_progress_pause)
        || !rested(now.since_busy_checkpoint, BUSY_PAUSE)
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

/// How long to wait after so many checkpoints in a row that came no further.
fn no_progress_pause(without_progress: u32) -> Duration {
    let doubled = 1_u32.checked_shl(without_progress.saturating_sub(1)).unwrap_or(u32::MAX);
    BUSY_PAUSE.saturating_mul(doubled).min(NO_PROGRESS_PAUSE_MAX)
}

/// Whether writers have to be made to wait for the capturing or for a checkpoint, whatever else is under way. Only where
/// the processor or the disk is scarce: a store that is slow is waited for by the log.
#[must_use]
fn is_brake_due(now: &Situation, limits: &Limits) -> bool {
    is_outrun(now.frames, limits)
        && (now.unread_bytes > BEHIND_BYTES_MAX || now.grown_bytes > GROWN_BYTES_MAX)
        && now.has_room
        && now.since_brake.is_none_or(|since| since >= BRAKE_PAUSE)
}

/// How much may be left to copy of a log of so many frames when writers are stopped for it.
pub(crate) fn backlog_bytes_max(frames: u32, limits: &Limits) -> u64 {
    let is_reached = |&(times, _): &(u32, u64)| is_outrun(frames / times, limits);
    let reached = BACKLOG_BYTES_MAX.iter().rev().find(|bound| is_reached(bound));
    reached.map_or(BACKLOG_BYTES_MAX[0].1, |&(_, bytes)| bytes)
}

/// Whether a log of so many frames shows that its writers are faster than the copying.
pub(crate) fn is_outrun(frames: u32, limits: &Limits) -> bool {
    frames >= limits.exclusive_frames
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
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
        // As long as not much is left it does not matter how much was copied before.
        let begun = Situation { backfilled: 100, held_frames: 100, ..faster };
        assert_eq!(decide(&begun, &LIMITS), Action::ExclusiveCheckpoint);
        let not_begun = Situation { backfilled: 0, held_frames: 0, ..faster };
        assert_eq!(decide(&not_begun, &LIMITS), Action::HandOver);
        // The longer the log, the more may be left.
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

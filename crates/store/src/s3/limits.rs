//! How long, how many and how much.

use std::time::Duration;

use crate::retry::Policy;

/// To find credentials: on a machine that has none, this is how long a newcomer waits to be told.
pub(super) const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);
/// So long nobody looks again after a search for credentials failed.
pub(super) const FAILURE_STANDS: Duration = Duration::from_secs(2);
/// To establish a connection, TLS included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the answer to a request, beyond what its bytes need at `BYTES_PER_SECOND_MIN`.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that is slower than this counts as broken.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// A body that does not move at all for so long counts as broken, whatever its size.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that nobody used for so long is closed.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// So many connections are kept open for the next request.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 16;
/// So many requests of all databases that share a connection pool are under way at once; others wait their turn.
pub(super) const REQUESTS_MAX: usize = 64;

/// A refused key is looked for again at its origin, but not more often than this: some origins run a program.
pub(super) const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

/// The longest answer that is no object: a thousand names of a kilobyte, encoded, have three megabytes.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;
/// It has no more XML tags than this; a thousand objects have some fifty thousand.
pub(super) const ANSWER_TAGS_MAX: usize = 100_000;
/// The longest error.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;
/// The longest name of a part, of which an upload keeps ten thousand; S3's have 34 bytes.
pub(super) const TAG_BYTES_MAX: usize = 1024;
/// The longest word of the server that goes into a later request: a name of a kilobyte, encoded, and more. What fits
/// into no address at all makes the SDK panic.
pub(super) const WORD_BYTES_MAX: usize = 8 * 1024;

/// A part of an upload can be repeated at will: nothing of it is visible before the end.
pub(super) const PARTS: Policy =
    Policy { first: Duration::from_millis(200), longest: Duration::from_secs(5), attempts: 6 };

/// A listing that takes more requests than this goes round in circles: it has twice the pages of the most names that
/// are allowed.
pub(super) const LIST_PAGES_MAX: usize = 2_000;
/// A listing that takes longer than this, all its pages together, comes to no end. A million names take some minutes.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(600);
/// So many abandoned uploads are ended at a time; the rest is left to the next start.
pub(super) const SWEEP_MAX: u64 = 1000;
/// And for so long.
pub(super) const SWEEP_TIMEOUT: Duration = Duration::from_secs(120);

/// The smallest part that an upload sends, which is the smallest that S3 takes but for the last.
pub(super) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// The largest part that S3 takes.
pub(super) const PART_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// S3 takes so many parts.
pub(super) const PARTS_MAX: u64 = 10_000;
/// What is expected is divided among so many parts, all of one size because some servers insist on that (Cloudflare
/// R2). The rest is for expectations that were too low.
pub(super) const PARTS_EXPECTED: u64 = 9_000;
/// Beyond the expected parts their size doubles every so many.
pub(super) const PARTS_PER_DOUBLING: u64 = 100;
/// So many parts of one upload are on their way while the next is filled.
pub(super) const PARTS_IN_FLIGHT: usize = 2;

/// How long a request with so many bytes may take.
pub(super) fn timeout(bytes: u64) -> Duration {
    REQUEST_TIMEOUT + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)
}

/// The size of part `number`, counted from 1, of an upload of which `expected` bytes were expected.
pub(super) fn part_bytes(number: u64, expected: u64) -> u64 {
    let mebibyte = 1024 * 1024;
    let even = expected.div_ceil(PARTS_EXPECTED).next_multiple_of(mebibyte);
    let size = even.clamp(PART_BYTES_MIN, PART_BYTES_MAX);
    let doublings = number.saturating_sub(PARTS_EXPECTED).div_ceil(PARTS_PER_DOUBLING);
    let factor = 1u64.checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX));
    size.saturating_mul(factor.unwrap_or(u64::MAX)).min(PART_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn capacity(expected: u64) -> u64 {
        (1..=PARTS_MAX).map(|number| part_bytes(number, expected)).sum()
    }

    #[test]
    fn parts_suffice_for_what_is_expected_and_are_even() {
        for expected in [0, 1, GIB, 70 * GIB, 100 * GIB, 1024 * GIB, 5 * 1024 * GIB] {
            assert!(capacity(expected) >= expected);
            let sizes: Vec<u64> =
                (1..=PARTS_EXPECTED).map(|number| part_bytes(number, expected)).collect();
            assert!(sizes.iter().all(|size| *size == sizes[0]));
            assert!(sizes.iter().sum::<u64>() >= expected, "{expected}");
        }
        assert_eq!(part_bytes(1, 40 * GIB), PART_BYTES_MIN);
        assert_eq!(part_bytes(1, 5 * 1024 * GIB), 583 * 1024 * 1024);
    }

    #[test]
    fn parts_grow_when_far_more_comes_than_expected() {
        assert!(capacity(0) >= 800 * GIB);
        assert_eq!(part_bytes(PARTS_EXPECTED, 0), PART_BYTES_MIN);
        assert_eq!(part_bytes(PARTS_EXPECTED + 1, 0), 2 * PART_BYTES_MIN);
        assert_eq!(part_bytes(u64::MAX, u64::MAX), PART_BYTES_MAX);
    }
}

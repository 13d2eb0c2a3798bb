//! The limits of the S3 client: timeouts, counts and sizes.

use std::time::Duration;

use crate::retry::Policy;

/// The time to find credentials. On a machine without any, a command fails after this time.
pub(super) const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed search for credentials, the next search waits for this time.
pub(super) const FAILURE_STANDS: Duration = Duration::from_secs(2);
/// The time to establish a connection, including TLS.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for the response to a request, in addition to the time that its bytes take at `BYTES_PER_SECOND_MIN`.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that is slower than this counts as broken.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// The transfer of a body that makes no progress for this time counts as broken, whatever its size.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// An unused connection is closed after this time.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of idle connections that are kept open.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 16;
/// The number of concurrent requests of all databases that share a connection pool. Further requests wait.
pub(super) const REQUESTS_MAX: usize = 64;

/// The interval at which a rejected key is fetched again from its provider at most: some providers run a program.
pub(super) const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

/// The largest response body that is no object: a thousand names of a kilobyte, encoded, have three megabytes.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The number of XML tags in it; a thousand objects have about fifty thousand.
pub(super) const ANSWER_TAGS_MAX: usize = 100_000;
/// The largest body of an error response.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;
/// The longest ETag of a part, of which an upload keeps ten thousand; those of S3 have 34 bytes.
pub(super) const TAG_BYTES_MAX: usize = 1024;
/// The longest string of the server that becomes part of a later request: a name of a kilobyte, encoded, and more. The
/// SDK panics on a string that fits into no URL.
pub(super) const WORD_BYTES_MAX: usize = 8 * 1024;

/// Retries of a part. Parts are idempotent: nothing of an upload is visible before its end.
pub(super) const PARTS: Policy =
    Policy { first: Duration::from_millis(200), longest: Duration::from_secs(5), attempts: 6 };

/// The number of pages of a listing: twice as many as the largest listing has that is accepted. A server that sends more
/// pages repeats them.
pub(super) const LIST_PAGES_MAX: usize = 2_000;
/// The time for all pages of a listing. A million names take some minutes.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(600);
/// The number of unfinished uploads that one sweep aborts; the next start aborts the rest.
pub(super) const SWEEP_MAX: u64 = 1000;
/// The time of one sweep.
pub(super) const SWEEP_TIMEOUT: Duration = Duration::from_secs(120);

/// The smallest part of an upload: the minimum of S3 for all parts but the last.
pub(super) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// The largest part that S3 accepts.
pub(super) const PART_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// The number of parts that S3 accepts.
pub(super) const PARTS_MAX: u64 = 10_000;
/// The expected bytes are divided among this number of parts. They all have one size, because some servers require that
/// (Cloudflare R2). The remaining parts are for uploads that become larger than expected.
pub(super) const PARTS_EXPECTED: u64 = 9_000;
/// Beyond the expected parts, the size doubles after each group of this number of parts.
pub(super) const PARTS_PER_DOUBLING: u64 = 100;
/// The number of concurrent parts of one upload while the next is filled.
pub(super) const PARTS_IN_FLIGHT: usize = 2;

/// The timeout of a request with `bytes` in its body or its response.
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

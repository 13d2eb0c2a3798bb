//! Counts in sums of money, which need no last digit.

#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is an estimate, and no larger than all disks"
)]
pub(super) fn as_bytes(bytes: f64) -> u64 {
    bytes as u64
}

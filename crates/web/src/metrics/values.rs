//! Values as Prometheus has them: floating-point numbers, and times since the epoch.

use ebbtide_replica::Timestamp;

/// A count: exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
pub(super) fn count(count: u64) -> f64 {
    count as f64
}

/// A time, in seconds since the epoch.
pub(super) fn since_epoch(time: Timestamp) -> f64 {
    let micros = time.as_micros();
    count(micros.unsigned_abs()) / 1e6 * if micros < 0 { -1.0 } else { 1.0 }
}

/// 1 if it is so, else 0.
pub(super) fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

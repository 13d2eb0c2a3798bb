//! A double as SQL text that every SQLite reads back to the bit.
//!
//! SQLite's own reader of decimals is not always right to the last bit: 3.40 misreads one in ten thousand of the shortest
//! decimals, and one in two hundred of those with great exponents whatever their digits. So a decimal is written only
//! where an error in the last bits of an extended double cannot matter, and else the exact product of an integer and
//! powers of two.

/// From this exponent on, powers of ten are no longer exact in an extended double.
const EXPONENT_MAX: i32 = 22;

/// Digits that a decimal may have and be shorter than the one that always comes back.
const SHORT_DIGITS_MAX: usize = 15;

/// The bits of one factor, so that it is an integer below 2^53.
const FACTOR_BITS: u32 = 52;

/// The expression. NaN cannot be in a database; it would read back as NULL, which is what SQLite stores for it.
pub(crate) fn sql(real: f64) -> String {
    if real.is_nan() {
        return "NULL".to_owned();
    }
    if real.is_infinite() {
        return if real > 0.0 { "9e999" } else { "-9e999" }.to_owned();
    }
    if real == 0.0 {
        return if real.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let long = format!("{real:.16e}");
    match exponent(&long) {
        Some(exponent) if exponent.abs() <= EXPONENT_MAX => short(real).unwrap_or(long),
        _ => exact(real),
    }
}

fn exponent(text: &str) -> Option<i32> {
    text.split_once('e')?.1.parse().ok()
}

/// The shortest decimal, if it has few digits and is clearly nearer to `real` than to the next double: half a step is
/// where a reader's own rounding decides.
fn short(real: f64) -> Option<String> {
    let shortest = format!("{real:e}");
    let (digits, _) = shortest.split_once('e')?;
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    // Two digits more than tell doubles apart, so that parts of the step between two of them can be seen.
    let (there, after) = (finer(real), finer(f64::from_bits(real.to_bits() + 1)));
    let is_comparable =
        exponent(&after) == exponent(&there) && exponent(&shortest) == exponent(&there);
    if count > SHORT_DIGITS_MAX || !is_comparable {
        return None;
    }
    let step = mantissa(&after)?.abs_diff(mantissa(&there)?);
    let error = mantissa(&shortest)?.abs_diff(mantissa(&there)?);
    (error.checked_mul(100)? <= step.checked_mul(48)?).then(|| plain(real))
}

fn finer(real: f64) -> String {
    format!("{real:.18e}")
}

/// The first 19 digits as an integer, without the sign.
fn mantissa(text: &str) -> Option<u64> {
    let (digits, _) = text.split_once('e')?;
    let mut digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    while digits.len() < 19 {
        digits.push('0');
    }
    digits.parse().ok()
}

/// As people write it: `0.1`, `42.0`, `1.5e20`.
fn plain(real: f64) -> String {
    format!("{real:?}")
}

fn exact(real: f64) -> String {
    let bits = real.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), i32::from((bits >> 52 & 0x7ff) as u16));
    // Subnormal numbers have no leading bit.
    let (mantissa, exponent) = match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    };
    let zeros = mantissa.trailing_zeros();
    let (mantissa, exponent) = (mantissa >> zeros, exponent + zeros.cast_signed());
    let sign = if real < 0.0 { "-" } else { "" };
    let mut text = format!("({sign}{mantissa}.0");
    let operator = if exponent > 0 { '*' } else { '/' };
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        let bits = left.min(FACTOR_BITS);
        text.push(operator);
        text.push_str(&format!("{}.0", 1_u64 << bits));
        left -= bits;
    }
    text + ")"
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A row of numbers that looks random.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn samples() -> impl Iterator<Item = f64> {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let fixed = [0.1, 0.1 + 0.2, 1e22, 1e23, 5e-324, f64::MAX, f64::MIN_POSITIVE, -1.5, 2e15];
        fixed.into_iter().chain((0..30_000).map(move |number| {
            let random = f64::from_bits(next(&mut state));
            match number % 3 {
                0 if random.is_finite() => random,
                1 => (next(&mut state) as f64 / 1e9).round() / 1000.0,
                _ => next(&mut state) as f64 * 1e-19,
            }
        }))
    }

    #[test]
    fn t09_reals_read_back_to_the_bit() {
        let connection = Connection::open_in_memory().unwrap();
        for real in samples() {
            let sql = format!("SELECT {}", sql(real));
            let back: f64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(back.to_bits(), real.to_bits(), "{sql}");
        }
    }

    #[test]
    fn reals_that_people_write_look_as_they_write_them() {
        for text in ["0.1", "42.0", "1999.99", "-3.5", "1e20"] {
            assert_eq!(sql(text.parse().unwrap()), text);
        }
        assert_eq!(sql(0.1 + 0.2), "3.0000000000000004e-1");
        assert_eq!(sql(f64::NEG_INFINITY), "-9e999");
        assert_eq!(sql(2.0_f64.powi(-60)), "8.6736173798840355e-19");
        assert_eq!(sql(2.0_f64.powi(100)), "(1.0*4503599627370496.0*281474976710656.0)");
    }
}

//! The number of an entry as people write it: hexadecimal, as `ebbtide log` prints it, with or without `0x`.

use std::str::FromStr;

use ebbtide_replica::Txid;

/// A txid, and whether it could have been meant as a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    txid: Txid,
    is_doubtful: bool,
}

/// Why a text is no number of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no txid: use the hexadecimal number that `ebbtide log` prints, such as 2a or 0x2a"
)]
pub struct NoNumber(String);

impl Number {
    /// The entry.
    #[must_use]
    pub fn txid(self) -> Txid {
        self.txid
    }

    /// How it was read, if it has another meaning to somebody who counts in tens.
    #[must_use]
    pub fn said(self) -> Option<String> {
        self.is_doubtful.then(|| {
            let (txid, number) = (self.txid, self.txid.get());
            format!(
                "{number:x} was read as hexadecimal: txid {txid}, entry {number} of the history"
            )
        })
    }
}

impl FromStr for Number {
    type Err = NoNumber;

    fn from_str(text: &str) -> Result<Number, NoNumber> {
        let fail = || NoNumber(text.to_owned());
        let trimmed = text.trim();
        let prefixed = trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("0X"));
        let digits = prefixed.unwrap_or(trimmed);
        let txid: Txid = digits.parse().map_err(|_| fail())?;
        // All sixteen digits are as the log prints them, and up to 9 both ways of counting agree.
        let is_decimal = digits.len() < 16 && digits.bytes().all(|digit| digit.is_ascii_digit());
        Ok(Number { txid, is_doubtful: prefixed.is_none() && is_decimal && txid.get() > 9 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u64, Option<String>) {
        let number: Number = text.parse().unwrap();
        (number.txid().get(), number.said())
    }

    #[test]
    fn o23_a_number_without_letters_says_that_it_is_hexadecimal() {
        for (text, number) in [("2a", 42), ("0x2a", 42), ("0X10", 16), ("9", 9), ("0009", 9)] {
            assert_eq!(read(text), (number, None));
        }
        assert_eq!(read("0000000000000010"), (16, None), "as the log prints it");
        let (number, said) = read("10");
        let expected = "10 was read as hexadecimal: txid 0000000000000010, entry 16 of the history";
        assert_eq!((number, said.as_deref()), (16, Some(expected)));
        for text in ["", "0", "0x", "0x0", "xyz", "-1", "0x00000000000000001"] {
            let error = text.parse::<Number>().unwrap_err().to_string();
            assert!(error.contains("0x2a"), "{error}");
        }
    }
}

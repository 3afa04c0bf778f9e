//! Decimal numbers that keep the text they were written with: `98.60` is not `98.6`.
//! Not here: arithmetic and conversion, which this crate never does.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::RecordError;

/// Longest text of a decimal, in characters; FHIR asks for 18 digits.
const DECIMAL_CHARS_MAX: usize = 64;

/// A decimal number in its source's own text. (Only the spelling of an exponent is made uniform when JSON is read:
/// `1E5` becomes `1e+5`, which has the same digits.)
#[derive(Clone, Eq, PartialEq)]
pub struct Decimal(String);

impl Decimal {
    /// The number as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else { return None };
        number.to_string().parse().ok()
    }

    pub(crate) fn to_json(&self) -> Value {
        serde_json::from_str(&self.0).expect("checked against JSON's grammar when made")
    }
}

/// Accepts JSON's grammar for numbers, which is also FHIR's.
impl FromStr for Decimal {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match digits.find(['e', 'E']) {
            Some(at) => (&digits[..at], Some(&digits[at + 1..])),
            None => (digits, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let is_decimal = text.len() <= DECIMAL_CHARS_MAX
            && is_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(is_digits)
            && exponent
                .is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
        if is_decimal { Ok(Self(text.to_owned())) } else { Err(RecordError::Decimal) }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decimal(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_survive_json() {
        for text in ["98.60", "0", "-0.00", "1e-5", "72", "104.30851517665332"] {
            let decimal: Decimal = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&decimal.to_json()).unwrap(), text);
            assert_eq!(Decimal::from_json(&decimal.to_json()).unwrap(), decimal);
        }
    }

    #[test]
    fn what_json_would_not_write_is_refused() {
        for text in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", "0x1", "1 ", "١", &"1".repeat(65)]
        {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }
}

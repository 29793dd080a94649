//! Numbers and booleans of fields.

use ochre_batch::FieldValue;

use super::cursor::Cursor;
use super::error::LineError;

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Digits that always fit into 64 bits, signed or not.
const SAFE_DIGITS: usize = 18;
/// Integers up to here are doubles.
const EXACT: u64 = 1 << 53;
/// Bytes of a number that an error quotes.
const MAX_QUOTED: usize = 64;

/// Digits read so far, as one integer; exact while there are at most [`SAFE_DIGITS`].
#[derive(Default)]
struct Digits {
    value: u64,
    count: usize,
}

impl Digits {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> usize {
        let before = self.count;
        for byte in cursor.rest() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.count += 1;
        }
        cursor.at += self.count - before;
        self.count - before
    }
}

/// Reads the number here and goes past it. What follows must end a value.
pub(super) fn number(cursor: &mut Cursor<'_>) -> Result<FieldValue<'static>, LineError> {
    let start = cursor.at;
    let negative = cursor.peek() == b'-';
    cursor.at += usize::from(negative);
    let mut digits = Digits::default();
    digits.read(cursor);
    match cursor.peek() {
        b'i' if digits.count > 0 => integer(cursor, start, negative, &digits),
        b'u' if digits.count > 0 && !negative => unsigned(cursor, start, &digits),
        byte => {
            let mut decimals = 0;
            if byte == b'.' {
                cursor.at += 1;
                decimals = digits.read(cursor);
            }
            let is_exact = digits.count > 0 && digits.count <= SAFE_DIGITS && digits.value <= EXACT;
            if is_exact && is_value_end(cursor) {
                // Both are exact, so that the one division rounds right. A digit count of 18 keeps the index in range.
                let value = digits.value as f64 / POWERS[decimals];
                return Ok(FieldValue::Float(if negative { -value } else { value }));
            }
            float(cursor, start)
        }
    }
}

/// Whether a value ends here.
pub(super) fn is_value_end(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek(), b',' | b' ' | b'\n') || cursor.is_at_end()
}

fn integer(
    cursor: &mut Cursor<'_>,
    start: usize,
    negative: bool,
    digits: &Digits,
) -> Result<FieldValue<'static>, LineError> {
    let text = cursor.since(start);
    cursor.at += 1;
    if !is_value_end(cursor) {
        return Err(LineError::InvalidNumber);
    }
    if digits.count <= SAFE_DIGITS {
        let value = digits.value as i64;
        return Ok(FieldValue::Integer(if negative { -value } else { value }));
    }
    text.parse().map(FieldValue::Integer).map_err(|_| LineError::IntegerRange { text: quote(text) })
}

fn unsigned(cursor: &mut Cursor<'_>, start: usize, digits: &Digits) -> Result<FieldValue<'static>, LineError> {
    let text = cursor.since(start);
    cursor.at += 1;
    if !is_value_end(cursor) {
        return Err(LineError::InvalidNumber);
    }
    if digits.count <= SAFE_DIGITS {
        return Ok(FieldValue::UInteger(digits.value));
    }
    text.parse().map(FieldValue::UInteger).map_err(|_| LineError::UnsignedRange { text: quote(text) })
}

/// A float that is not simply digits: with an exponent, or with many digits.
fn float(cursor: &mut Cursor<'_>, start: usize) -> Result<FieldValue<'static>, LineError> {
    cursor.at = start;
    while matches!(cursor.peek(), b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') {
        cursor.at += 1;
    }
    if !is_value_end(cursor) {
        return Err(LineError::InvalidNumber);
    }
    let text = cursor.since(start);
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(FieldValue::Float(value)),
        Err(_) if !text.contains(['e', 'E']) || !text.contains(|c: char| c.is_ascii_digit()) => {
            Err(LineError::InvalidNumber)
        }
        _ => Err(LineError::InvalidFloat),
    }
}

/// Reads the boolean here and goes past it.
pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<FieldValue<'static>, LineError> {
    const SPELLINGS: [(&[u8], bool); 10] = [
        (b"true", true),
        (b"false", false),
        (b"t", true),
        (b"f", false),
        (b"True", true),
        (b"False", false),
        (b"TRUE", true),
        (b"FALSE", false),
        (b"T", true),
        (b"F", false),
    ];
    let start = cursor.at;
    for (spelling, value) in SPELLINGS {
        if cursor.rest().starts_with(spelling) {
            cursor.at = start + spelling.len();
            if is_value_end(cursor) {
                return Ok(FieldValue::Boolean(value));
            }
        }
    }
    Err(LineError::InvalidBoolean)
}

fn quote(number: &str) -> String {
    // Only digits and a sign: any offset is between characters.
    number.get(..MAX_QUOTED).map_or_else(|| number.to_owned(), |start| format!("{start}…"))
}

//! Text on the serial line.

use crate::rom;

/// Sends a text; `\n` becomes the line end terminals want.
pub fn text(text: &str) {
    for byte in text.bytes() {
        if byte == b'\n' {
            rom::send(b'\r');
        }
        rom::send(byte);
    }
}

/// Sends a number, decimal.
pub fn number(value: u32) {
    let mut digits = [b'0'; 10];
    let mut rest = value;
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    for digit in digits.iter().skip(digits.len() - length) {
        rom::send(*digit);
    }
}

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

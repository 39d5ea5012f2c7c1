//! Text written into bytes that somebody else owns.

use core::fmt;

/// Takes text as long as there is room. A piece that does not fit is left out whole, and is an error.
#[derive(Debug)]
pub struct Text<'b> {
    bytes: &'b mut [u8],
    length: usize,
}

impl<'b> Text<'b> {
    /// Writes from the start of `bytes` on.
    pub const fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, length: 0 }
    }

    /// Bytes written.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes back all but the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length.saturating_add(text.len());
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut bytes = [0; 6];
        let mut text = Text::new(&mut bytes);
        assert!(text.is_empty() && text.write_str("1234").is_ok() && text.write_str("567").is_err());
        text.truncate(2);
        assert!(text.write_str("abcd").is_ok() && text.write_str("e").is_err());
        assert_eq!(text.len(), 6);
        assert_eq!(&bytes, b"12abcd");
    }
}

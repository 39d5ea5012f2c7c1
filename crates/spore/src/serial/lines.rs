//! From bytes to lines that can be shown, whatever the bytes.

/// The longest line; what is longer is cut into several.
const LONGEST: usize = 1024;

/// Bytes on their way to lines.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

/// A line, and whether it looks like text at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without its end. What a terminal would obey, or is no text, is written as `\xNN`.
    pub text: String,
    /// Many of its bytes were no text: another rate, or a bad connection.
    pub garbled: bool,
}

impl Lines {
    /// Take bytes; the lines that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(shown(&self.rest));
                self.rest.clear();
            } else {
                self.rest.push(*byte);
                if self.rest.len() == LONGEST {
                    lines.extend(self.flush());
                }
            }
        }
        lines
    }

    /// What has come of a line that has not ended.
    pub fn flush(&mut self) -> Option<Line> {
        let line = (!self.rest.is_empty()).then(|| shown(&self.rest));
        self.rest.clear();
        line
    }
}

fn shown(bytes: &[u8]) -> Line {
    let mut text = String::new();
    let mut strange = 0;
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => text.push(' '),
                // The end of a line that was counted already, or of one of a chip that ends them the other way round.
                '\r' => {}
                c if c.is_control() => {
                    strange += 1;
                    text.push_str(&format!("\\x{:02x}", u32::from(c)));
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            strange += 1;
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Line { text, garbled: bytes.len() >= 4 && strange * 4 >= bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(lines: &mut Lines, bytes: &[u8]) -> Vec<String> {
        lines.push(bytes).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_come_whole() {
        let mut lines = Lines::default();
        assert_eq!(texts(&mut lines, b"wifi joi"), [""; 0]);
        assert_eq!(texts(&mut lines, b"ned\r\nnext\n\r\nrest"), ["wifi joined", "next", ""]);
        assert_eq!(lines.flush().unwrap().text, "rest");
        assert_eq!(lines.flush(), None);
        assert_eq!(texts(&mut lines, &[b'x'; 2500]).len(), 2);
    }

    #[test]
    fn what_is_no_text_is_shown_and_obeyed_by_no_terminal() {
        let mut lines = Lines::default();
        let line = lines.push(b"a\x1b[2J\xff\xc3\xa4\tb\n").pop().unwrap();
        assert_eq!(line, Line { text: "a\\x1b[2J\\xffä b".into(), garbled: false });
        assert!(lines.push(b"\xfe\x80\x00\xe0rl\n").pop().unwrap().garbled);
    }

    proptest! {
        #[test]
        fn any_bytes_give_printable_lines(bytes: Vec<u8>) {
            let mut lines = Lines::default();
            let mut all = lines.push(&bytes);
            all.extend(lines.flush());
            for line in all {
                prop_assert!(!line.text.chars().any(char::is_control));
            }
        }
    }
}

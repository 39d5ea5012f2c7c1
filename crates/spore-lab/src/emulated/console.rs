//! The serial line of an emulated node, and what can be read off it.

use super::Body;
use crate::view::Phase;
use futures_lite::io::{AsyncRead, AsyncReadExt as _};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

/// The longest line; longer ones are broken.
const LINE: usize = 512;
/// Size at which the log file is put aside and a new one begun, in bytes.
const FILE: u64 = 1024 * 1024;

/// Reads what a chip says.
pub(super) struct Console<'a> {
    body: &'a Body,
    file: RefCell<Option<File>>,
    last: RefCell<String>,
    started: RefCell<bool>,
}

impl<'a> Console<'a> {
    pub fn new(body: &'a Body) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(Self::path(body)).ok();
        Self { body, file: RefCell::new(file), last: RefCell::default(), started: RefCell::new(false) }
    }

    fn path(body: &Body) -> PathBuf {
        body.home.folder().join("serial.log")
    }

    /// The last line that said anything.
    pub fn last(&self) -> String {
        self.last.borrow().clone()
    }

    /// Reads until the stream ends. `news` is called whenever an image says that it starts.
    pub async fn read(&self, mut stream: impl AsyncRead + Unpin, prefix: &str, news: impl Fn()) {
        let (mut buffer, mut line) = ([0; 1024], Vec::new());
        loop {
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            for byte in &buffer[..count] {
                if *byte != b'\n' {
                    line.push(*byte);
                }
                if *byte == b'\n' || line.len() == LINE {
                    self.line(prefix, &line, &news);
                    line.clear();
                }
            }
            if count == 0 {
                if !line.is_empty() {
                    self.line(prefix, &line, &news);
                }
                return;
            }
        }
    }

    fn line(&self, prefix: &str, bytes: &[u8], news: &impl Fn()) {
        // A terminal must not obey what a chip says.
        let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
        self.keep(prefix, &text);
        if text.trim().is_empty() {
            return;
        }
        let view = &self.body.view;
        view.log.line(&format!("{prefix}{text}"));
        if !prefix.is_empty() {
            return;
        }
        if let Some(version) = started(&text) {
            // The first is the start that the lab has counted already.
            if self.started.replace(true) {
                view.restarted("restart");
            }
            view.version.replace(version.to_owned());
            view.phase.set(Phase::Running);
            news();
        } else if text.contains("no image to start") {
            view.stop(Phase::Bricked);
        }
        self.last.replace(text);
    }

    /// Appends to the file of the serial line.
    fn keep(&self, prefix: &str, text: &str) {
        let mut file = self.file.borrow_mut();
        let Some(open) = file.as_mut() else { return };
        // A full disk costs the file, not the node.
        let written = writeln!(open, "{prefix}{text}");
        let full = open.metadata().map_or(true, |data| data.len() >= FILE);
        if written.is_err() {
            *file = None;
        } else if full {
            let path = Self::path(self.body);
            let aside = std::fs::rename(&path, path.with_extension("log.1"));
            *file = aside.and_then(|()| File::create(path)).ok();
        }
    }
}

/// The version of the image that says with this line that it starts: "esp_3f9ec1 version 1.2.0 slot a boot 7".
fn started(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(6).find_map(|words| match words {
        ["version", version, "slot", _, "boot", _] => Some(*version),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_an_image() {
        assert_eq!(started("esp_3f9ec1 version 1.2.0 slot a boot 7"), Some("1.2.0"));
        assert_eq!(started("  0.312 esp_3f9ec1 version 1.2.0 slot b boot 7 on trial"), Some("1.2.0"));
        for other in ["", "boot: slot a version 1.2.0 boot 7", "esp_3f9ec1 version 1.2.0 slot a"] {
            assert_eq!(started(other), None, "{other}");
        }
    }
}

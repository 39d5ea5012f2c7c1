//! `board.txt`: what the emulated board is like, lines of `key=value`, read once at power on.

use crate::{
    chip::Cell,
    host::{File, Mode},
    reset,
};

/// The longest file.
const ROOM: usize = 1024;

struct Board {
    text: [u8; ROOM],
    length: usize,
}

static BOARD: Cell<Board> = Cell::new(Board { text: [0; ROOM], length: 0 });

/// At power on: false if the file is longer than there is room for, or not text. It need not exist.
pub(crate) fn power_on() -> bool {
    let board = BOARD.get();
    if let Some(file) = File::open(c"board.txt", Mode::Read) {
        board.length = file.read(&mut board.text) as usize;
        file.close();
    }
    board.length < ROOM && core::str::from_utf8(text()).is_ok()
}

fn text() -> &'static [u8] {
    let board = BOARD.get();
    board.text.get(..board.length).unwrap_or_default()
}

/// The value of a key, without spaces around it.
pub(crate) fn value(key: &str) -> Option<&'static str> {
    let text = core::str::from_utf8(text()).ok()?;
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

/// The value of a key as a number, decimal. Anything else there ends QEMU.
pub(crate) fn number(key: &str) -> Option<u32> {
    let value = value(key)?;
    Some(value.parse().unwrap_or_else(|_| reset::bad_board("a value in board.txt is not a number")))
}

//! Random words: xorshift64* (Vigna 2016), started by the host or by `seed=` in `board.txt`; and the ROM's `rand`.

use crate::{
    board,
    chip::Cell,
    host::{File, Mode},
};

static STATE: Cell<u64> = Cell::new(1);

/// At power on.
pub(crate) fn power_on() {
    let mut seed = [0; 8];
    let seed = match board::number("seed") {
        Some(seed) => u64::from(seed).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        None => {
            if let Some(file) = File::open(c"/dev/urandom", Mode::Read) {
                file.read(&mut seed);
                file.close();
            }
            u64::from_le_bytes(seed)
        }
    };
    *STATE.get() = seed | 1;
}

/// A random word.
pub(crate) fn word() -> u32 {
    let state = STATE.get();
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
}

static RAND: Cell<u32> = Cell::new(1);

/// `srand(seed)`.
#[unsafe(no_mangle)]
extern "C" fn rom_srand(seed: u32) {
    *RAND.get() = seed;
}

/// `rand()`: 0 to 0x7FFFFFFF; a sequence of its own, not the ROM's.
#[unsafe(no_mangle)]
extern "C" fn rom_rand() -> u32 {
    let state = RAND.get();
    *state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
    *state & 0x7FFF_FFFF
}

/// Back to the state at reset.
pub(crate) fn reset() {
    *RAND.get() = 1;
}

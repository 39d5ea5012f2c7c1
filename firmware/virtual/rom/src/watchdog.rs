//! The hardware watchdog, and the files that show the world outside that interrupts still run and what the chip has done so far.
//!
//! Both are written anew each second. `alive` counts how often. `work` holds three numbers of 16 hexadecimal digits: microseconds
//! since power on, ticks of CCOUNT that were not spent waiting, and those of them that the ROM's functions for flash and cache took.

use crate::{
    chip::{Cell, load, store},
    clock,
    host::{File, Mode},
    reset,
};
use spore_hidden::reset_reason;

/// Where 0x73 is written to feed it.
const FEED: u32 = 0x6000_0914;
/// What is written there.
const FOOD: u32 = 0x73;
/// How long it waits, in microseconds.
const PATIENCE: u64 = 7_000_000;
/// The most that one look may age it, in microseconds: while the whole process stood still, the firmware had no chance to feed.
const LONGEST: u64 = 500_000;
/// How often the heart beats, in microseconds.
const BEAT: u64 = 1_000_000;

struct Watchdog {
    on: bool,
    /// Microseconds since the last feed.
    hungry: u64,
    /// When it was looked at.
    looked: u64,
    /// Beats so far, and when the last one was.
    beats: u32,
    beaten: u64,
    alive: Option<File>,
    work: Option<File>,
}

static WATCHDOG: Cell<Watchdog> =
    Cell::new(Watchdog { on: false, hungry: 0, looked: 0, beats: 0, beaten: 0, alive: None, work: None });

/// At power on: opens the files.
pub(crate) fn power_on() {
    WATCHDOG.get().alive = File::open(c"alive", Mode::Create);
    WATCHDOG.get().work = File::open(c"work", Mode::Create);
    beat();
}

fn beat() {
    let watchdog = WATCHDOG.get();
    let mut text = *b"0000000000\n";
    let mut rest = watchdog.beats;
    for digit in text[..10].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    watchdog.beats = watchdog.beats.wrapping_add(1);
    let mut work = *b"0000000000000000 0000000000000000 0000000000000000\n";
    for (place, value) in work.chunks_mut(17).zip([clock::micros(), clock::busy(), clock::in_flash()]) {
        hexadecimal(&mut place[..16], value);
    }
    for (file, text) in [(watchdog.alive, &text[..]), (watchdog.work, &work)] {
        if let Some(file) = file {
            file.seek(Some(0));
            // Whoever took the directory away does not want to know.
            let _ = file.write(text);
        }
    }
}

fn hexadecimal(digits: &mut [u8], value: u64) {
    for (at, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (4 * at)) as usize & 15];
    }
}

/// Looks whether it was fed, bites, beats. `now` in microseconds.
pub(crate) fn look(now: u64) {
    let watchdog = WATCHDOG.get();
    if now - watchdog.beaten >= BEAT {
        watchdog.beaten = now;
        beat();
    }
    watchdog.hungry += (now - watchdog.looked).min(LONGEST);
    watchdog.looked = now;
    // SAFETY: a register of the chip, RAM in QEMU.
    unsafe {
        if load(FEED) == FOOD {
            store(FEED, 0);
            watchdog.hungry = 0;
        }
    }
    if watchdog.on && watchdog.hungry >= PATIENCE {
        reset::reset(reset_reason::WATCHDOG);
    }
}

fn switch(on: bool) -> u32 {
    let watchdog = WATCHDOG.get();
    let before = watchdog.on;
    watchdog.on = on;
    watchdog.hungry = 0;
    watchdog.looked = clock::micros();
    u32::from(before)
}

/// Nobody feeds a chip that sleeps.
pub(crate) fn off() {
    switch(false);
}

/// Back to the state after a reset for this reason.
pub(crate) fn reset(reason: u32) {
    switch(!matches!(reason, reset_reason::POWER_ON | reset_reason::EXTERNAL));
}

/// `ets_wdt_init()`.
#[unsafe(no_mangle)]
extern "C" fn rom_wdt_init() {
    switch(WATCHDOG.get().on);
}

/// `ets_wdt_enable(mode, ...)`: on, and fed.
#[unsafe(no_mangle)]
extern "C" fn rom_wdt_enable() {
    switch(true);
}

/// `ets_wdt_disable()`: off; whether it was on.
#[unsafe(no_mangle)]
extern "C" fn rom_wdt_disable() -> u32 {
    switch(false)
}

/// `ets_wdt_restore(mode)`: as `ets_wdt_disable` found it.
#[unsafe(no_mangle)]
extern "C" fn rom_wdt_restore(mode: u32) {
    switch(mode != 0);
}

/// `ets_wdt_get_mode()`: whether it is on.
#[unsafe(no_mangle)]
extern "C" fn rom_wdt_get_mode() -> u32 {
    u32::from(WATCHDOG.get().on)
}

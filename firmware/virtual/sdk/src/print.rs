//! Formatted output on the serial line.

use core::ffi::CStr;

use crate::{cell::Locked, cpu, rom};

/// Whether the SDK and `os_printf` may print.
static ON: Locked<bool> = Locked::new(true);

/// Switches the output of `os_printf` on or off.
#[unsafe(no_mangle)]
pub extern "C" fn system_set_os_print(on: u8) {
    ON.set(on != 0);
}

/// Whether `os_printf` prints.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_os_print() -> u8 {
    u8::from(ON.get())
}

// os_printf_plus(format, ...): in the call0 convention the words behind a2 to a7 are those at the caller's stack pointer, so that
// the six registers stored just below it make one array with them.
core::arch::global_asm!(
    ".section .text.os_printf_plus,\"ax\"",
    ".p2align 2",
    ".global os_printf_plus",
    "os_printf_plus:",
    "addi a1, a1, -32",
    "s32i a0, a1, 0",
    "s32i a2, a1, 8",
    "s32i a3, a1, 12",
    "s32i a4, a1, 16",
    "s32i a5, a1, 20",
    "s32i a6, a1, 24",
    "s32i a7, a1, 28",
    "addi a3, a1, 12",
    "call0 spore_sdk_printf",
    "l32i a0, a1, 0",
    "addi a1, a1, 32",
    "ret",
);

/// `os_printf` with its arguments as an array of words.
#[unsafe(no_mangle)]
extern "C" fn spore_sdk_printf(format: *const u8, mut arguments: *const u32) -> i32 {
    if !ON.get() {
        return 0;
    }
    let mut next = || {
        // SAFETY: the array goes on on the caller's stack; a format that asks for more reads what lies there, as on a chip.
        unsafe {
            let word = arguments.read();
            arguments = arguments.add(1);
            word
        }
    };
    render(format, &mut next)
}

/// Prints a format with words as arguments; missing ones are 0.
pub fn print(format: &CStr, arguments: &[u32]) {
    let mut words = arguments.iter();
    render(format.as_ptr().cast(), &mut || words.next().copied().unwrap_or(0));
}

/// A byte of memory that may allow access by words only.
fn byte(address: *const u8) -> u8 {
    let word = (address as usize & !3) as *const u32;
    // SAFETY: whoever prints gives readable memory; an aligned word is readable wherever one of its bytes is.
    let value = unsafe { word.read_volatile() };
    (value >> ((address as u32 & 3) * 8)) as u8
}

/// Writes a byte, line feeds as carriage return and line feed.
fn put(character: u8) {
    // SAFETY: a ROM function.
    unsafe {
        if character == b'\n' {
            rom::uart_tx_one_char(b'\r');
        }
        rom::uart_tx_one_char(character);
    }
}

/// Prints `character` as often as `width` is more than `length`.
fn pad(character: u8, width: u32, length: u32) {
    for _ in length..width {
        put(character);
    }
}

/// Formats: flags `-` and `0`, a width, `l`, and d i u x X p s c %. Returns the number of conversions.
#[inline(never)]
fn render(mut format: *const u8, next: &mut dyn FnMut() -> u32) -> i32 {
    let mut conversions = 0;
    loop {
        let mut character = byte(format);
        format = format.wrapping_add(1);
        if character == 0 {
            return conversions;
        }
        if character != b'%' {
            put(character);
            continue;
        }
        let (mut left, mut fill, mut width) = (false, b' ', 0_u32);
        loop {
            character = byte(format);
            format = format.wrapping_add(1);
            match character {
                b'-' => left = true,
                b'0' if width == 0 => fill = b'0',
                b'0'..=b'9' => width = width.wrapping_mul(10).wrapping_add(u32::from(character - b'0')) & 63,
                b'l' => {}
                _ => break,
            }
        }
        conversions += 1;
        match character {
            b'd' | b'i' => number(next(), 10, b'a', true, left, fill, width),
            b'u' => number(next(), 10, b'a', false, left, fill, width),
            b'x' | b'p' => number(next(), 16, b'a', false, left, fill, width),
            b'X' => number(next(), 16, b'A', false, left, fill, width),
            b's' => text(next() as usize as *const u8, left, width),
            b'c' => put(next() as u8),
            0 => return conversions,
            other => put(other),
        }
    }
}

/// Prints a number.
fn number(value: u32, base: u32, letter: u8, signed: bool, left: bool, fill: u8, width: u32) {
    let negative = signed && (value as i32) < 0;
    let mut rest = if negative { value.wrapping_neg() } else { value };
    let mut digits = [0_u8; 10];
    let mut length = 0;
    for digit in &mut digits {
        let low = (rest % base) as u8;
        *digit = if low < 10 { b'0' + low } else { letter + (low - 10) };
        length += 1;
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    let shown = length + u32::from(negative);
    if !left && fill == b' ' {
        pad(b' ', width, shown);
    }
    if negative {
        put(b'-');
    }
    if !left && fill == b'0' {
        pad(b'0', width, shown);
    }
    for digit in digits.iter().take(length as usize).rev() {
        put(*digit);
    }
    if left {
        pad(b' ', width, shown);
    }
}

/// Prints a C string.
fn text(start: *const u8, left: bool, width: u32) {
    if start.is_null() {
        return;
    }
    let mut length = 0;
    while byte(start.wrapping_add(length)) != 0 {
        length += 1;
    }
    if !left {
        pad(b' ', width, length as u32);
    }
    for index in 0..length {
        put(byte(start.wrapping_add(index)));
    }
    if left {
        pad(b' ', width, length as u32);
    }
}

/// Waits a moment so that what was printed leaves the line, with interrupts as they are.
pub fn drain() {
    // SAFETY: a ROM function.
    unsafe { rom::ets_delay_us(if cpu::interrupt_level() == 0 { 2_000 } else { 500 }) };
}

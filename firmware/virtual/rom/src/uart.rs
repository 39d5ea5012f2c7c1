//! UART0: the 16550 of QEMU's board.

use crate::chip::{load, store};

const BASE: u32 = 0xFD05_0020;
const DATA: u32 = BASE;
const INTERRUPTS: u32 = BASE + 4;
const FIFO: u32 = BASE + 8;
const STATUS: u32 = BASE + 0x14;
const RECEIVED: u32 = 1;
const SENDABLE: u32 = 1 << 5;

/// Off with its interrupts, queue on.
pub(crate) fn reset() {
    // SAFETY: registers of the UART.
    unsafe {
        store(INTERRUPTS, 0);
        store(FIFO, 7);
    }
}

/// Sends a byte.
pub(crate) fn send(byte: u8) {
    // SAFETY: registers of the UART.
    unsafe {
        while load(STATUS) & SENDABLE == 0 {}
        store(DATA, u32::from(byte));
    }
}

/// The next byte received, if any.
fn receive() -> Option<u8> {
    // SAFETY: registers of the UART.
    unsafe { (load(STATUS) & RECEIVED != 0).then(|| load(DATA) as u8) }
}

/// `uart_tx_one_char(byte)` and `ets_putc(byte)`: 0.
#[unsafe(no_mangle)]
extern "C" fn rom_uart_tx(byte: u8) -> i32 {
    send(byte);
    0
}

/// `uart_rx_one_char(to)`: 0, or 1 if nothing was received.
///
/// # Safety
/// `to` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_uart_rx(to: *mut u8) -> i32 {
    match receive() {
        Some(byte) => {
            // SAFETY: by the caller.
            unsafe { *to = byte };
            0
        }
        None => 1,
    }
}

/// `uart_rx_one_char_block()` and `ets_getc()`: the next byte received, when there is one.
#[unsafe(no_mangle)]
extern "C" fn rom_uart_rx_block() -> u32 {
    loop {
        if let Some(byte) = receive() {
            return u32::from(byte);
        }
    }
}

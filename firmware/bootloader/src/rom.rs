//! Functions of the ROM (names and addresses: `firmware/link/rom.ld`) and the one register that is used without it.

unsafe extern "C" {
    fn SPIRead(offset: u32, to: *mut u32, length: u32) -> u32;
    fn SPIWrite(offset: u32, from: *const u32, length: u32) -> u32;
    fn SPIEraseSector(sector: u32) -> u32;
    fn SPIUnlock() -> u32;
    fn uart_tx_one_char(byte: u32) -> u32;
    fn uart_rx_one_char(to: *mut u8) -> u32;
    fn rtc_get_reset_reason() -> u32;
    fn ets_wdt_enable(mode: u32, first: u32, second: u32);
    fn ets_delay_us(micros: u32);
    fn software_reset();
}

/// Feeding the hardware watchdog is writing 0x73 here.
const WATCHDOG: *mut u32 = 0x6000_0914 as *mut u32;
/// Interrupts of UART0 that are enabled.
const UART_INTERRUPTS: *mut u32 = 0x6000_000C as *mut u32;
/// Status of UART0; bits 0 to 7: bytes in its queue.
const UART_STATUS: *const u32 = 0x6000_001C as *const u32;
/// Queue of UART0.
const UART_QUEUE: *const u32 = 0x6000_0000 as *const u32;

/// Switches the hardware watchdog on, which bites after some seconds, with the numbers that the SDK has for it. A restart leaves it
/// on, but power on does not, and an image that hangs before the SDK is up would hang for ever.
pub fn enable_watchdog() {
    // SAFETY: a function of the ROM without conditions.
    unsafe { ets_wdt_enable(2, 3, 3) };
}

/// Feeds the hardware watchdog.
pub fn feed_watchdog() {
    // SAFETY: a register of the chip.
    unsafe { WATCHDOG.write_volatile(0x73) }
}

/// Lets the flash be written.
pub fn unlock_flash() {
    // SAFETY: a function of the ROM without conditions.
    unsafe { SPIUnlock() };
}

/// Reads flash; whether that went well. All are multiples of 4.
///
/// # Safety
/// `to` may be overwritten for `length` bytes.
pub unsafe fn read_flash(offset: u32, to: *mut u32, length: u32) -> bool {
    // SAFETY: by the caller.
    unsafe { SPIRead(offset, to, length) == 0 }
}

/// Programs flash; whether that went well. All are multiples of 4.
///
/// # Safety
/// `from` is readable for `length` bytes.
pub unsafe fn write_flash(offset: u32, from: *const u32, length: u32) -> bool {
    // SAFETY: by the caller.
    unsafe { SPIWrite(offset, from, length) == 0 }
}

/// Erases a sector of 4096 bytes; whether that went well.
pub fn erase_sector(number: u32) -> bool {
    // SAFETY: a function of the ROM; what lies in flash is not memory of this program.
    unsafe { SPIEraseSector(number) == 0 }
}

/// Sends a byte.
pub fn send(byte: u8) {
    // SAFETY: a function of the ROM without conditions.
    unsafe { uart_tx_one_char(u32::from(byte)) };
}

/// From now on bytes are received by [`receive`] only, not by the ROM's interrupt. What came before is forgotten.
pub fn listen() {
    // SAFETY: a register of the chip.
    unsafe { UART_INTERRUPTS.write_volatile(0) }
    while receive() {}
}

/// Takes a byte, if one was received: what the ROM's interrupt took before [`listen`], then what waits in the queue.
pub fn receive() -> bool {
    let mut byte = 0;
    // SAFETY: the byte may be overwritten; the registers are the chip's.
    unsafe {
        if uart_rx_one_char(&raw mut byte) == 0 {
            return true;
        }
        let waiting = UART_STATUS.read_volatile() & 0xFF != 0;
        if waiting {
            UART_QUEUE.read_volatile();
        }
        waiting
    }
}

/// What the ROM knows about the last reset.
pub fn reset_reason() -> u32 {
    // SAFETY: a function of the ROM without conditions.
    unsafe { rtc_get_reset_reason() }
}

/// Waits.
pub fn wait(micros: u32) {
    // SAFETY: a function of the ROM without conditions.
    unsafe { ets_delay_us(micros) }
}

/// Starts the chip again.
pub fn restart() -> ! {
    loop {
        // SAFETY: a function of the ROM without conditions.
        unsafe { software_reset() };
    }
}

//! Functions of the boot ROM, at fixed addresses (`link/rom.ld`; names as in Espressif's `eagle.rom.addr.v6.ld`).

unsafe extern "C" {
    /// Sends one byte on UART0; waits while its queue of 128 bytes is full.
    pub fn uart_tx_one_char(byte: u8) -> i32;
    /// Resets the chip; RTC memory keeps its content.
    pub fn software_reset() -> !;
}

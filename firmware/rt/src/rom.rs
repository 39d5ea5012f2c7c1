//! Functions of the boot ROM, at fixed addresses (`link/rom.ld`; names as in Espressif's `eagle.rom.addr.v6.ld`).

unsafe extern "C" {
    /// Sends one byte on UART0; waits while its queue of 128 bytes is full.
    pub fn uart_tx_one_char(byte: u8) -> i32;
    /// Changes pins by masks: output high, output low, driver on, driver off.
    pub fn gpio_output_set(set: u32, clear: u32, enable: u32, disable: u32);
    /// The levels of pins 0 to 15, a bit each, driven or not.
    pub fn gpio_input_get() -> u32;
    /// Attaches a handler to an interrupt of level 1, by number; what it does must not need flash.
    pub fn ets_isr_attach(
        number: u32,
        handler: extern "C" fn(*mut core::ffi::c_void),
        argument: *mut core::ffi::c_void,
    );
    /// Lets interrupts through, a bit each.
    pub fn ets_isr_unmask(mask: u32);
    /// Waits busily.
    pub fn ets_delay_us(micros: u32);
    /// Resets the chip; RTC memory keeps its content.
    pub fn software_reset() -> !;
}

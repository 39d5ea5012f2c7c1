//! Functions of the boot ROM (names of Espressif's `eagle.rom.addr.v6.ld`; bound to their addresses by the firmware's linker script).

use core::ffi::c_void;

/// An event of a task: `os_event_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// Signal.
    pub signal: u32,
    /// Parameter.
    pub parameter: u32,
}

/// A task: called with each event of its queue.
pub type Task = extern "C" fn(*mut Event);

unsafe extern "C" {
    /// Registers a task with a queue.
    pub fn ets_task(task: Task, priority: u8, queue: *mut Event, length: u8);
    /// Queues an event; 0 if there was room. Leaves interrupts enabled.
    pub fn ets_post(priority: u8, signal: u32, parameter: u32) -> i32;
    /// Runs tasks for ever.
    pub fn ets_run() -> !;
    /// Attaches an interrupt handler.
    pub fn ets_isr_attach(number: u32, handler: extern "C" fn(*mut c_void), argument: *mut c_void);
    /// Enables interrupts.
    pub fn ets_isr_unmask(mask: u32);
    /// Maps flash into the window at 0x40200000: MB number `2 * mb + odd`.
    #[link_name = "Cache_Read_Enable"]
    pub fn cache_read_enable(odd: u32, mb: u32, large: u32);
    /// Reads flash.
    #[link_name = "SPIRead"]
    pub fn spi_read(address: u32, to: *mut u32, length: u32) -> i32;
    /// Programs flash.
    #[link_name = "SPIWrite"]
    pub fn spi_write(address: u32, from: *const u32, length: u32) -> i32;
    /// Erases a sector of 4096 bytes by number.
    #[link_name = "SPIEraseSector"]
    pub fn spi_erase_sector(sector: u32) -> i32;
    /// Restarts the chip.
    pub fn software_reset() -> !;
    /// Why the chip was reset: a number of `spore_hidden::reset_reason`.
    pub fn rtc_get_reset_reason() -> u32;
    /// Sends a byte on UART0.
    pub fn uart_tx_one_char(byte: u8) -> i32;
    /// Sets the handler of an EXCCAUSE.
    #[link_name = "_xtos_set_exception_handler"]
    pub fn set_exception_handler(cause: u32, handler: extern "C" fn(*const u32, u32)) -> u32;
    /// Tells `ets_delay_us` the clock in MHz.
    pub fn ets_update_cpu_frequency(mhz: u32);
    /// Switches the hardware watchdog on.
    pub fn ets_wdt_enable(mode: u32, first: u32, second: u32);
    /// Waits.
    pub fn ets_delay_us(micros: u32);
    /// Fills memory.
    pub fn ets_memset(to: *mut c_void, value: u32, length: u32) -> *mut c_void;
}

/// Writes to the register that feeds the hardware watchdog.
pub fn feed_hardware_dog() {
    // SAFETY: a register of the chip; in the emulator the ROM's stand-in looks at this word.
    unsafe { (0x6000_0914 as *mut u32).write_volatile(0x73) };
}

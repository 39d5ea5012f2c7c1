//! The C interface of Espressif's NONOS SDK, versions 2.2 and 3.0, as far as the firmware uses it (`user_interface.h`,
//! `osapi.h`, `spi_flash.h`). `firmware/virtual/sdk` has the same.

mod wifi;

pub use wifi::*;

/// An event of an SDK task (`os_event_t`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OsEvent {
    /// Signal.
    pub signal: u32,
    /// Parameter.
    pub parameter: u32,
}

/// A timer of the SDK (`ETSTimer`, 20 bytes).
#[repr(C)]
pub struct OsTimer {
    next: *mut OsTimer,
    expire: u32,
    period: u32,
    function: Option<extern "C" fn(*mut core::ffi::c_void)>,
    argument: *mut core::ffi::c_void,
}

impl OsTimer {
    /// A timer that is not armed.
    pub const fn new() -> Self {
        Self {
            next: core::ptr::null_mut(),
            expire: 0,
            period: 0,
            function: None,
            argument: core::ptr::null_mut(),
        }
    }
}

impl Default for OsTimer {
    fn default() -> Self {
        Self::new()
    }
}

/// Why the chip last started (`struct rst_info`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ResetInfo {
    /// 0 power on, 1 hardware watchdog, 2 exception, 3 software watchdog, 4 restart, 5 deep sleep, 6 external reset.
    pub reason: u32,
    /// EXCCAUSE of an exception.
    pub exccause: u32,
    /// Program counter of an exception.
    pub epc1: u32,
    /// EPC2.
    pub epc2: u32,
    /// EPC3.
    pub epc3: u32,
    /// Address accessed.
    pub excvaddr: u32,
    /// DEPC.
    pub depc: u32,
}

unsafe extern "C" {
    /// Registers a task of priority 0 to 2 with a queue.
    pub fn system_os_task(
        task: extern "C" fn(*mut OsEvent),
        priority: u8,
        queue: *mut OsEvent,
        length: u8,
    ) -> bool;
    /// Queues an event for a task; false when its queue is full.
    pub fn system_os_post(priority: u8, signal: u32, parameter: u32) -> bool;
    /// Calls a function once the SDK is up.
    pub fn system_init_done_cb(done: extern "C" fn());
    /// Microseconds since start; wraps after 71 minutes.
    pub fn system_get_time() -> u32;
    /// Restarts the chip, in a moment.
    pub fn system_restart();
    /// Measures at TOUT: 0 to 1024 for 0 to 1.0 V.
    pub fn system_adc_read() -> u16;
    /// What the radio does when the chip wakes: 0 as byte 108 of the PHY data says, 1 calibrates, 2 does not, 4 stays off.
    pub fn system_deep_sleep_set_option(option: u8) -> bool;
    /// Sleeps for so many microseconds, in a moment, and then is reset if GPIO16 leads to the reset pin; 0 is for ever. False when that
    /// is too long for the chip's clock.
    pub fn system_deep_sleep(micros: u64) -> bool;
    /// Why the chip started.
    pub fn system_get_rst_info() -> *const ResetInfo;
    /// Low 24 bits of the station's hardware address.
    pub fn system_get_chip_id() -> u32;
    /// Version as a C string, possibly in flash (words only!).
    pub fn system_get_sdk_version() -> *const u8;
    /// 80 or 160 MHz.
    pub fn system_get_cpu_freq() -> u8;
    /// Free heap in bytes.
    pub fn system_get_free_heap_size() -> u32;
    /// Random bits.
    pub fn os_random() -> u32;
    /// Feeds both watchdogs.
    pub fn system_soft_wdt_feed();
    /// Sets a timer's function.
    pub fn ets_timer_setfn(
        timer: *mut OsTimer,
        function: extern "C" fn(*mut core::ffi::c_void),
        argument: *mut core::ffi::c_void,
    );
    /// Arms a timer; `milliseconds` 0 means that `time` is in microseconds.
    pub fn ets_timer_arm_new(timer: *mut OsTimer, time: u32, repeat: i32, milliseconds: i32);
    /// Disarms a timer.
    pub fn ets_timer_disarm(timer: *mut OsTimer);
    /// Reads flash; address, pointer and length are multiples of 4. 0 is success.
    pub fn spi_flash_read(address: u32, to: *mut u32, length: u32) -> i32;
    /// Programs flash; address, pointer and length are multiples of 4. 0 is success.
    pub fn spi_flash_write(address: u32, from: *mut u32, length: u32) -> i32;
    /// Erases a sector of 4096 bytes by number. 0 is success.
    pub fn spi_flash_erase_sector(sector: u16) -> i32;
    /// Sets the divisor of an UART's clock.
    pub fn uart_div_modify(uart: u32, divisor: u32);
}

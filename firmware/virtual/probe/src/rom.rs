//! Functions of the ROM (link/rom.ld).

#![allow(non_snake_case, reason = "names of the ROM")]

/// An event of a task.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) signal: u32,
    pub(crate) parameter: u32,
}

/// What an exception saves.
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) epc: u32,
}

unsafe extern "C" {
    pub(crate) fn SPIRead(offset: u32, to: *mut u32, length: u32) -> i32;
    pub(crate) fn SPIWrite(offset: u32, from: *const u32, length: u32) -> i32;
    pub(crate) fn SPIEraseSector(number: u32) -> i32;
    pub(crate) fn Cache_Read_Enable(odd: u32, pair: u32, size: u32);
    pub(crate) fn Cache_Read_Disable();
    pub(crate) fn ets_printf(format: *const core::ffi::c_char, ...) -> i32;
    pub(crate) fn ets_delay_us(micros: u32);
    pub(crate) fn ets_task(run: extern "C" fn(*const Event), priority: u8, queue: *mut Event, length: u8);
    pub(crate) fn ets_post(priority: u8, signal: u32, parameter: u32) -> u32;
    pub(crate) fn ets_run() -> !;
    pub(crate) fn ets_isr_attach(number: u32, handler: extern "C" fn(u32), argument: u32);
    pub(crate) fn ets_isr_unmask(mask: u32);
    pub(crate) fn ets_intr_lock();
    pub(crate) fn ets_wdt_enable();
    pub(crate) fn rtc_get_reset_reason() -> u32;
    pub(crate) fn software_reset() -> !;
    pub(crate) fn _xtos_set_exception_handler(cause: u32, handler: extern "C" fn(*mut Frame, u32)) -> u32;
    pub(crate) fn ets_strlen(text: *const u8) -> u32;
    pub(crate) fn ets_strcmp(a: *const u8, b: *const u8) -> i32;
    pub(crate) fn ets_strncpy(to: *mut u8, from: *const u8, length: u32) -> *mut u8;
    pub(crate) fn ets_strstr(text: *const u8, part: *const u8) -> *const u8;
}

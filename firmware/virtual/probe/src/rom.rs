//! Functions of the ROM (link/rom.ld).

#![allow(non_snake_case, reason = "names of the ROM")]

use core::ffi::c_char;

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
    pub(crate) fn ets_printf(format: *const c_char, ...) -> i32;
    pub(crate) fn gpio_output_set(set: u32, clear: u32, enable: u32, disable: u32);
    pub(crate) fn gpio_input_get() -> u32;
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
    pub(crate) fn ets_strlen(text: *const c_char) -> u32;
    pub(crate) fn ets_strcmp(a: *const c_char, b: *const c_char) -> i32;
    pub(crate) fn ets_strncpy(to: *mut c_char, from: *const c_char, length: u32) -> *mut c_char;
    pub(crate) fn ets_strstr(text: *const c_char, part: *const c_char) -> *const c_char;
}

//! Fatal exceptions and what is remembered of them: `rst_info` in the RTC's memory.

use core::ffi::CStr;

use crate::{cell::Locked, cpu, guard, print, rom};

core::arch::global_asm!(include_str!("vectors.S"));

/// `struct rst_info` in RTC memory: block 0 of its system part.
const RTC: u32 = 0x6000_1100;

/// Reasons of `rst_info`.
pub const REASON_HARDWARE_DOG: u32 = 1;
/// An exception.
pub const REASON_EXCEPTION: u32 = 2;
/// The soft watchdog.
pub const REASON_SOFT_DOG: u32 = 3;
/// `system_restart`.
pub const REASON_RESTART: u32 = 4;
/// Woken from deep sleep.
pub const REASON_DEEP_SLEEP: u32 = 5;
/// The reset pin.
pub const REASON_EXTERNAL: u32 = 6;

/// `struct rst_info` as words: reason, exccause, epc1, epc2, epc3, excvaddr, depc.
pub type ResetInfo = [u32; 7];

/// Why the chip started, for `system_get_rst_info`.
static INFO: Locked<ResetInfo> = Locked::new([0; 7]);

/// A word of RTC memory.
fn rtc(index: usize) -> *mut u32 {
    (RTC as usize + index * 4) as *mut u32
}

/// Reads why the chip started, and forgets it in the RTC's memory: a reset without a record is one by the watchdog or the pin.
pub fn begin() {
    let mut info = [0_u32; 7];
    for (index, word) in info.iter_mut().enumerate() {
        // SAFETY: RTC memory.
        unsafe {
            *word = rtc(index).read_volatile();
            rtc(index).write_volatile(0);
        }
    }
    // SAFETY: a ROM function.
    let reset = unsafe { rom::rtc_get_reset_reason() };
    use spore_hidden::reset_reason as rom_reason;
    let reason = match reset {
        rom_reason::EXTERNAL => REASON_EXTERNAL,
        rom_reason::WATCHDOG => REASON_HARDWARE_DOG,
        rom_reason::DEEP_SLEEP => REASON_DEEP_SLEEP,
        rom_reason::SOFTWARE if (REASON_EXCEPTION..=REASON_RESTART).contains(&info[0]) => info[0],
        _ => 0,
    };
    if info[0] != reason {
        info = [0; 7];
        info[0] = reason;
    }
    INFO.set(info);
    for cause in (0..64).filter(|cause| *cause != 1 && *cause != 4) {
        // SAFETY: a ROM function; the handler never returns.
        unsafe { rom::set_exception_handler(cause, fatal) };
    }
}

/// Why the chip started.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_rst_info() -> *mut ResetInfo {
    INFO.address()
}

/// Restarts the chip at once, leaving a record.
pub fn reset_with(info: &ResetInfo) -> ! {
    let _ = cpu::mask();
    for (index, word) in info.iter().enumerate() {
        // SAFETY: RTC memory.
        unsafe { rtc(index).write_volatile(*word) };
    }
    print::drain();
    // SAFETY: a ROM function.
    unsafe { rom::software_reset() }
}

/// What EXCCAUSE means, in the words of the processor's manual.
fn name(cause: u32) -> &'static CStr {
    match cause {
        0 => c"IllegalInstructionCause",
        2 => c"InstructionFetchErrorCause",
        3 => c"LoadStoreErrorCause",
        5 => c"AllocaCause",
        6 => c"IntegerDivideByZeroCause",
        8 => c"PrivilegedCause",
        9 => c"LoadStoreAlignmentCause",
        14 => c"InstrPIFAddrErrorCause",
        15 => c"LoadStorePIFAddrErrorCause",
        20 => c"InstFetchProhibitedCause",
        28 => c"LoadProhibitedCause",
        29 => c"StoreProhibitedCause",
        _ => c"",
    }
}

/// Prints an exception as the SDK does, and restarts.
fn tell(cause: u32, epc1: u32) -> ! {
    let epc2 = cpu::special!("epc2");
    let epc3 = cpu::special!("epc3");
    let excvaddr = cpu::special!("excvaddr");
    let depc = cpu::special!("depc");
    print::print(
        c"Fatal exception %d(%s):\nepc1=0x%08x, epc2=0x%08x, epc3=0x%08x, excvaddr=0x%08x, depc=0x%08x\n",
        &[cause, name(cause).as_ptr() as u32, epc1, epc2, epc3, excvaddr, depc],
    );
    if !spore_hidden::cache_enabled() && (0x4020_0000..0x4030_0000).contains(&epc1) {
        guard::violation(c"code in flash ran while the cache was off, at 0x%08x", &[epc1]);
    }
    guard::check_stack();
    guard::print_counters();
    reset_with(&[REASON_EXCEPTION, cause, epc1, epc2, epc3, excvaddr, depc])
}

/// Handler of exceptions: the frame begins with the interrupted program counter.
extern "C" fn fatal(frame: *const u32, cause: u32) {
    let _ = cpu::mask();
    // SAFETY: the ROM gives the frame.
    tell(cause, unsafe { frame.read() })
}

/// A `break` that nobody handles: a panic, or a breakpoint without a debugger.
#[unsafe(no_mangle)]
extern "C" fn spore_sdk_fatal_debug() -> ! {
    // The vendor's handler reports it as cause 0 with the place in epc2.
    tell(0, cpu::special!("epc1"))
}

//! From the boot loader's jump to the first task.

use core::ffi::c_void;

use crate::{
    cell::Locked,
    dog, eth, events, exception, guard, heap, lwip, parameters, print, rom, share, system, tasks, time,
    timer::{self, EtsTimer},
    wifi,
};

unsafe extern "C" {
    /// The firmware's start. Must not block.
    fn user_init();
    /// SDK 3.x: called before, to register the layout of the flash.
    fn user_pre_init();
    /// SDK 2.x: the sector for what the radio measured.
    fn user_rf_cal_sector_set() -> u32;
    static mut _bss_start: u32;
    static mut _bss_end: u32;
    static _heap_start: u32;
}

/// Between calls of `sys_check_timeouts`, in ms; the firmware may set it in `user_init`.
#[unsafe(no_mangle)]
pub static mut lwip_timer_interval: u16 = 25;

static STACK_TICK: Locked<EtsTimer> = Locked::new(EtsTimer::new());

/// Entry, from assembly: on the ROM's stack, interrupts not yet enabled, `.bss` not yet cleared, flash not yet in the window.
#[unsafe(no_mangle)]
extern "C" fn spore_sdk_start() -> ! {
    // SAFETY: symbols of the linker script around memory that nothing uses yet.
    unsafe {
        rom::cache_read_enable(0, 0, 1);
        let start = &raw mut _bss_start;
        rom::ets_memset(start.cast(), 0, (&raw mut _bss_end) as u32 - start as u32);
    }
    time::begin();
    print::print(c"SDK ver: %s\n", &[system::system_get_sdk_version() as u32]);
    look_at_linking();
    guard::paint();
    heap::begin((&raw const _heap_start) as u32);
    exception::begin();
    system::begin();
    share::begin();
    tasks::begin();
    // SAFETY: the handler lives as long as the program.
    unsafe {
        rom::ets_isr_attach(spore_hidden::interrupt::TIMER, timer::interrupt, core::ptr::null_mut());
        rom::ets_isr_unmask(1 << spore_hidden::interrupt::TIMER);
    }
    parameters::begin();
    wifi::begin();
    eth::begin(system::mac(0));
    lwip::begin();
    first_words();
    dog::begin();
    let interval = {
        let at = &raw const lwip_timer_interval;
        // SAFETY: a word of this module that the firmware may have set.
        u32::from(unsafe { at.read_volatile() })
    };
    timer::ets_timer_setfn(STACK_TICK.address(), Some(stack_tick), core::ptr::null_mut());
    timer::ets_timer_arm_new(STACK_TICK.address(), interval.max(1), 1, 1);
    wifi::start();
    events::post_done();
    // SAFETY: a ROM function.
    unsafe { rom::ets_run() }
}

/// The firmware's first words.
fn first_words() {
    // SAFETY: functions of the firmware's.
    let sector = guard::callback(c"user_rf_cal_sector_set", 0, || unsafe { user_rf_cal_sector_set() });
    let sectors = spore_hidden::flash_size() / 4096;
    if !(sectors - 5..sectors).contains(&sector) {
        guard::violation(
            c"user_rf_cal_sector_set returned %u: the SDK's sectors are the last 5 of %u",
            &[sector, sectors],
        );
    }
    // SAFETY: as above.
    guard::callback(c"user_pre_init", 0, || unsafe { user_pre_init() });
    // SAFETY: as above.
    guard::callback(c"user_init", 0, || unsafe { user_init() });
}

/// The tick of the IP stack.
extern "C" fn stack_tick(_: *mut c_void) {
    guard::callback(c"sys_check_timeouts", 0, || {
        // SAFETY: a function of the firmware's.
        unsafe { lwip::sys_check_timeouts(core::ptr::null_mut()) }
    });
}

/// Whether the linker script put things where they must lie.
fn look_at_linking() {
    unsafe extern "C" {
        fn call_user_start();
        #[link_name = "_DoubleExceptionVector"]
        fn double_exception_vector();
    }
    if call_user_start as *const () as u32 != 0x4010_0004
        || double_exception_vector as *const () as u32 != 0x4010_0070
    {
        guard::violation(
            c"linked wrongly: call_user_start at 0x%08x, not 0x40100004, or the vectors (double exception: 0x%08x) are not in place",
            &[call_user_start as *const () as u32, double_exception_vector as *const () as u32],
        );
    }
    for part in
        [heap::pvPortMalloc as *const (), wifi::scan::give_up as *const (), guard::check_stack as *const ()]
    {
        if !(0x4010_0000..0x4010_8000).contains(&(part as u32)) {
            guard::violation(c"linked wrongly: code of the SDK at 0x%08x, not in IRAM", &[part as u32]);
        }
    }
}

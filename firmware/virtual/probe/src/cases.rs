//! The cases, by number.

use crate::rom::{self, Event, Frame};
use core::{
    arch::asm,
    hint::black_box,
    mem::transmute,
    ptr::{addr_of_mut, read_volatile, write_volatile},
};
use spore_hidden::{interrupt, reset_reason};

/// Ends with a line unless something is so.
macro_rules! expect {
    ($what:expr, $condition:expr) => {
        if !$condition {
            fail(concat!("not so: ", $what, "\n\0"));
        }
    };
}

#[cold]
fn fail(line: &str) -> ! {
    // SAFETY: the line ends with a NUL.
    unsafe { rom::ets_printf(c"%s".as_ptr(), line.as_ptr()) };
    spore_hidden::exit(1)
}

/// A sector where nothing else lies, and its offset.
const SECTOR: u32 = 0x20;
const OFFSET: u32 = SECTOR * 4096;
/// RTC memory for users.
const RTC: *mut u32 = 0x6000_1200 as *mut u32;
/// RAM that a restart forgets.
const RAM: *mut u32 = 0x3FFF_0000 as *mut u32;
/// Where the watchdog is fed.
const FEED: *mut u32 = 0x6000_0914 as *mut u32;
/// The window of the cache.
const WINDOW: u32 = 0x4020_0000;

/// Runs a case.
pub(crate) fn run(case: u32) {
    // SAFETY: each case uses the ROM as its test wants it.
    unsafe {
        match case {
            1 => formats(),
            2 => numbers(),
            3 => texts(),
            4 => restart(),
            5 => interrupts(),
            6 => delay(),
            7 => watchdog(),
            8 => cache(),
            9 => cache_cost(),
            10 => exceptions(),
            11 => services(),
            12 => flash(),
            20 => twice(),
            21 => misaligned(),
            22 => past_the_end(),
            23 => while_cached(),
            24 => from_flash(),
            25 => hidden_code(),
            26 => missing(),
            27 => no_task(),
            28 => no_handler(),
            29 => trap(),
            30 => again(),
            _ => spore_hidden::exit(9),
        }
    }
    spore_hidden::exit(0)
}

unsafe fn formats() {
    // SAFETY: arguments as the formats say.
    unsafe {
        rom::ets_printf(c"%s|%d|%u|%x|%X|%c|%%|%p\n".as_ptr(), c"text".as_ptr(), -7, 4_000_000_000_u32, 0xBEEF, 0xBEEF, 65, 0x1234);
        rom::ets_printf(c"%08x|%8d|%-8d|%05d|%5s|%-5s|%.2s|%*d\n".as_ptr(), 0xC0FFEE, -42, -42, -42, c"ab".as_ptr(), c"ab".as_ptr(), c"abc".as_ptr(), 4, 7);
        rom::ets_printf(c"%d %d %d %d %d %d %d %d %d\n".as_ptr(), 1, 2, 3, 4, 5, 6, 7, 8, i32::MIN);
    }
}

unsafe fn numbers() {
    let (a, b) = (black_box(0x1234_5678_9ABC_DEF0_u64), black_box(0x0000_0001_2345_6789_u64));
    expect!("u64 / u64", a / b == 0x1000_0000);
    expect!("u64 % u64", a % b == 0x0ABC_DEF0);
    expect!("i64 / i64", black_box(-1_000_000_000_007_i64) / black_box(1_000_003) == -999_997);
    expect!("u64 * u64", black_box(0xFFFF_FFFF_u64) * black_box(0xFFFF_FFFF) == 0xFFFF_FFFE_0000_0001);
    expect!("u32 / u32", black_box(4_000_000_000_u32) / black_box(7) == 571_428_571);
    expect!("u32 % u32", black_box(4_000_000_000_u32) % black_box(7) == 3);
    expect!("i32 / i32", black_box(-2_000_000_000_i32) / black_box(7) == -285_714_285);
    expect!("f32", black_box(1.5_f32) * black_box(4.0) - black_box(0.25) + black_box(1.0) == 6.75);
    expect!("f64", black_box(10.0_f64) / black_box(4.0) - black_box(0.5) == 2.0);
    expect!("f64 of u32", f64::from(black_box(4_000_000_000_u32)) as u32 == 4_000_000_000);
    expect!("f64 of i32", f64::from(black_box(-3_i32)) as f32 as f64 == -3.0);
}

unsafe fn texts() {
    let mut room = [0xFF_u8; 8];
    // SAFETY: C strings; the room is long enough.
    unsafe {
        expect!("strlen", rom::ets_strlen(b"spore\0".as_ptr()) == 5);
        expect!("strcmp", rom::ets_strcmp(b"abc\0".as_ptr(), b"abd\0".as_ptr()) < 0);
        rom::ets_strncpy(room.as_mut_ptr(), b"ab\0".as_ptr(), 6);
        expect!("strncpy", room == [b'a', b'b', 0, 0, 0, 0, 0xFF, 0xFF]);
        let text = b"a spore\0".as_ptr();
        expect!("strstr", rom::ets_strstr(text, b"po\0".as_ptr()) == text.add(3));
    }
    let mut bytes = [0; 64];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = at as u8;
    }
    let bytes = black_box(&mut bytes);
    bytes.copy_within(1..60, 4);
    expect!("memmove", bytes[4] == 1 && bytes[62] == 59 && bytes[63] == 63);
    black_box(&mut *bytes)[3..61].fill(7);
    expect!("memset", bytes[2] == 2 && bytes[3] == 7 && bytes[60] == 7 && bytes[61] == 58);
}

unsafe fn restart() {
    // SAFETY: memory of the chip.
    unsafe {
        match rom::rtc_get_reset_reason() {
            reset_reason::POWER_ON => {
                write_volatile(RTC, 0x5EED);
                write_volatile(RAM, 0x5EED);
                rom::software_reset();
            }
            reason => {
                expect!("the reason is a restart", reason == reset_reason::SOFTWARE);
                expect!("RTC memory is kept", read_volatile(RTC) == 0x5EED);
                expect!("RAM is forgotten", read_volatile(RAM) != 0x5EED);
            }
        }
    }
}

const PRIORITY: u8 = 2;
static mut QUEUE: [Event; 4] = [Event { signal: 0, parameter: 0 }; 4];
static mut HIGH_QUEUE: [Event; 4] = [Event { signal: 0, parameter: 0 }; 4];
static mut TICKS: u32 = 0;
static mut ORDER: u32 = 0;

extern "C" fn on_timer(argument: u32) {
    // SAFETY: only this handler and the tasks use them, and it does not interrupt itself.
    unsafe {
        expect!("argument of the handler", argument == 77);
        TICKS += 1;
        spore_hidden::alarm(spore_hidden::micros() + 1000);
        if TICKS.is_multiple_of(100) {
            expect!("post", rom::ets_post(PRIORITY, 5, TICKS) == 0);
            expect!("post high", rom::ets_post(31, 6, TICKS) == 0);
        }
    }
}

extern "C" fn low(event: *const Event) {
    // SAFETY: the event lies in the queue.
    unsafe {
        expect!("event", (*event).signal == 5 && (*event).parameter.is_multiple_of(100));
        expect!("the higher priority ran first", ORDER == (*event).parameter / 100);
        if (*event).parameter == 300 {
            let busy = spore_hidden::busy_ticks() / u64::from(spore_hidden::TICKS_PER_MICRO);
            expect!("idle time is not busy", busy < spore_hidden::micros());
            spore_hidden::exit(0);
        }
    }
}

extern "C" fn high(event: *const Event) {
    // SAFETY: only tasks use it.
    unsafe {
        expect!("signal", (*event).signal == 6);
        ORDER += 1;
    }
}

unsafe fn interrupts() {
    // SAFETY: queues that live for ever.
    unsafe {
        rom::ets_task(low, PRIORITY, addr_of_mut!(QUEUE).cast(), 4);
        rom::ets_task(high, 31, addr_of_mut!(HIGH_QUEUE).cast(), 4);
        rom::ets_isr_attach(interrupt::TIMER, on_timer, 77);
        spore_hidden::alarm(0);
        rom::ets_isr_unmask(1 << interrupt::TIMER);
        rom::ets_run();
    }
}

unsafe fn delay() {
    let before = spore_hidden::micros();
    // SAFETY: waits.
    unsafe { rom::ets_delay_us(1_000_000) };
    let passed = spore_hidden::micros() - before;
    // SAFETY: one number.
    unsafe { rom::ets_printf(c"passed %u us\n".as_ptr(), passed as u32) };
    expect!("a second has passed", passed >= 1_000_000);
}

unsafe fn watchdog() {
    // SAFETY: a register of the chip.
    unsafe {
        if rom::rtc_get_reset_reason() == reset_reason::WATCHDOG {
            return;
        }
        rom::ets_wdt_enable();
        for _ in 0..80 {
            write_volatile(FEED, 0x73);
            rom::ets_delay_us(100_000);
        }
        rom::ets_printf(c"hungry now\n".as_ptr());
        loop {
            rom::ets_delay_us(100_000);
        }
    }
}

unsafe fn cache() {
    let mut words = [0; 4];
    // SAFETY: memory of the chip.
    unsafe {
        rom::SPIRead(0x1_1000, words.as_mut_ptr(), 16);
        let code = WINDOW + 0x1_1000;
        expect!("poison at first", read_volatile(code as *const u32) == 0xEEEE_EEEE);
        rom::Cache_Read_Enable(0, 0, 1);
        expect!("flash to be seen", read_volatile(code as *const u32) == words[0]);
        expect!("the cache took its RAM", read_volatile(0x4010_8000 as *const u32) == 0xEEEE_EEEE);
        let code: extern "C" fn(u32) -> u32 = transmute(code as usize);
        expect!("code in flash", code(41) == 42);
        rom::Cache_Read_Disable();
        expect!("poison", read_volatile((WINDOW + 0x1_1000) as *const u32) == 0xEEEE_EEEE);
        rom::Cache_Read_Enable(0, 0, 0);
        expect!("code in flash again", code(41) == 42);
    }
}

unsafe fn cache_cost() {
    const ROUNDS: u32 = 1000;
    // SAFETY: a function made of instructions at 0x11000, 128 KB of them.
    unsafe {
        let code: extern "C" fn(u32) -> u32 = transmute((WINDOW + 0x1_1000) as usize);
        for (name, run) in [(c"poison and refill", false), (c"with 64 KB of code translated anew", true)] {
            let before = spore_hidden::micros();
            for _ in 0..ROUNDS {
                rom::Cache_Read_Enable(0, 0, 1);
                if run {
                    for page in 0..16 {
                        let code: extern "C" fn(u32) -> u32 = transmute(code as usize + 4096 * page);
                        code(1);
                    }
                }
                rom::Cache_Read_Disable();
            }
            let passed = (spore_hidden::micros() - before) as u32;
            rom::ets_printf(c"%s: %u us\n".as_ptr(), name.as_ptr(), passed / ROUNDS);
        }
    }
}

static mut CAUGHT: u32 = 0;

extern "C" fn on_misaligned(frame: *mut Frame, cause: u32) {
    // SAFETY: the load is an instruction of 3 bytes.
    unsafe {
        expect!("cause", cause == 9);
        CAUGHT += 1;
        (*frame).epc += 3;
    }
}

unsafe fn exceptions() {
    // SAFETY: the load is stepped over.
    unsafe {
        expect!("no handler before", rom::_xtos_set_exception_handler(9, on_misaligned) == 0);
        for round in 1..4 {
            let value: u32;
            asm!("movi {value}, 5", "l32i {value}, {at}, 0", at = in(reg) RAM as u32 + 1, value = out(reg) value);
            expect!("stepped over", value == 5 && read_volatile(addr_of_mut!(CAUGHT)) == round);
        }
    }
}

unsafe fn services() {
    let mut room = [0; 16];
    expect!("key", spore_hidden::board("mac", &mut room) == Some(15) || spore_hidden::board("mac", &mut room) == Some(16));
    expect!("value", room.starts_with(b"02:00:00:00:00:"));
    expect!("no such key", spore_hidden::board("nothing", &mut room).is_none());
    expect!("no such file", spore_hidden::file_read("nothing", 0, &mut room).is_none());
    expect!("write", spore_hidden::file_write("note", false, b"spore"));
    expect!("append", spore_hidden::file_write("note", true, b"s\n"));
    expect!("read", spore_hidden::file_read("note", 1, &mut room) == Some(6) && room.starts_with(b"pores\n"));
    expect!("random", spore_hidden::random() != spore_hidden::random());
    expect!("size", spore_hidden::flash_size() == 1 << 20);
    expect!("cache", !spore_hidden::cache_enabled());
}

/// Erases a sector, programs its first words and reads them.
unsafe fn flash() {
    let words = [1, 2, 3, 0x8000_0000];
    let mut read = [0; 5];
    // SAFETY: buffers of these lengths.
    unsafe {
        expect!("erase", rom::SPIEraseSector(SECTOR) == 0);
        expect!("write", rom::SPIWrite(OFFSET, words.as_ptr(), 16) == 0);
        expect!("read", rom::SPIRead(OFFSET, read.as_mut_ptr(), 20) == 0);
        expect!("the same", read[..4] == words && read[4] == u32::MAX);
        expect!("erase again", rom::SPIEraseSector(SECTOR) == 0);
        expect!("write again", rom::SPIWrite(OFFSET, words.as_ptr(), 16) == 0);
    }
}

unsafe fn twice() {
    // SAFETY: buffers of these lengths.
    unsafe {
        rom::SPIEraseSector(SECTOR);
        rom::SPIWrite(OFFSET, [u32::MAX, 0xF0].as_ptr(), 8);
        rom::SPIWrite(OFFSET, [0].as_ptr(), 4);
    }
}

/// Without erasing: the last power on left something there.
unsafe fn again() {
    // SAFETY: a buffer of this length.
    unsafe { rom::SPIWrite(OFFSET, [0].as_ptr(), 4) };
}

unsafe fn misaligned() {
    // SAFETY: refused.
    unsafe { rom::SPIRead(OFFSET + 2, [0; 2].as_mut_ptr(), 4) };
}

unsafe fn past_the_end() {
    // SAFETY: refused.
    unsafe { rom::SPIRead((1 << 20) - 4, [0; 2].as_mut_ptr(), 8) };
}

unsafe fn while_cached() {
    // SAFETY: refused.
    unsafe {
        rom::Cache_Read_Enable(0, 0, 1);
        rom::SPIEraseSector(SECTOR);
    }
}

unsafe fn from_flash() {
    // SAFETY: refused.
    unsafe { rom::SPIWrite(OFFSET, WINDOW as *const u32, 4) };
}

unsafe fn hidden_code() {
    // SAFETY: traps.
    unsafe {
        let code: extern "C" fn(u32) -> u32 = transmute((WINDOW + 0x1_1000) as usize);
        code(1);
    }
}

unsafe fn missing() {
    // SAFETY: refused.
    unsafe {
        let md5_init: extern "C" fn() = transmute(0x4000_9818_usize);
        md5_init();
    }
}

unsafe fn no_task() {
    // SAFETY: refused.
    unsafe { rom::ets_post(7, 0, 0) };
}

unsafe fn no_handler() {
    spore_hidden::alarm(0);
    // SAFETY: refused.
    unsafe { rom::ets_isr_unmask(1 << interrupt::TIMER) };
    loop {
        core::hint::spin_loop();
    }
}

/// A trap, and with interrupts masked: the chip is reset, and this ends well then.
unsafe fn trap() {
    // SAFETY: traps.
    unsafe {
        if rom::rtc_get_reset_reason() != reset_reason::WATCHDOG {
            rom::ets_intr_lock();
            asm!("break 1, 15");
        }
    }
}

//! Cases of everything but flash.

use super::{fail, require};
use crate::rom::{self, Event, Frame};
use core::{
    arch::asm,
    hint::black_box,
    mem::transmute,
    ptr::{addr_of_mut, read_volatile, write_volatile},
};
use spore_hidden::{interrupt, reset_reason};

/// RTC memory for users.
const RTC: *mut u32 = 0x6000_1200 as *mut u32;
/// RAM that a restart forgets.
const RAM: *mut u32 = 0x3FFF_0000 as *mut u32;
/// Where the watchdog is fed.
const FEED: *mut u32 = 0x6000_0914 as *mut u32;

pub(super) unsafe fn formats() {
    // SAFETY: arguments as the formats say.
    unsafe {
        rom::ets_printf(
            c"%s|%d|%u|%x|%X|%c|%%|%p\n".as_ptr(),
            c"text".as_ptr(),
            -7,
            4_000_000_000_u32,
            0xBEEF,
            0xBEEF,
            65,
            0x1234,
        );
        rom::ets_printf(
            c"%08x|%8d|%-8d|%05d|%5s|%-5s|%.2s|%*d\n".as_ptr(),
            0xC0FFEE,
            -42,
            -42,
            -42,
            c"ab".as_ptr(),
            c"ab".as_ptr(),
            c"abc".as_ptr(),
            4,
            7,
        );
        rom::ets_printf(c"%d %d %d %d %d %d %d %d %d\n".as_ptr(), 1, 2, 3, 4, 5, 6, 7, 8, i32::MIN);
    }
}

pub(super) unsafe fn numbers() {
    let (a, b) = (black_box(0x1234_5678_9ABC_DEF0_u64), black_box(0x0000_0001_2345_6789_u64));
    require!("u64 / u64", a / b == 0x1000_0000);
    require!("u64 % u64", a % b == 0x0ABC_DEF0);
    require!("i64 / i64", black_box(-1_000_000_000_007_i64) / black_box(1_000_003) == -999_997);
    require!("u64 * u64", black_box(0xFFFF_FFFF_u64) * black_box(0xFFFF_FFFF) == 0xFFFF_FFFE_0000_0001);
    require!("u32 / u32", black_box(4_000_000_000_u32) / black_box(7) == 571_428_571);
    require!("u32 % u32", black_box(4_000_000_000_u32) % black_box(7) == 3);
    require!("i32 / i32", black_box(-2_000_000_000_i32) / black_box(7) == -285_714_285);
    require!("f32", black_box(1.5_f32) * black_box(4.0) - black_box(0.25) + black_box(1.0) == 6.75);
    require!("f64", black_box(10.0_f64) / black_box(4.0) - black_box(0.5) == 2.0);
    require!("f64 of u32", f64::from(black_box(4_000_000_000_u32)) as u32 == 4_000_000_000);
    require!("f64 of i32", f64::from(black_box(-3_i32)) as f32 as f64 == -3.0);
}

pub(super) unsafe fn texts() {
    let mut room = [0xFF_u8; 8];
    // SAFETY: C strings; the room is long enough.
    unsafe {
        require!("strlen", rom::ets_strlen(c"spore".as_ptr()) == 5);
        require!("strcmp", rom::ets_strcmp(c"abc".as_ptr(), c"abd".as_ptr()) < 0);
        rom::ets_strncpy(room.as_mut_ptr().cast(), c"ab".as_ptr(), 6);
        require!("strncpy", room == [b'a', b'b', 0, 0, 0, 0, 0xFF, 0xFF]);
        let text = c"a spore".as_ptr();
        require!("strstr", rom::ets_strstr(text, c"po".as_ptr()) == text.add(3));
    }
    let mut bytes = [0; 64];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = at as u8;
    }
    let bytes = black_box(&mut bytes);
    bytes.copy_within(1..60, 4);
    require!("memmove", bytes[4] == 1 && bytes[62] == 59 && bytes[63] == 63);
    black_box(&mut *bytes)[3..61].fill(7);
    require!("memset", bytes[2] == 2 && bytes[3] == 7 && bytes[60] == 7 && bytes[61] == 58);
}

pub(super) unsafe fn restart() {
    // SAFETY: memory of the chip.
    unsafe {
        match rom::rtc_get_reset_reason() {
            reset_reason::POWER_ON => {
                write_volatile(RTC, 0x5EED);
                write_volatile(RAM, 0x5EED);
                rom::software_reset();
            }
            reason => {
                require!("the reason is a restart", reason == reset_reason::SOFTWARE);
                require!("RTC memory is kept", read_volatile(RTC) == 0x5EED);
                require!("RAM is forgotten", read_volatile(RAM) != 0x5EED);
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
        require!("argument of the handler", argument == 77);
        TICKS += 1;
        spore_hidden::alarm(spore_hidden::micros() + 1000);
        if TICKS.is_multiple_of(100) {
            require!("post", rom::ets_post(PRIORITY, 5, TICKS) == 0);
            require!("post high", rom::ets_post(31, 6, TICKS) == 0);
        }
    }
}

extern "C" fn low(event: *const Event) {
    // SAFETY: the event lies in the queue.
    unsafe {
        require!("event", (*event).signal == 5 && (*event).parameter.is_multiple_of(100));
        require!("the higher priority ran first", ORDER == (*event).parameter / 100);
        if (*event).parameter == 300 {
            let busy = spore_hidden::busy_ticks() / u64::from(spore_hidden::TICKS_PER_MICRO);
            require!("idle time is not busy", busy < spore_hidden::micros());
            spore_hidden::exit(0);
        }
    }
}

extern "C" fn high(event: *const Event) {
    // SAFETY: only tasks use it.
    unsafe {
        require!("signal", (*event).signal == 6);
        ORDER += 1;
    }
}

pub(super) unsafe fn interrupts() {
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

extern "C" fn often(_: u32) {
    // SAFETY: only this handler and `interrupted` use it.
    unsafe { TICKS += 1 };
    spore_hidden::alarm(spore_hidden::micros() + 20);
}

/// ROM functions and hidden services, interrupted again and again by a handler that calls them, too.
pub(super) unsafe fn interrupted() {
    let mut words = [0; 16];
    // SAFETY: buffers of these lengths.
    unsafe {
        rom::SPIRead(0x1_1000, words.as_mut_ptr(), 64);
        rom::ets_isr_attach(interrupt::TIMER, often, 0);
        spore_hidden::alarm(0);
        rom::ets_isr_unmask(1 << interrupt::TIMER);
        let mut rounds = 0_u32;
        while read_volatile(addr_of_mut!(TICKS)) < 2000 {
            let mut read = [0; 16];
            rom::SPIRead(0x1_1000, read.as_mut_ptr(), 64);
            require!("flash", black_box(read) == words);
            let (a, b) = (black_box(u64::from(rounds) << 20 | 0xABCDE), black_box(0x10_0000_u64));
            require!("division", a / b == u64::from(rounds) && a % b == 0xABCDE);
            require!("printed", rom::ets_printf(c"%08x\r".as_ptr(), rounds) == 9);
            rounds += 1;
        }
    }
}

pub(super) unsafe fn delay() {
    let before = spore_hidden::micros();
    // SAFETY: waits.
    unsafe { rom::ets_delay_us(1_000_000) };
    let passed = spore_hidden::micros() - before;
    // SAFETY: one number.
    unsafe { rom::ets_printf(c"passed %u us\n".as_ptr(), passed as u32) };
    require!("a second has passed", passed >= 1_000_000);
}

pub(super) unsafe fn watchdog() {
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

/// Interrupts stay masked for ever: nothing inside the chip can end this.
pub(super) unsafe fn masked() {
    // SAFETY: masks them.
    unsafe {
        rom::ets_wdt_enable();
        rom::ets_intr_lock();
        rom::ets_printf(c"masked now\n".as_ptr());
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Forwarding vectors instead of the ROM's.
pub(super) unsafe fn own_vectors() {
    // SAFETY: the vectors lie there (link/probe.ld).
    unsafe { asm!("wsr.vecbase {0}", "rsync", in(reg) 0x4010_0000_u32) };
}

static mut CAUGHT: u32 = 0;

extern "C" fn on_misaligned(frame: *mut Frame, cause: u32) {
    // SAFETY: the load is an instruction of 3 bytes.
    unsafe {
        require!("cause", cause == 9);
        CAUGHT += 1;
        (*frame).epc += 3;
    }
}

pub(super) unsafe fn exceptions() {
    // SAFETY: the load is stepped over.
    unsafe {
        require!("no handler before", rom::_xtos_set_exception_handler(9, on_misaligned) == 0);
        for round in 1..4 {
            let value: u32;
            asm!("movi {value}, 5", "l32i {value}, {at}, 0", at = in(reg) RAM as u32 + 1, value = out(reg) value);
            require!("stepped over", value == 5 && read_volatile(addr_of_mut!(CAUGHT)) == round);
        }
    }
}

pub(super) unsafe fn services() {
    let mut room = [0; 16];
    require!(
        "key",
        spore_hidden::board("mac", &mut room) == Some(15)
            || spore_hidden::board("mac", &mut room) == Some(16)
    );
    require!("value", room.starts_with(b"02:00:00:00:00:"));
    require!("no such key", spore_hidden::board("nothing", &mut room).is_none());
    require!("no such file", spore_hidden::file_read("nothing", 0, &mut room).is_none());
    require!("write", spore_hidden::file_write("note", false, b"spore"));
    require!("append", spore_hidden::file_write("note", true, b"s\n"));
    require!(
        "read",
        spore_hidden::file_read("note", 1, &mut room) == Some(6) && room.starts_with(b"pores\n")
    );
    require!("random", spore_hidden::random() != spore_hidden::random());
    require!("size", spore_hidden::flash_size() == 1 << 20);
    require!("cache", !spore_hidden::cache_enabled());
}

pub(super) unsafe fn missing() {
    // SAFETY: refused.
    unsafe {
        let md5_init: extern "C" fn() = transmute(0x4000_9818_usize);
        md5_init();
    }
}

pub(super) unsafe fn no_task() {
    // SAFETY: refused.
    unsafe { rom::ets_post(7, 0, 0) };
}

pub(super) unsafe fn no_handler() {
    spore_hidden::alarm(0);
    // SAFETY: refused.
    unsafe { rom::ets_isr_unmask(1 << interrupt::TIMER) };
    loop {
        core::hint::spin_loop();
    }
}

/// A trap, and with interrupts masked: the chip is reset, and this ends well then.
pub(super) unsafe fn trap() {
    // SAFETY: traps.
    unsafe {
        if rom::rtc_get_reset_reason() != reset_reason::WATCHDOG {
            rom::ets_intr_lock();
            asm!("break 1, 15");
        }
    }
}

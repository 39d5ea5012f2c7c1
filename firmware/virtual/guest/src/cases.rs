//! What a run of the guest is about. A case that is to go well ends with exit code 0, or goes on until the test is content; one that is to
//! go wrong does its mistake, and exit code 3 says that nobody noticed.

mod good;

use core::ffi::c_void;
use core::ptr::{addr_of_mut, null_mut};

use crate::{case, say, sdk, stack};
use sdk::Event;

// 0: joins and answers.
/// Calls that need no network.
pub const CALLS: u32 = 1;
/// Timers and tasks.
pub const TIMERS: u32 = 2;
/// The heap.
pub const HEAP: u32 = 3;
/// Access point.
pub const ACCESS_POINT: u32 = 4;
/// Keeps received frames for a while.
pub const HOLD: u32 = 5;
/// Sends before it has joined.
pub const SEND_EARLY: u32 = 6;
/// Restarts, twice.
pub const RESTART: u32 = 7;
/// Writes to an address where nothing is.
pub const EXCEPTION: u32 = 8;
/// Loops in a task.
pub const HANG: u32 = 9;
/// Loops without the soft watchdog.
pub const HANG_HARD: u32 = 10;
/// Panics.
pub const PANIC: u32 = 11;
/// Takes its time.
pub const SLOW: u32 = 12;
/// Scans.
pub const SCAN: u32 = 13;
/// Stores its configuration and restarts: then it joins by itself.
pub const STORED: u32 = 14;
/// Fixed address instead of DHCP.
pub const FIXED: u32 = 15;
/// Measures, sleeps and wakes.
pub const SLEEP: u32 = 16;

// From here on: mistakes.
pub const ALLOC_NULL: u32 = 32;
pub const ALLOC_NOT_RAM: u32 = 33;
pub const TYPE_0: u32 = 34;
pub const CHAIN: u32 = 35;
pub const REFERENCES: u32 = 36;
pub const NO_HEADROOM: u32 = 37;
pub const PAYLOAD_IN_IRAM: u32 = 38;
pub const PAYLOAD_ON_STACK: u32 = 39;
pub const RECYCLE_UNKNOWN: u32 = 40;
pub const RECYCLE_TWICE: u32 = 41;
pub const SEND_MASKED: u32 = 42;
pub const RETURN_MASKED: u32 = 43;
pub const STACK: u32 = 44;
pub const FREE_TWICE: u32 = 45;
pub const OVERRUN: u32 = 46;
pub const WRITE_WHILE_SENDING: u32 = 47;
pub const DHCP_WITHOUT_LINK: u32 = 48;
pub const DOWN_STAYS_UP: u32 = 49;
pub const ARM_TWICE: u32 = 50;
pub const SETFN_ARMED: u32 = 51;
pub const MISALIGNED_FLASH: u32 = 52;
pub const WRITE_FROM_FLASH: u32 = 53;
pub const CACHE_OFF: u32 = 54;
pub const WRONG_SECTOR: u32 = 55;
pub const ADD_FORGETS_STATE: u32 = 56;
pub const LATE_EB: u32 = 57;
pub const UNDERRUN: u32 = 58;
pub const ARM_WITHOUT_FUNCTION: u32 = 59;
pub const ADC_MASKED: u32 = 60;

static mut QUEUE: [Event; 4] = [Event { signal: 0, parameter: 0 }; 4];
static mut TIMER: sdk::Timer = [0; 5];

/// What a case that is not noticed ends with.
const NOT_NOTICED: u32 = 3;

/// The network of the tests.
pub fn station(ssid: &[u8], password: &[u8]) -> [u8; 116] {
    let mut config = [0; 116];
    config[..ssid.len()].copy_from_slice(ssid);
    config[32..32 + password.len()].copy_from_slice(password);
    config
}

fn join() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        sdk::wifi_set_event_handler_cb(event);
        sdk::wifi_set_opmode_current(1);
        if case() == FIXED {
            sdk::wifi_station_dhcpc_stop();
            assert!(sdk::wifi_set_ip_info(0, &[0x0900_000A, 0x00FF_FFFF, 0x0100_000A]));
        }
        sdk::wifi_station_set_config_current(&station(b"spore", b"a secret"));
        // Too early.
        assert!(!sdk::wifi_station_connect());
    }
}

/// In `user_init`.
pub fn begin(case: u32) {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        assert!(sdk::system_os_task(task, 0, addr_of_mut!(QUEUE).cast(), 4));
        sdk::system_init_done_cb(done);
        let [reason, cause, epc1, epc2, ..] = *sdk::system_get_rst_info();
        say!(c"reset %u cause %u epc1 %08x epc2 %08x\n", reason, cause, epc1, epc2);
        match case {
            ACCESS_POINT => good::access_point(),
            STORED => good::stored(),
            _ => join(),
        }
    }
}

extern "C" fn done() {
    say!(c"done\n");
    // SAFETY: a task is there.
    unsafe { assert!(sdk::system_os_post(0, case(), 0x55)) };
    if case() != STORED && case() != ACCESS_POINT && case() != SEND_EARLY {
        // SAFETY: the station is configured.
        unsafe { assert!(sdk::wifi_station_connect()) };
    }
}

/// WiFi events as text.
extern "C" fn event(event: *const u8) {
    // SAFETY: 44 bytes of the SDK.
    unsafe {
        let number = event.cast::<u32>().read();
        let last = u32::from(event.add(43).read());
        let status = u32::from(sdk::wifi_station_get_connect_status());
        match number {
            0 => say!(c"connected %s channel %u\n", event.add(4), last),
            1 => say!(c"disconnected %s reason %u status %u\n", event.add(4), last, status),
            3 => {
                say!(
                    c"got ip %08x status %u rssi %d\n",
                    event.add(4).cast::<u32>().read(),
                    status,
                    i32::from(sdk::wifi_station_get_rssi())
                );
                joined();
                0
            }
            other => say!(c"event %u\n", other),
        };
    }
}

/// Every 25 ms.
pub fn tick() {
    if case() == ACCESS_POINT {
        good::access_point_tick();
    }
}

/// A frame has left.
pub fn freed() {
    say!(c"freed\n");
}

/// A frame to all, 60 bytes, of an experimental type.
pub fn announcement() -> (*mut sdk::Pbuf, &'static mut [u8]) {
    let Some((packet, data)) = stack::frame(60) else { spore_hidden::exit(4) };
    data[..6].fill(0xFF);
    data[12] = 0x88;
    data[13] = 0xB5;
    (packet, data)
}

extern "C" fn nothing(_: *mut c_void) {}

extern "C" fn release(_: *mut c_void) {
    stack::release();
    say!(c"released\n");
}

/// Deep enough for the end of the stack.
#[inline(never)]
fn dig(depth: u32) -> u32 {
    let mut room = [depth; 64];
    core::hint::black_box(&mut room);
    if depth == 0 { room[0] } else { dig(depth - 1) + room[1] }
}

/// The task of the guest: once, when everything is up.
extern "C" fn task(event: *mut Event) {
    // SAFETY: calls of the SDK, and mistakes on purpose.
    unsafe {
        let signal = (*event).signal;
        assert!((*event).parameter == 0x55 || signal == TIMERS);
        match signal {
            CALLS => good::calls(),
            TIMERS => good::timers(event),
            HEAP => good::heap(),
            SEND_EARLY => {
                let (packet, _) = announcement();
                let result = stack::send(0, packet);
                say!(c"sent early: %d\n", i32::from(result));
                spore_hidden::exit(u32::from(result == 0));
            }
            RESTART => good::restart(),
            SLEEP => good::sleep(),
            ADC_MASKED => {
                core::arch::asm!("rsil {0}, 1", out(reg) _);
                sdk::system_adc_read();
            }
            EXCEPTION if (*sdk::system_get_rst_info())[0] == 0 => {
                core::ptr::without_provenance_mut::<u32>(0x2000_0000).write_volatile(1);
            }
            HANG if (*sdk::system_get_rst_info())[0] == 0 => loop {
                core::hint::spin_loop();
            },
            HANG_HARD if (*sdk::system_get_rst_info())[0] == 0 => {
                sdk::system_soft_wdt_stop();
                loop {
                    core::hint::spin_loop();
                }
            }
            PANIC if (*sdk::system_get_rst_info())[0] == 0 => core::arch::asm!("break 1, 15"),
            SLOW => {
                let begin = sdk::system_get_time();
                while sdk::system_get_time().wrapping_sub(begin) < 4_000_000 {
                    sdk::system_soft_wdt_feed();
                }
            }
            SCAN => good::scan(),
            RETURN_MASKED => core::arch::asm!("rsil {0}, 1", out(reg) _),
            STACK => {
                dig(40);
            }
            FREE_TWICE => {
                let block = sdk::pvPortMalloc(10, null_mut(), 0, false);
                sdk::vPortFree(block, null_mut(), 0);
                sdk::vPortFree(block, null_mut(), 0);
            }
            OVERRUN => {
                let block = sdk::pvPortMalloc(10, null_mut(), 0, false);
                block.add(10).write_volatile(0);
                sdk::vPortFree(block, null_mut(), 0);
            }
            UNDERRUN => {
                let block = sdk::pvPortMalloc(10, null_mut(), 0, false);
                block.sub(4).write_volatile(0);
                block.sub(1).write_volatile(0);
                sdk::vPortFree(block, null_mut(), 0);
            }
            ARM_TWICE | SETFN_ARMED => {
                sdk::ets_timer_setfn(addr_of_mut!(TIMER), nothing, null_mut());
                sdk::ets_timer_arm_new(addr_of_mut!(TIMER), 1000, false, true);
                if signal == ARM_TWICE {
                    sdk::ets_timer_arm_new(addr_of_mut!(TIMER), 1000, false, true);
                } else {
                    sdk::ets_timer_setfn(addr_of_mut!(TIMER), nothing, null_mut());
                }
            }
            ARM_WITHOUT_FUNCTION => sdk::ets_timer_arm_new(addr_of_mut!(TIMER), 1000, false, true),
            MISALIGNED_FLASH => {
                let mut words = [0_u32; 2];
                sdk::spi_flash_read(0x4_0000, words.as_mut_ptr().byte_add(2), 4);
            }
            WRITE_FROM_FLASH => {
                sdk::spi_flash_write(0x8_0000, core::ptr::without_provenance(0x4021_0000), 4);
            }
            CACHE_OFF => {
                sdk::cache_read_disable();
                spore_hidden::exit(dig(0));
            }
            RECYCLE_UNKNOWN => sdk::system_pp_recycle_rx_pkt(core::ptr::without_provenance_mut(0x3FFE_9000)),
            _ => return,
        }
        if (FREE_TWICE..=OVERRUN).contains(&signal) || signal >= ARM_TWICE || signal == RECYCLE_UNKNOWN {
            say!(c"not noticed\n");
            spore_hidden::exit(NOT_NOTICED);
        }
    }
}

/// The station has an address: what needs a network.
unsafe fn joined() {
    // SAFETY: calls of the SDK, and mistakes on purpose.
    unsafe {
        match case() {
            HOLD => {
                sdk::ets_timer_setfn(addr_of_mut!(TIMER), release, null_mut());
                sdk::ets_timer_arm_new(addr_of_mut!(TIMER), 2000, false, true);
                return;
            }
            TYPE_0 | CHAIN | REFERENCES | NO_HEADROOM | PAYLOAD_IN_IRAM | PAYLOAD_ON_STACK | SEND_MASKED
            | WRITE_WHILE_SENDING | LATE_EB => {}
            _ => return,
        }
        let (packet, data) = announcement();
        let mut on_stack = [0_u8; 128];
        let p = &mut *packet;
        match case() {
            TYPE_0 => p.kind = 0,
            CHAIN => p.next = packet,
            REFERENCES => p.references = 1,
            NO_HEADROOM => {
                let block = sdk::pvPortZalloc(128, null_mut(), 0);
                p.payload = block.add(32);
            }
            PAYLOAD_IN_IRAM => p.payload = core::ptr::without_provenance_mut(0x4010_7000),
            PAYLOAD_ON_STACK => p.payload = on_stack.as_mut_ptr().add(40),
            SEND_MASKED => core::arch::asm!("rsil {0}, 1", out(reg) _),
            LATE_EB => p.esf = packet.cast(),
            _ => {}
        }
        let result = stack::send(0, packet);
        if case() == WRITE_WHILE_SENDING {
            data[20] = 1;
            return;
        }
        say!(c"not noticed: %d\n", i32::from(result));
        spore_hidden::exit(NOT_NOTICED);
    }
}

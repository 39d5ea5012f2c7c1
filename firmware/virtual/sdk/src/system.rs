//! The `system_` functions that do not belong elsewhere.

use core::ffi::c_void;

use crate::{
    cell::Locked,
    exception, guard, print, rom,
    timer::{self, EtsTimer},
    wifi,
};

/// Hardware address of the station.
static MAC: Locked<[u8; 6]> = Locked::new([0x02, 0, 0, 0, 0, 0]);
/// 80 or 160 MHz, as set: the emulator runs at one speed.
static CPU_MHZ: Locked<u8> = Locked::new(80);
static RESTART: Locked<EtsTimer> = Locked::new(EtsTimer::new());
/// Between `system_restart` and the restart, in ms.
const RESTART_DELAY: u32 = 110;
/// RTC memory of 192 blocks of 4 bytes; the first 64 are the SDK's.
const RTC: u32 = 0x6000_1100;
const RTC_BLOCKS: u32 = 192;
const RTC_USER: u32 = 64;

/// Takes the hardware address from `board.txt` (`mac=`), else from the file `mac`; if there is none, makes one up and keeps it there.
pub fn begin() {
    let mut text = [0_u8; 17];
    let length =
        spore_hidden::board("mac", &mut text).or_else(|| spore_hidden::file_read("mac", 0, &mut text));
    let mac = text.get(..length.unwrap_or(0)).and_then(parse_mac).unwrap_or_else(|| {
        let [a, b, c, _] = spore_hidden::random().to_le_bytes();
        let mac = [0x02, 0, 0, a, b, c];
        if !spore_hidden::file_write("mac", false, &write_mac(mac)) {
            print::print(c"SDK: cannot write the file mac: another address at the next start\n", &[]);
        }
        mac
    });
    MAC.set(mac);
}

/// The text that [`parse_mac`] reads.
fn write_mac(mac: [u8; 6]) -> [u8; 17] {
    let mut text = [b':'; 17];
    for (place, byte) in text.chunks_mut(3).zip(mac) {
        for (digit, value) in place.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        }
    }
    text
}

/// `02:00:00:12:34:56`.
fn parse_mac(text: &[u8]) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(|byte| *byte == b':');
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 {
            return None;
        }
        for digit in part {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                b'A'..=b'F' => digit - b'A' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    parts.next().is_none().then_some(mac)
}

/// Hardware address of the station (0) or the access point (another by one bit).
#[must_use]
pub fn mac(interface: u8) -> [u8; 6] {
    let mut mac = MAC.get();
    if interface != 0 {
        mac[0] ^= if mac[0] & 2 == 0 { 2 } else { 4 };
    }
    mac
}

/// Restarts the chip 110 ms later; WiFi is switched off at once. What the caller does until then still happens.
#[unsafe(no_mangle)]
pub extern "C" fn system_restart() {
    guard::task_only(c"system_restart");
    wifi::wifi_set_opmode_current(0);
    timer::ets_timer_disarm(RESTART.address());
    timer::ets_timer_setfn(RESTART.address(), Some(restart_now), core::ptr::null_mut());
    timer::ets_timer_arm_new(RESTART.address(), RESTART_DELAY, 0, 1);
}

extern "C" fn restart_now(_: *mut c_void) {
    guard::print_counters();
    exception::reset_with(&[exception::REASON_RESTART, 0, 0, 0, 0, 0, 0])
}

/// Between `system_deep_sleep` and the sleep, in ms.
const SLEEP_DELAY: u32 = 100;
/// The longest sleep in microseconds: about what the RTC's clock can count, which on a chip depends on its temperature.
const LONGEST_SLEEP: u64 = 12_600_000_000;
static SLEEP: Locked<EtsTimer> = Locked::new(EtsTimer::new());
static SLEEP_MICROS: Locked<u64> = Locked::new(0);

/// Measures at TOUT: 0 to 1024.
#[unsafe(no_mangle)]
pub extern "C" fn system_adc_read() -> u16 {
    guard::task_only(c"system_adc_read");
    spore_hidden::adc().min(1024) as u16
}

/// What the radio does at waking; of no consequence here.
#[unsafe(no_mangle)]
pub extern "C" fn system_deep_sleep_set_option(option: u8) -> bool {
    matches!(option, 0 | 1 | 2 | 4)
}

/// Sleeps 100 ms later for so many microseconds (0: for ever), and wakes by a reset, since here GPIO16 leads to the reset pin. WiFi is
/// switched off at once. What the caller does until then still happens.
#[unsafe(no_mangle)]
pub extern "C" fn system_deep_sleep(micros: u64) -> bool {
    guard::task_only(c"system_deep_sleep");
    if micros > LONGEST_SLEEP {
        return false;
    }
    wifi::wifi_set_opmode_current(0);
    SLEEP_MICROS.set(micros);
    timer::ets_timer_disarm(SLEEP.address());
    timer::ets_timer_setfn(SLEEP.address(), Some(sleep_now), core::ptr::null_mut());
    timer::ets_timer_arm_new(SLEEP.address(), SLEEP_DELAY, 0, 1);
    true
}

extern "C" fn sleep_now(_: *mut c_void) {
    guard::print_counters();
    print::drain();
    spore_hidden::sleep(SLEEP_MICROS.get())
}

/// Low 24 bits of the hardware address.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_chip_id() -> u32 {
    let [_, _, _, a, b, c] = MAC.get();
    u32::from_be_bytes([0, a, b, c])
}

/// The version: a C string.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_sdk_version() -> *const u8 {
    c"virtual".as_ptr().cast()
}

/// 80 or 160.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_cpu_freq() -> u8 {
    CPU_MHZ.get()
}

/// Sets 80 or 160 MHz. The emulator's speed stays as it is.
#[unsafe(no_mangle)]
pub extern "C" fn system_update_cpu_freq(mhz: u8) -> bool {
    let known = mhz == 80 || mhz == 160;
    if known {
        CPU_MHZ.set(mhz);
        // SAFETY: a ROM function.
        unsafe { rom::ets_update_cpu_frequency(u32::from(mhz)) };
    }
    known
}

/// Copies between RTC memory and RAM by words; false if the range is not the user's, or the pointer is not aligned.
fn rtc_copy(block: u8, memory: u32, length: u16, write: bool) -> bool {
    let block = u32::from(block);
    let words = u32::from(length).div_ceil(4);
    if block < RTC_USER || block + words > RTC_BLOCKS || memory & 3 != 0 || length & 3 != 0 {
        return false;
    }
    for index in 0..words {
        let rtc = (RTC + (block + index) * 4) as *mut u32;
        let memory = (memory + index * 4) as *mut u32;
        // SAFETY: inside RTC memory, and memory of the caller's.
        unsafe { if write { rtc.write_volatile(memory.read()) } else { memory.write(rtc.read_volatile()) } }
    }
    true
}

/// Reads RTC memory of the user: blocks of 4 bytes, 64 to 191; the length is a multiple of 4.
#[unsafe(no_mangle)]
pub extern "C" fn system_rtc_mem_read(block: u8, to: *mut c_void, length: u16) -> bool {
    rtc_copy(block, to as u32, length, false)
}

/// Writes RTC memory of the user.
#[unsafe(no_mangle)]
pub extern "C" fn system_rtc_mem_write(block: u8, from: *const c_void, length: u16) -> bool {
    rtc_copy(block, from as u32, length, true)
}

/// A random word.
#[unsafe(no_mangle)]
pub extern "C" fn os_random() -> u32 {
    spore_hidden::random()
}

/// A random word, from the radio's noise on a chip.
#[unsafe(no_mangle)]
pub extern "C" fn phy_get_rand() -> u32 {
    spore_hidden::random()
}

/// Fills memory with random bytes; 0.
#[unsafe(no_mangle)]
pub extern "C" fn os_get_random(to: *mut u8, length: u32) -> i32 {
    for index in 0..length as usize {
        // SAFETY: the caller has room for them.
        unsafe { to.add(index).write(spore_hidden::random() as u8) };
    }
    0
}

/// Sets the divisor of a serial line's clock. The emulator's has no speed: only nonsense is noticed.
#[unsafe(no_mangle)]
pub extern "C" fn uart_div_modify(uart: u8, divisor: u32) {
    if uart > 1 || divisor == 0 {
        guard::violation(c"uart_div_modify(%u, %u)", &[u32::from(uart), divisor]);
    }
}

/// One entry of `system_partition_table_regist`.
#[repr(C)]
pub struct Partition {
    kind: u32,
    address: u32,
    size: u32,
}

/// SDK 3.x: takes the layout of the flash. Looks at what the vendor's SDK insists on: RF_CAL (4), PHY_DATA (5) and
/// SYSTEM_PARAMETER (6, at the third sector from the end) are there, aligned, inside the flash.
#[unsafe(no_mangle)]
pub extern "C" fn system_partition_table_regist(table: *const Partition, count: u32, _map: u32) -> bool {
    let size = spore_hidden::flash_size();
    let mut found = 0_u32;
    for index in 0..count as usize {
        // SAFETY: the caller gives that many entries.
        let entry = unsafe { &*table.add(index) };
        let inside = entry.address.checked_add(entry.size).is_some_and(|end| end <= size);
        if entry.address & 0xFFF != 0 || !inside || (entry.kind == 6 && entry.address != size - 0x3000) {
            print::print(c"SDK: partition %u at 0x%08x is refused\n", &[entry.kind, entry.address]);
            return false;
        }
        if (4..=6).contains(&entry.kind) {
            found |= 1 << entry.kind;
        }
    }
    found == 0b111_0000
}

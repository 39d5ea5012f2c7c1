//! Cases that go well.

use core::ffi::c_void;
use core::ptr::{addr_of_mut, null_mut};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{STORED, TIMERS, announcement, event, station};
use crate::{say, sdk, stack};

/// Ends the run if something is not as it should be, with its number.
fn expect(number: u32, right: bool) {
    if !right {
        say!(c"number %u is wrong\n", number);
        spore_hidden::exit(1);
    }
}

/// Calls that need no network.
pub unsafe fn calls() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        let mut mac = [0; 6];
        expect(1, sdk::wifi_get_macaddr(0, mac.as_mut_ptr()) && mac == [2, 0, 0, 0x12, 0x34, 0x56]);
        expect(2, sdk::wifi_get_macaddr(1, mac.as_mut_ptr()) && mac == [6, 0, 0, 0x12, 0x34, 0x56]);
        expect(3, sdk::system_get_chip_id() == 0x12_3456);
        expect(
            4,
            sdk::system_get_cpu_freq() == 80
                && sdk::system_update_cpu_freq(160)
                && !sdk::system_update_cpu_freq(100),
        );
        expect(5, sdk::system_get_cpu_freq() == 160);
        let words = [1_u32, 2, 3];
        let mut back = [0_u32; 3];
        expect(
            6,
            sdk::system_rtc_mem_write(189, words.as_ptr(), 12)
                && !sdk::system_rtc_mem_write(190, words.as_ptr(), 12),
        );
        expect(7, sdk::system_rtc_mem_read(189, back.as_mut_ptr(), 12) && back == words);
        expect(8, core::ptr::without_provenance::<u32>(0x6000_13FC).read_volatile() == 3);
        expect(9, !sdk::system_rtc_mem_read(63, back.as_mut_ptr(), 4));
        let mut random = [0_u8; 64];
        expect(10, sdk::os_get_random(random.as_mut_ptr(), 64) == 0 && random[..32] != random[32..]);
        expect(11, sdk::os_random() != sdk::os_random());
        // Flash: a sector of nobody.
        let mut read = [0_u32; 4];
        let written = [0xDEAD_BEEF_u32, 1, 2, 3];
        expect(
            12,
            sdk::spi_flash_erase_sector(0x80) == 0
                && sdk::spi_flash_write(0x8_0000, written.as_ptr(), 16) == 0,
        );
        expect(13, sdk::spi_flash_read(0x8_0000, read.as_mut_ptr(), 16) == 0 && read == written);
        expect(14, core::ptr::without_provenance::<u32>(0x4028_0000).read_volatile() == 0xDEAD_BEEF);
        expect(
            15,
            sdk::spi_flash_erase_sector(0x100) == 1
                && sdk::spi_flash_read(0x10_0000, read.as_mut_ptr(), 4) == 1,
        );
        expect(16, sdk::spi_flash_get_id() != 0);
        expect(17, sdk::wifi_get_opmode() == 1 && !sdk::wifi_set_opmode_current(4));
        say!(
            c"format|%s|%d|%5u|%-5u|%05u|%x|%08X|%c|%%|%3s|%d %d %d\n",
            c"text".as_ptr(),
            -7,
            42,
            42,
            42,
            0xbeef_u32,
            0xc0ffee_u32,
            65,
            c"a".as_ptr(),
            9,
            10,
            11
        );
        say!(c"version %s\n", sdk::system_get_sdk_version());
    }
    spore_hidden::exit(0);
}

static mut TICKER: sdk::Timer = [0; 5];
static mut ONCE: sdk::Timer = [0; 5];
static TICKS: AtomicU32 = AtomicU32::new(0);
static BEGIN: AtomicU32 = AtomicU32::new(0);
static POSTED: AtomicU32 = AtomicU32::new(0);

extern "C" fn tick(argument: *mut c_void) {
    expect(20, argument.addr() == 77);
    let ticks = TICKS.fetch_add_(1);
    if ticks == 4 {
        // SAFETY: an armed timer.
        unsafe { sdk::ets_timer_disarm(addr_of_mut!(TICKER)) };
    }
    expect(21, ticks <= 4);
}

extern "C" fn once(_: *mut c_void) {
    // SAFETY: calls of the SDK.
    let took = unsafe { sdk::system_get_time() }.wrapping_sub(BEGIN.load(Relaxed));
    say!(c"%u ticks after %u us\n", TICKS.load(Relaxed), took);
    expect(22, TICKS.load(Relaxed) == 5 && took >= 200_000);
    expect(23, POSTED.load(Relaxed) == 4);
    spore_hidden::exit(0);
}

/// Plain load and store: there is one core, and no handler counts.
trait Count {
    fn fetch_add_(&self, step: u32) -> u32;
}

impl Count for AtomicU32 {
    fn fetch_add_(&self, step: u32) -> u32 {
        let before = self.load(Relaxed);
        self.store(before + step, Relaxed);
        before
    }
}

/// Timers and posts.
pub unsafe fn timers(event: *mut sdk::Event) {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        if (*event).parameter != 0x55 {
            expect(24, (*event).parameter == POSTED.fetch_add_(1));
            return;
        }
        BEGIN.store(sdk::system_get_time(), Relaxed);
        sdk::ets_timer_setfn(addr_of_mut!(ONCE), once, null_mut());
        sdk::ets_timer_arm_new(addr_of_mut!(ONCE), 200, false, true);
        sdk::ets_timer_setfn(addr_of_mut!(TICKER), tick, core::ptr::without_provenance_mut(77));
        sdk::ets_timer_arm_new(addr_of_mut!(TICKER), 10_000, true, false);
        // The queue has room for four.
        for parameter in 0..4 {
            expect(25, sdk::system_os_post(0, TIMERS, parameter));
        }
        expect(26, !sdk::system_os_post(0, TIMERS, 4) && !sdk::system_os_post(1, TIMERS, 4));
    }
}

/// The heap.
pub unsafe fn heap() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        let before = sdk::system_get_free_heap_size();
        say!(c"free %u\n", before);
        let mut blocks = [null_mut::<u8>(); 8];
        for (index, block) in blocks.iter_mut().enumerate() {
            *block = sdk::pvPortMalloc(100 + index as u32, null_mut(), 0, false);
            expect(30, !block.is_null() && block.addr() % 8 == 0);
            block.write_bytes(index as u8, 100 + index);
        }
        for index in [0, 2, 4, 6] {
            sdk::vPortFree(blocks[index], null_mut(), 0);
        }
        let grown = sdk::pvPortRealloc(blocks[7], 1000, null_mut(), 0);
        expect(31, !grown.is_null() && grown.add(106).read() == 7);
        sdk::vPortFree(grown, null_mut(), 0);
        for index in [1, 3, 5] {
            sdk::vPortFree(blocks[index], null_mut(), 0);
        }
        expect(32, sdk::system_get_free_heap_size() == before);
        let zeroed = sdk::pvPortZalloc(500, null_mut(), 0);
        expect(33, core::slice::from_raw_parts(zeroed, 500).iter().all(|byte| *byte == 0));
        sdk::vPortFree(zeroed, null_mut(), 0);
        expect(34, sdk::pvPortMalloc(before, null_mut(), 0, false).is_null());
        let most = sdk::pvPortMalloc(before - 4096, null_mut(), 0, false);
        expect(35, !most.is_null());
        sdk::vPortFree(most, null_mut(), 0);
        sdk::vPortFree(null_mut(), null_mut(), 0);
    }
    spore_hidden::exit(0);
}

/// The own access point, in `user_init`.
pub unsafe fn access_point() {
    let mut config = [0_u8; 108];
    config[..5].copy_from_slice(b"guest");
    config[32..40].copy_from_slice(b"12345678");
    config[97] = 6;
    config[100] = 3;
    config[105] = 4;
    config[106] = 100;
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        expect(40, sdk::wifi_softap_set_config_current(&config));
        config[97] = 15;
        expect(41, !sdk::wifi_softap_set_config_current(&config));
        expect(42, sdk::wifi_set_opmode_current(2));
    }
}

/// The own access point, once it is up.
pub fn access_point_tick() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        let netif = sdk::eagle_lwip_getif(1);
        if netif.is_null() || TICKS.fetch_add_(1) != 5 {
            return;
        }
        let mut info = [0; 3];
        expect(43, sdk::wifi_get_ip_info(1, &mut info) && info == [0x0104_A8C0, 0x00FF_FFFF, 0x0104_A8C0]);
        expect(44, !sdk::wifi_set_ip_info(1, &[1, 2, 3]) && sdk::wifi_softap_dhcps_stop());
        expect(45, sdk::wifi_set_ip_info(1, &[0x010A_0A0A, 0x00FF_FFFF, 0]) && (*netif).ip == 0x010A_0A0A);
        expect(46, sdk::wifi_softap_get_station_num() == 0 && sdk::wifi_get_channel() == 6);
        let (packet, _) = announcement();
        expect(47, stack::send(1, packet) == 0);
        let (packet, data) = announcement();
        data[..6].fill(0x02);
        expect(48, stack::send(1, packet) != 0);
        expect(49, sdk::wifi_set_opmode_current(3) && !sdk::eagle_lwip_getif(0).is_null());
        expect(50, sdk::wifi_set_opmode_current(1) && sdk::eagle_lwip_getif(1).is_null());
        expect(51, sdk::wifi_set_opmode_current(0) && sdk::eagle_lwip_getif(0).is_null());
    }
    spore_hidden::exit(0);
}

/// Restarts once.
pub unsafe fn restart() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        if (*sdk::system_get_rst_info())[0] == 4 {
            spore_hidden::exit(0);
        }
        sdk::system_restart();
    }
}

/// Measures, sleeps for two seconds, and ends after that.
pub unsafe fn sleep() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        expect(1, sdk::system_adc_read() == 300);
        if (*sdk::system_get_rst_info())[0] == 5 {
            spore_hidden::exit(0);
        }
        expect(2, sdk::system_deep_sleep_set_option(0) && !sdk::system_deep_sleep_set_option(3));
        expect(3, !sdk::system_deep_sleep(u64::MAX));
        expect(4, sdk::system_deep_sleep(2_000_000));
    }
}

extern "C" fn found(list: *const u8, status: u32) {
    let mut at = list;
    // SAFETY: a list of the SDK.
    unsafe {
        while !at.is_null() {
            say!(
                c"found %s length %u channel %u rssi %d auth %u bssid %02x:%02x status %u\n",
                at.add(10),
                u32::from(at.add(42).read()),
                u32::from(at.add(43).read()),
                i32::from(at.add(44).cast::<i8>().read()),
                at.add(48).cast::<u32>().read(),
                u32::from(at.add(4).read()),
                u32::from(at.add(5).read()),
                status
            );
            at = at.cast::<*const u8>().read();
        }
    }
    say!(c"found all\n");
}

/// Looks for networks.
pub unsafe fn scan() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        expect(60, sdk::wifi_station_scan(null_mut(), found));
        expect(61, !sdk::wifi_station_scan(null_mut(), found));
    }
}

/// In `user_init`: at the first start it stores a configuration and restarts.
pub unsafe fn stored() {
    // SAFETY: calls of the SDK with what they want.
    unsafe {
        sdk::wifi_set_event_handler_cb(event);
        if (*sdk::system_get_rst_info())[0] == 4 {
            expect(70, sdk::wifi_get_opmode() == 1);
            say!(c"second start of case %u\n", STORED);
            return;
        }
        expect(
            71,
            sdk::wifi_get_opmode() == 2 && sdk::wifi_set_opmode(1) && sdk::wifi_station_set_auto_connect(1),
        );
        expect(72, sdk::wifi_station_set_config(&station(b"spore", b"a secret")));
        sdk::system_restart();
    }
}

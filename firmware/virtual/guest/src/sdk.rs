//! The SDK as its headers declare it, apart from the stand-in's own types: so that a wrong layout there is noticed here.

use core::ffi::{c_char, c_void};

#[repr(C)]
pub struct Netif {
    pub next: *mut Netif,
    pub ip: u32,
    pub mask: u32,
    pub gateway: u32,
    pub input: Option<extern "C" fn(*mut Pbuf, *mut Netif) -> i8>,
    pub output: usize,
    pub linkoutput: Option<extern "C" fn(*mut Netif, *mut Pbuf) -> i8>,
    pub state: *mut c_void,
    pub others: [u32; 4],
    pub mtu: u16,
    pub hwaddr_len: u8,
    pub hwaddr: [u8; 6],
    pub flags: u8,
    pub name: [u8; 2],
    pub number: u32,
    pub filter: u32,
}

#[repr(C)]
pub struct Pbuf {
    pub next: *mut Pbuf,
    pub payload: *mut u8,
    pub total: u16,
    pub length: u16,
    pub kind: u8,
    pub flags: u8,
    pub references: u16,
    pub esf: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    pub signal: u32,
    pub parameter: u32,
}

/// `ETSTimer` as words.
pub type Timer = [u32; 5];

pub type Task = extern "C" fn(*mut Event);

unsafe extern "C" {
    pub fn os_printf_plus(format: *const c_char, ...) -> i32;
    pub fn system_os_task(task: Task, priority: u8, queue: *mut Event, length: u8) -> bool;
    pub fn system_os_post(priority: u8, signal: u32, parameter: u32) -> bool;
    pub fn system_init_done_cb(done: extern "C" fn());
    pub fn system_get_time() -> u32;
    pub fn system_restart();
    pub fn system_get_rst_info() -> *const [u32; 7];
    pub fn system_get_chip_id() -> u32;
    pub fn system_get_sdk_version() -> *const c_char;
    pub fn system_get_cpu_freq() -> u8;
    pub fn system_update_cpu_freq(mhz: u8) -> bool;
    pub fn system_get_free_heap_size() -> u32;
    pub fn system_adc_read() -> u16;
    pub fn system_deep_sleep_set_option(option: u8) -> bool;
    pub fn system_deep_sleep(micros: u64) -> bool;
    pub fn system_rtc_mem_read(block: u8, to: *mut u32, length: u16) -> bool;
    pub fn system_rtc_mem_write(block: u8, from: *const u32, length: u16) -> bool;
    pub fn system_partition_table_regist(table: *const u32, count: u32, map: u32) -> bool;
    pub fn system_soft_wdt_feed();
    pub fn system_soft_wdt_stop();
    pub fn system_pp_recycle_rx_pkt(esf: *mut c_void);
    pub fn system_station_got_ip_set(ip: *const u32, mask: *const u32, gateway: *const u32);
    pub fn os_random() -> u32;
    pub fn os_get_random(to: *mut u8, length: u32) -> i32;
    pub fn pvPortMalloc(size: u32, file: *const c_char, line: u32, iram: bool) -> *mut u8;
    pub fn pvPortZalloc(size: u32, file: *const c_char, line: u32) -> *mut u8;
    pub fn pvPortRealloc(block: *mut u8, size: u32, file: *const c_char, line: u32) -> *mut u8;
    pub fn vPortFree(block: *mut u8, file: *const c_char, line: u32);
    pub fn spi_flash_read(address: u32, to: *mut u32, length: u32) -> i32;
    pub fn spi_flash_write(address: u32, from: *const u32, length: u32) -> i32;
    pub fn spi_flash_erase_sector(sector: u16) -> i32;
    pub fn spi_flash_get_id() -> u32;
    pub fn ets_timer_setfn(timer: *mut Timer, function: extern "C" fn(*mut c_void), argument: *mut c_void);
    pub fn ets_timer_arm_new(timer: *mut Timer, time: u32, repeat: bool, milliseconds: bool);
    pub fn ets_timer_disarm(timer: *mut Timer);
    pub fn eagle_lwip_getif(index: u8) -> *mut Netif;
    pub fn wifi_set_opmode_current(mode: u8) -> bool;
    pub fn wifi_set_opmode(mode: u8) -> bool;
    pub fn wifi_get_opmode() -> u8;
    pub fn wifi_get_macaddr(interface: u8, to: *mut u8) -> bool;
    pub fn wifi_get_channel() -> u8;
    pub fn wifi_set_event_handler_cb(handler: extern "C" fn(*const u8));
    pub fn wifi_station_set_config_current(config: *const [u8; 116]) -> bool;
    pub fn wifi_station_set_config(config: *const [u8; 116]) -> bool;
    pub fn wifi_station_connect() -> bool;
    pub fn wifi_station_get_connect_status() -> u8;
    pub fn wifi_station_get_rssi() -> i8;
    pub fn wifi_station_set_auto_connect(on: u8) -> bool;
    pub fn wifi_station_dhcpc_stop() -> bool;
    pub fn wifi_station_scan(config: *const u32, done: extern "C" fn(*const u8, u32)) -> bool;
    pub fn wifi_set_ip_info(index: u8, info: *const [u32; 3]) -> bool;
    pub fn wifi_get_ip_info(index: u8, info: *mut [u32; 3]) -> bool;
    pub fn wifi_softap_set_config_current(config: *const [u8; 108]) -> bool;
    pub fn wifi_softap_get_station_num() -> u8;
    pub fn wifi_softap_dhcps_stop() -> bool;
    #[link_name = "Cache_Read_Disable"]
    pub fn cache_read_disable();
}

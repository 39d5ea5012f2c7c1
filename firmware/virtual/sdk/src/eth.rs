//! The air, as far as frames are concerned: QEMU's open_eth (OpenCores 10/100 Ethernet MAC), on the wire of the virtual LAN.

use core::ffi::c_void;

use crate::{
    cell::Locked,
    cpu, frames,
    guard::COUNTERS,
    rom, share, tasks,
    timer::{self, EtsTimer},
    wifi,
};

const REGISTERS: u32 = 0xFD03_0000;
const MODER: u32 = 0;
const INT_SOURCE: u32 = 1;
const INT_MASK: u32 = 2;
const TX_BD_NUM: u32 = 8;
const MAC_ADDR0: u32 = 16;
const MAC_ADDR1: u32 = 17;
const HASH0: u32 = 18;
const HASH1: u32 = 19;
/// Descriptors: two words each, the first one sends, the others receive.
const DESCRIPTORS: u32 = 0xFD03_0400;

const MODER_RESET: u32 = 0x800;
/// Receive, transmit; pad short frames, append a check sequence, full duplex.
const MODER_RUN: u32 = 0x0000_A403;
/// Receive what is for other addresses, too: the own access point has one.
const PROMISCUOUS: u32 = 0x20;
const INT_RECEIVED: u32 = 4;
const INT_BUSY: u32 = 0x10;
const OWNED: u32 = 0x8000;
const INTERRUPT: u32 = 0x4000;
const WRAP: u32 = 0x2000;
const PAD_AND_CRC: u32 = 0x1800;

/// Memory where an ESP8266 has none, behind the data of the ROM's stand-in (rom-standin.ld): ring of receive buffers. The ring
/// is the air: frames come over the wire of the emulator in bursts, but over the air one after the other.
const RING: u32 = 0x3FFA_2000;
const SLOT: u32 = 1600;
const SLOTS: u32 = 56;
/// Longest frame without check sequence.
pub const LONGEST: usize = 1514;

const _: () = assert!(RING + SLOTS * SLOT <= crate::air::FILE);
/// How long a frame waits for a receive buffer of the SDK, in ms: as long as an access point repeats a frame that nobody acknowledges.
const REPEATED: u32 = 20;

/// The next receive descriptor to look at.
static NEXT: Locked<u32> = Locked::new(0);
/// Whether frames wait for a receive buffer.
static STALLED: Locked<bool> = Locked::new(false);
/// An event for the packet processor waits: interrupts that come meanwhile need no second one, and would fill its queue.
static POSTED: Locked<bool> = Locked::new(false);
static GIVE_UP: Locked<EtsTimer> = Locked::new(EtsTimer::new());

fn read(register: u32) -> u32 {
    // SAFETY: a register of the device.
    unsafe { ((REGISTERS + register * 4) as *const u32).read_volatile() }
}

fn write(register: u32, value: u32) {
    // SAFETY: a register of the device.
    unsafe { ((REGISTERS + register * 4) as *mut u32).write_volatile(value) };
}

fn descriptor(index: u32) -> *mut u32 {
    (DESCRIPTORS + index * 8) as *mut u32
}

fn set_descriptor(index: u32, control: u32, buffer: u32) {
    // SAFETY: two words of the device. The address goes first: writing the control word may start the transfer.
    unsafe {
        descriptor(index).add(1).write_volatile(buffer);
        descriptor(index).write_volatile(control);
    }
}

/// Hands slot `index` of the ring to the device.
fn offer(index: u32) {
    let wrap = if index == SLOTS - 1 { WRAP } else { 0 };
    set_descriptor(1 + index, OWNED | INTERRUPT | wrap, RING + index * SLOT);
}

/// Starts the device with a hardware address.
pub fn begin(mac: [u8; 6]) {
    let [a, b, c, d, e, f] = mac.map(u32::from);
    // First the mask: a reset of the emulated device forgets an interrupt that is pending, but leaves its line up for ever.
    write(INT_MASK, 0);
    write(INT_SOURCE, 0x7F);
    write(MODER, MODER_RESET);
    write(MODER, 0);
    write(TX_BD_NUM, 1);
    write(MAC_ADDR0, c << 24 | d << 16 | e << 8 | f);
    write(MAC_ADDR1, a << 8 | b);
    // All multicast: the air does not choose.
    write(HASH0, u32::MAX);
    write(HASH1, u32::MAX);
    set_descriptor(0, WRAP, RING);
    for index in 0..SLOTS {
        offer(index);
    }
    NEXT.set(0);
    // SAFETY: the handler lives as long as the program.
    unsafe {
        rom::ets_isr_attach(spore_hidden::interrupt::ETHERNET, interrupt, core::ptr::null_mut());
        rom::ets_isr_unmask(1 << spore_hidden::interrupt::ETHERNET);
    }
    write(INT_MASK, INT_RECEIVED);
    let guests = if wifi::access_point::has_guests() { PROMISCUOUS } else { 0 };
    write(MODER, MODER_RUN | guests);
}

extern "C" fn interrupt(_: *mut c_void) {
    let source = read(INT_SOURCE);
    write(INT_SOURCE, 0x7F);
    if source & INT_BUSY != 0 {
        COUNTERS.with(|c| c.no_buffer += 1);
    }
    wake();
}

/// Has the packet processor look, once for any number of frames.
fn wake() {
    if !POSTED.set(true) && !tasks::post(tasks::PP, tasks::PP_RECEIVED, 0) {
        POSTED.set(false);
    }
}

/// The slot that has been filled longest.
fn filled() -> Option<(u32, &'static [u8])> {
    let index = NEXT.get();
    // SAFETY: a word of the device.
    let control = unsafe { descriptor(1 + index).read_volatile() };
    if control & OWNED != 0 {
        return None;
    }
    // The length counts the check sequence.
    let length = (control >> 16).saturating_sub(4).min(LONGEST as u32);
    // SAFETY: the device has filled the slot and does not own it until `done`.
    Some((index, unsafe { core::slice::from_raw_parts((RING + index * SLOT) as *const u8, length as usize) }))
}

fn done(index: u32) {
    offer(index);
    NEXT.set((index + 1) % SLOTS);
}

/// In the task of the packet processor: takes what has come, while there are receive buffers.
pub fn drain() {
    POSTED.set(false);
    while let Some((index, frame)) = filled() {
        if share::held() == share::RECEIVE_BUFFERS {
            if !STALLED.set(true) {
                timer::ets_timer_setfn(GIVE_UP.address(), Some(give_up), core::ptr::null_mut());
                timer::ets_timer_arm_new(GIVE_UP.address(), REPEATED, 0, 1);
            }
            return;
        }
        frames::received(frame);
        done(index);
    }
    go_on();
}

fn go_on() {
    if STALLED.set(false) {
        timer::ets_timer_disarm(GIVE_UP.address());
    }
}

/// A receive buffer is free again.
pub fn buffer_freed() {
    if STALLED.get() {
        go_on();
        wake();
    }
}

/// The firmware has held all buffers for too long: what waited is lost.
extern "C" fn give_up(_: *mut c_void) {
    STALLED.set(false);
    while let Some((index, _)) = filled() {
        COUNTERS.with(|c| c.no_buffer += 1);
        done(index);
    }
}

/// Sends a frame from where it lies: it is on the wire when this returns.
pub fn send(frame: &[u8]) {
    let length = frame.len().min(LONGEST) as u32;
    let state = cpu::mask();
    set_descriptor(0, length << 16 | OWNED | WRAP | PAD_AND_CRC, frame.as_ptr() as u32);
    cpu::restore(state);
}

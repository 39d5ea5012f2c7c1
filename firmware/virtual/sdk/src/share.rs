//! Memory that the vendor's libraries take and these do not need: the receive buffers lie in it, the rest is only taken.

use core::ffi::c_void;

use crate::{cell::Locked, eth, guard, lwip::Pbuf};

/// Receive buffers: as many as frames can be held back by the firmware before further ones are lost.
pub const RECEIVE_BUFFERS: usize = 8;
/// Room in a buffer: a frame of 1514 bytes, 2 bytes of displacement.
const ROOM: usize = 1520;
/// What is taken beside: `.data`, `.rodata` and `.bss` of this library with it are the 24.7 KB of the vendor's
/// (measured on a minimal application: 1.5 KB and 23.2 KB for SDK 3.0.5, 1.1 KB and 23.6 KB for 2.2.1).
const TAKEN: usize = 5_600;

/// State of a buffer that nobody has.
const FREE: u32 = 0xF4EE_B0FF;
/// State of a buffer that the firmware has.
const HELD: u32 = 0x4E1D_B0FF;

/// A receive buffer (`esf_buf`).
#[repr(C, align(8))]
struct Buffer {
    state: u32,
    displacement: u32,
    data: [u8; ROOM],
}

struct Share {
    buffers: [Buffer; RECEIVE_BUFFERS],
    taken: [u8; TAKEN],
    next: usize,
}

static SHARE: Locked<Share> = Locked::new(Share {
    buffers: [const { Buffer { state: 0, displacement: 0, data: [0; ROOM] } }; RECEIVE_BUFFERS],
    taken: [0; TAKEN],
    next: 0,
});

/// Frees all buffers.
pub fn begin() {
    SHARE.with(|share| {
        // Written once, so that no linker finds it unused.
        let taken = (&raw mut share.taken).cast::<u8>();
        // SAFETY: the first byte of an array.
        unsafe { taken.write_volatile(1) };
        for (index, buffer) in share.buffers.iter_mut().enumerate() {
            buffer.state = FREE;
            // A frame begins at a multiple of 4 or 2 bytes behind one, depending on the headers it had in the air.
            buffer.displacement = (index as u32 & 1) * 2;
        }
    });
}

/// Copies a frame into a free buffer: the handle and where the frame lies; `None` when the firmware holds all.
#[must_use]
pub fn fill(frame: &[u8]) -> Option<(*mut c_void, *mut u8)> {
    SHARE.with(|share| {
        for turn in 0..RECEIVE_BUFFERS {
            let index = (share.next + turn) % RECEIVE_BUFFERS;
            let buffer = share.buffers.get_mut(index)?;
            if buffer.state != FREE {
                continue;
            }
            let from = buffer.displacement as usize;
            let place = buffer.data.get_mut(from..from + frame.len())?;
            place.copy_from_slice(frame);
            let payload = place.as_mut_ptr();
            buffer.state = HELD;
            share.next = index + 1;
            return Some(((&raw mut *buffer).cast(), payload));
        }
        None
    })
}

/// Takes a receive buffer back: `ppRecycleRxPkt`. Its content is gone.
#[unsafe(no_mangle)]
pub extern "C" fn system_pp_recycle_rx_pkt(handle: *mut c_void) {
    guard::task_only(c"system_pp_recycle_rx_pkt");
    let known = SHARE.with(|share| {
        for buffer in &mut share.buffers {
            if core::ptr::eq((&raw const *buffer).cast(), handle) {
                let held = core::mem::replace(&mut buffer.state, FREE) == HELD;
                // Headers at least: whoever goes on reading sees it.
                if let Some(headers) = buffer.data.get_mut(..64) {
                    headers.fill(0xDD);
                }
                return held;
            }
        }
        false
    });
    if !known {
        guard::violation(
            c"system_pp_recycle_rx_pkt of 0x%08x, which is no receive buffer in use (recycled twice?)",
            &[handle as u32],
        );
    }
    eth::buffer_freed();
}

/// Buffers that the firmware holds.
#[must_use]
pub fn held() -> usize {
    SHARE.with(|share| share.buffers.iter().filter(|buffer| buffer.state == HELD).count())
}

/// Whether a packet's data lies in memory of this library, where the firmware must not send from.
#[must_use]
pub fn contains(packet: &Pbuf) -> bool {
    let start = SHARE.address() as u32;
    (start..start + size_of::<Share>() as u32).contains(&(packet.payload as u32))
}

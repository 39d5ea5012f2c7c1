//! Interrupts: handlers by number, masks, dispatch; handlers of exceptions.
//!
//! Strict: an interrupt without a handler, a handler in flash while the cache is off, and taking the clock's interrupt end QEMU.

use crate::{
    cache,
    chip::{Cell, load, store, violation},
    clock,
};
use core::arch::asm;
use spore_hidden::{HANDLERS, interrupt};

type Handler = extern "C" fn(u32);

unsafe extern "C" {
    fn thunk_tick() -> u32;
    fn thunk_frc1();
    fn interrupt_handler();
    fn c_handler();
    fn unhandled();
}

/// Interrupts of level 1; number 14 is the NMI.
const COUNT: usize = 14;
/// Causes of exceptions.
const CAUSES: u32 = 64;
/// The cause that stands for interrupts of level 1.
const INTERRUPT: u32 = 4;
/// Handlers in C, by cause.
const C_HANDLERS: u32 = HANDLERS + 4 * CAUSES;

static ATTACHED: Cell<[Option<(Handler, u32)>; COUNT]> = Cell::new([None; COUNT]);

fn enabled() -> u32 {
    let mask: u32;
    // SAFETY: reads only.
    unsafe { asm!("rsr.intenable {0}", out(reg) mask, options(nomem, nostack)) };
    mask
}

fn enable(mask: u32) {
    // SAFETY: what is enabled has a handler, or dispatch says so.
    unsafe { asm!("wsr.intenable {0}", "rsync", in(reg) mask, options(nostack)) };
}

fn pending() -> u32 {
    let mask: u32;
    // SAFETY: reads only.
    unsafe { asm!("rsr.interrupt {0}", out(reg) mask, options(nomem, nostack)) };
    mask
}

/// Changes bits of INTENABLE, never the clock's: what it was.
fn change(clear: u32, set: u32) -> u32 {
    let before = enabled();
    enable((before & !clear) | set | 1 << interrupt::CLOCK);
    before
}

/// Whether an interrupt is unmasked.
pub(crate) fn unmasked(number: u32) -> bool {
    enabled() & 1 << number != 0
}

fn call(number: u32) {
    match ATTACHED.get().get(number as usize).copied().flatten() {
        Some((handler, _)) if cache::hides(handler as usize as u32) => {
            violation!("interrupt {number} while the cache is off, and its handler lies in flash")
        }
        Some((handler, argument)) => handler(argument),
        None => violation!("interrupt {number} has no handler"),
    }
}

/// Handlers of all pending interrupts of level 1, the highest number first, on the interrupted stack.
#[unsafe(no_mangle)]
extern "C" fn dispatch_interrupts() {
    clock::awake();
    loop {
        let pending = pending() & enabled() & ((1 << COUNT) - 1);
        if pending == 0 {
            break;
        }
        let number = 31 - pending.leading_zeros();
        if number != interrupt::CLOCK {
            call(number);
        } else {
            // SAFETY: the clock's interrupt, on the hidden stack.
            let rings = unsafe { thunk_tick() };
            if rings & 1 << interrupt::TIMER != 0 {
                call(interrupt::TIMER);
            }
            if rings & 1 << interrupt::FRC1 != 0 {
                call(interrupt::FRC1);
                // SAFETY: on the hidden stack.
                unsafe { thunk_frc1() };
            }
        }
    }
}

/// `ets_isr_attach(number, handler, argument)`.
#[unsafe(no_mangle)]
extern "C" fn rom_isr_attach(number: u32, handler: Option<Handler>, argument: u32) {
    set_handler(number, handler, argument);
}

fn set_handler(number: u32, handler: Option<Handler>, argument: u32) -> u32 {
    if number == interrupt::CLOCK {
        violation!("interrupt 6 (CCOMPARE0) belongs to the stand-in's clock");
    }
    match ATTACHED.get().get_mut(number as usize) {
        Some(place) => {
            let before = place.map_or(0, |(handler, _)| handler as usize as u32);
            *place = handler.map(|handler| (handler, argument));
            before
        }
        None => violation!("interrupt {number} cannot be attached to"),
    }
}

/// `_xtos_set_interrupt_handler_arg(number, handler, argument)`: the handler before.
#[unsafe(no_mangle)]
extern "C" fn rom_set_interrupt_handler_arg(number: u32, handler: Option<Handler>, argument: u32) -> u32 {
    set_handler(number, handler, argument)
}

/// `_xtos_set_interrupt_handler(number, handler)`: its argument is its number.
#[unsafe(no_mangle)]
extern "C" fn rom_set_interrupt_handler(number: u32, handler: Option<Handler>) -> u32 {
    set_handler(number, handler, number)
}

/// `ets_isr_unmask(mask)`.
#[unsafe(no_mangle)]
extern "C" fn rom_isr_unmask(mask: u32) {
    rom_ints_on(mask);
}

/// `ets_isr_mask(mask)`.
#[unsafe(no_mangle)]
extern "C" fn rom_isr_mask(mask: u32) {
    change(mask, 0);
}

/// `_xtos_ints_on(mask)`: INTENABLE before.
#[unsafe(no_mangle)]
extern "C" fn rom_ints_on(mask: u32) -> u32 {
    let before = change(0, mask);
    if mask & 1 << interrupt::FRC1 != 0 {
        clock::clock_frc1();
    }
    if mask & 1 << interrupt::TIMER != 0 {
        clock::unmasked();
    }
    before
}

/// `_xtos_ints_off(mask)`: INTENABLE before.
#[unsafe(no_mangle)]
extern "C" fn rom_ints_off(mask: u32) -> u32 {
    change(mask, 0)
}

/// `_xtos_set_exception_handler(cause, handler(frame, cause))`: the handler before, 0 if there was none.
#[unsafe(no_mangle)]
extern "C" fn rom_set_exception_handler(cause: u32, handler: u32) -> u32 {
    if cause >= CAUSES {
        return 0;
    }
    // SAFETY: words of the ROM's tables.
    unsafe {
        let before = load(C_HANDLERS + 4 * cause);
        store(C_HANDLERS + 4 * cause, handler);
        let entry = if handler == 0 { unhandled as *const () } else { c_handler as *const () };
        store(HANDLERS + 4 * cause, entry as u32);
        before
    }
}

/// Masks all interrupts but the clock's.
pub(crate) fn only_clock() {
    enable(1 << interrupt::CLOCK);
}

/// Back to the state at reset: only the clock's interrupt.
pub(crate) fn reset() {
    *ATTACHED.get() = [None; COUNT];
    for cause in 0..CAUSES {
        rom_set_exception_handler(cause, 0);
    }
    // SAFETY: a word of the ROM's table.
    unsafe { store(HANDLERS + 4 * INTERRUPT, interrupt_handler as *const () as u32) };
    enable(1 << interrupt::CLOCK);
}

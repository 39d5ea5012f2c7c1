//! PWM in software: the chip's timer FRC1 interrupts at each step of the plan that `spore_hal::pwm` makes of all duties.
//!
//! The interrupt runs while the flash cache is off, too, so its code lies in IRAM and all it touches in data RAM: brightness does not
//! flicker when settings are stored. What delays it is the radio, whose interrupts go first: some 10 µs now and then. That is good for
//! LEDs and heaters; servos twitch. Registers: Espressif's `eagle_soc.h` and `hw_timer.c` of the NONOS SDK.

use crate::pins::Output;
use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::ffi::c_void;
use core::ptr::with_exposed_provenance_mut;
use embedded_hal::pwm::{ErrorType, SetDutyCycle};
use spore_hal::pwm::Plan;
use spore_rt::rom;
use spore_rt::task_cell::TaskCell;

/// Most channels. Each costs 20 bytes of data RAM where PWM is used.
pub const CHANNELS: usize = 4;
/// Length of a level in microseconds: serving the interrupt takes up to 5.
const LEVEL_MICROS: u32 = 10;
/// Levels in a second.
const LEVELS_PER_SECOND: u32 = 1_000_000 / LEVEL_MICROS;

/// The timer counts down at 80 MHz divided by 16.
const TICKS_PER_LEVEL: u32 = 80 / 16 * LEVEL_MICROS;
const LOAD: *mut u32 = with_exposed_provenance_mut(0x6000_0600);
const CONTROL: *mut u32 = with_exposed_provenance_mut(0x6000_0608);
const CLEAR: *mut u32 = with_exposed_provenance_mut(0x6000_060C);
/// On; divided by 16; an edge is the interrupt.
const ON: u32 = 1 << 7 | 1 << 2;
/// Number of its interrupt, and the register that lets edges through, with its bit. The emulator has nothing at that address.
const INTERRUPT: u32 = 9;
const EDGES: *mut u32 = with_exposed_provenance_mut(0x3FF0_0004);
const EDGE: u32 = 1 << 1;

/// Whether this is built for a chip.
fn is_chip() -> bool {
    option_env!("SPORE_BOARD") == Some("esp8266")
}

/// A step as the interrupt wants it, with half words for the 16 pins.
#[derive(Clone, Copy)]
struct Step {
    set: u16,
    clear: u16,
    levels: u16,
}

/// What the interrupt plays: steps one after the other, then those of `next` if there are any new.
struct Player {
    steps: [Step; CHANNELS + 1],
    count: u32,
    at: u32,
    next: [Step; CHANNELS + 1],
    /// How many steps `next` has; 0 for nothing new.
    next_count: u32,
}

/// Shared with the interrupt: tasks touch it with interrupts masked.
struct Shared(UnsafeCell<Player>);
// SAFETY: one core, and the rule above.
unsafe impl Sync for Shared {}

const NOTHING: Step = Step { set: 0, clear: 0, levels: 0 };
static PLAYER: Shared = Shared(UnsafeCell::new(Player {
    steps: [NOTHING; CHANNELS + 1],
    count: 0,
    at: 0,
    next: [NOTHING; CHANNELS + 1],
    next_count: 0,
}));

/// What tasks know: levels of a period, mask and duty of each channel.
struct Channels {
    period: u16,
    all: [(u32, u16); CHANNELS],
}

static CHANNELS_IN_USE: TaskCell<Channels> = TaskCell::new(Channels { period: 0, all: [(0, 0); CHANNELS] });

/// The timer has run out: the next step. A level 1 interrupt.
#[unsafe(link_section = ".iram.pwm")]
extern "C" fn step(_: *mut c_void) {
    let player = PLAYER.0.get();
    // SAFETY: interrupts do not interrupt themselves, and tasks mask them; `at` stays below the length, as `count` and `next_count`
    // do not exceed it. Registers of the timer.
    unsafe {
        if (*player).at >= (*player).count {
            (*player).at = 0;
            if (*player).next_count > 0 {
                let mut index = 0;
                while index <= CHANNELS {
                    let from = (&raw const (*player).next).cast::<Step>().add(index);
                    (&raw mut (*player).steps).cast::<Step>().add(index).write_volatile(from.read_volatile());
                    index += 1;
                }
                (*player).count = (*player).next_count;
                (*player).next_count = 0;
            }
        }
        let now = (&raw const (*player).steps).cast::<Step>().add((*player).at as usize).read();
        (*player).at += 1;
        rom::gpio_output_set(now.set as u32, now.clear as u32, 0, 0);
        CLEAR.write_volatile(0);
        LOAD.write_volatile(now.levels as u32 * TICKS_PER_LEVEL);
    }
}

/// Has the interrupt play these duties from the next period on.
#[inline(never)]
fn play(channels: &Channels) {
    let plan = Plan::new(channels.period, &channels.all);
    let mut next = [NOTHING; CHANNELS + 1];
    let mut count = 0;
    for (to, from) in next.iter_mut().zip(plan.steps()) {
        // There are 16 pins.
        *to = Step { set: from.set as u16, clear: from.clear as u16, levels: from.levels };
        count += 1;
    }
    critical_section::with(|_| {
        let player = PLAYER.0.get();
        // SAFETY: interrupts are masked.
        unsafe { ((*player).next, (*player).next_count) = (next, count) };
    });
}

/// Starts PWM on up to four pins, which are low at first. All have the same frequency, 10 to 5,000 Hz. The duty of each has
/// 100,000 / frequency levels: 1,000 at 100 Hz, 100 at 1 kHz. Duties of several channels that are closer together than a level take effect
/// together, which is what a level is.
///
/// `None` when PWM runs already, or for more than four pins or another frequency.
pub fn start<const N: usize>(pins: [Output; N], hertz: u32) -> Option<[PwmPin; N]> {
    if N > CHANNELS || !(10..=5000).contains(&hertz) {
        return None;
    }
    let started = CHANNELS_IN_USE.with(|channels| {
        if channels.period > 0 {
            return false;
        }
        // At most 10,000.
        channels.period = (LEVELS_PER_SECOND / hertz) as u16;
        for (channel, pin) in channels.all.iter_mut().zip(&pins) {
            *channel = (pin.mask(), 0);
        }
        play(channels);
        true
    });
    if !started {
        return None;
    }
    // SAFETY: the interrupt is nobody's else (the SDK leaves FRC1 to the application), its handler lives in IRAM. Registers of the timer.
    unsafe {
        CONTROL.write_volatile(ON);
        rom::ets_isr_attach(INTERRUPT, step, core::ptr::null_mut());
        if is_chip() {
            EDGES.write_volatile(EDGES.read_volatile() | EDGE);
        }
        LOAD.write_volatile(TICKS_PER_LEVEL);
        rom::ets_isr_unmask(1 << INTERRUPT);
    }
    let mut index = 0;
    Some(pins.map(|_| {
        index += 1;
        PwmPin(index - 1)
    }))
}

/// A pin that is driven by PWM, for ever.
#[derive(Debug)]
pub struct PwmPin(u8);

impl ErrorType for PwmPin {
    type Error = Infallible;
}

impl SetDutyCycle for PwmPin {
    fn max_duty_cycle(&self) -> u16 {
        CHANNELS_IN_USE.with(|channels| channels.period)
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
        CHANNELS_IN_USE.with(|channels| {
            if let Some((_, now)) = channels.all.get_mut(usize::from(self.0)) {
                *now = duty.min(channels.period);
            }
            play(channels);
        });
        Ok(())
    }
}

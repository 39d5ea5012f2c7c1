//! Emulated nodes: the ESP8266 firmware itself, each in a QEMU process of its own, on the same LAN as the virtual ones.
//!
//! The lab makes the flash chip, says over files what the board and the air are like ([`home`]), gives the process a
//! place on the switch, reads its serial line ([`console`]) and asks it whom it sees ([`watch`]). [`warden`] sees to it
//! that no emulator outlives the lab.

mod console;
mod home;
mod machine;
mod warden;
mod watch;

pub(crate) use home::Home;
pub(crate) use warden::Warden;

use crate::view::{Order, Orders, Phase, View};
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_time::{Duration, Instant, Timer};
use machine::{End, Machine};
use spore_lan::Mac;
use spore_lan::executor::Spawner;
use spore_lan::switch::{SharedCounters, Switch};
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;

/// What emulated nodes are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The emulator: `qemu-system-xtensa`, or a program that takes its arguments.
    pub program: PathBuf,
    /// The chip without its flash: an ELF file that stands in for the ESP8266's ROM.
    pub rom: PathBuf,
    /// A whole flash chip: bootloader, an image in slot A, boot record.
    pub chip: PathBuf,
    /// Further arguments for the program.
    pub arguments: Vec<OsString>,
}

/// Pause before an emulator that ended by itself is started again, and the longest such pause after many.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// An emulator that ran for so long was well; the next pause is a short one again.
const WELL: Duration = Duration::from_secs(60);

/// What an emulated node is made of and stays the same through its restarts.
pub(crate) struct Body {
    pub mac: Mac,
    pub home: Rc<Home>,
    pub emulator: Emulator,
    pub view: Rc<View>,
    pub counters: SharedCounters,
    pub switch: Switch,
    /// From where it is asked, and the address it is given.
    pub stack: Stack<'static>,
    pub ip: Option<Ipv4Addr>,
    pub spawner: Spawner,
    pub warden: Rc<Warden>,
    pub seed: u64,
    /// Whether it is asked whom it sees.
    pub ask: bool,
}

/// What the board tells the chip at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PowerOn {
    /// The reason as the ROM numbers it; none when the power has just come.
    reset: Option<u8>,
    /// The same in the lab's words.
    reason: String,
    /// Flash operation in which the power goes, counted from 1.
    cut: Option<u32>,
}

impl PowerOn {
    /// The plug was put in.
    fn plug(cut: Option<u32>) -> Self {
        Self { reset: None, reason: "power on".to_owned(), cut }
    }

    /// Reset was pressed.
    fn external() -> Self {
        Self { reset: Some(2), reason: "external reset".to_owned(), cut: None }
    }

    /// The hardware watchdog bit.
    fn watchdog() -> Self {
        Self { reset: Some(4), reason: "watchdog".to_owned(), cut: None }
    }

    fn after(order: Order) -> Self {
        match order {
            Order::Restart => Self::external(),
            Order::PowerCutAt(operation) => Self::plug(Some(operation)),
            // The cluster gives no emulated node an order to crash.
            Order::PowerOff | Order::PowerCut | Order::Crash => Self::plug(None),
        }
    }
}

/// The life of an emulated node: power, emulator, its end, restart.
pub(crate) async fn live(body: Body, orders: Orders) {
    let view = &body.view;
    let mut power = PowerOn::plug(None);
    let mut pause = PAUSE.0;
    loop {
        view.start(&power.reason);
        let began = Instant::now();
        let end = match Machine::start(&body, &power) {
            Err(error) => Err(End::Broken(format!("{error:#}"))),
            Ok(mut machine) => {
                let end = match select(machine.run(), orders.receive()).await {
                    Either::First(end) => Err(end),
                    Either::Second(order) => Ok(order),
                };
                // Two emulators must never write to the same flash.
                machine.end().await;
                end
            }
        };
        power = match end {
            Ok(Order::PowerOff) => {
                view.stop(Phase::Off);
                view.log.line("-- power off --");
                plugged_in(view, &orders).await
            }
            Ok(order) => PowerOn::after(order),
            Err(End::PowerCut) => {
                view.log.line("-- power lost in a flash operation --");
                PowerOn::plug(None)
            }
            Err(End::Watchdog) => PowerOn::watchdog(),
            Err(End::Broken(why)) => {
                view.stop(Phase::Broken);
                view.log.line(&format!("-- broken: {why} --"));
                view.reset_reason.replace(why);
                plugged_in(view, &orders).await
            }
            Err(End::Crashed(how)) => {
                if began.elapsed() >= WELL {
                    pause = PAUSE.0;
                }
                view.stop(Phase::Crashed);
                view.log.line(&format!("-- {how}; starting again in {} s --", pause.as_secs()));
                let next = match select(Timer::after(pause), orders.receive()).await {
                    Either::First(()) => PowerOn { reason: how, ..PowerOn::plug(None) },
                    Either::Second(Order::PowerOff) => {
                        view.stop(Phase::Off);
                        plugged_in(view, &orders).await
                    }
                    Either::Second(order) => PowerOn::after(order),
                };
                pause = (pause * 2).min(PAUSE.1);
                next
            }
        };
    }
}

/// Waits until a dark node is given power.
async fn plugged_in(view: &View, orders: &Orders) -> PowerOn {
    loop {
        match orders.receive().await {
            Order::PowerOff | Order::Crash => view.stop(Phase::Off),
            // A dark node has power from now on, whichever button was pressed.
            Order::Restart | Order::PowerCut => return PowerOn::plug(None),
            order @ Order::PowerCutAt(_) => return PowerOn::after(order),
        }
    }
}

//! A board on a serial line: which port it is on, opening it, what it says.

pub mod explain;
pub mod lines;
pub mod ports;

use crate::exit::{Failure, Kind, Outcome};
use serial2::SerialPort;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The rate of the firmware's log.
pub const LOG_BAUD: u32 = 115_200;
/// The rate at which the ROM tells why the chip started: 115,200 of a 40 MHz crystal, on one of 26 MHz.
pub const ROM_BAUD: u32 = 74_880;
/// How long a read waits for bytes.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the reset line is pulled.
const RESET: Duration = Duration::from_millis(100);

/// An open port.
pub struct Line {
    port: SerialPort,
}

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// So many bytes.
    Bytes(usize),
    /// None for a while.
    Silence,
    /// The adapter is gone.
    Gone,
}

impl Line {
    /// Open a port, without resetting the board: the system pulls DTR and RTS together, which circuits for automatic
    /// reset take for nothing, and then both are let go, RTS (reset) first.
    pub fn open(path: &Path, baud: u32) -> io::Result<Self> {
        let mut port = SerialPort::open(path, baud)?;
        // Adapters without these lines, and pseudo-terminals, refuse: there is no reset to be kept from then.
        let _ = port.set_rts(false);
        let _ = port.set_dtr(false);
        port.set_read_timeout(PATIENCE)?;
        Ok(Self { port })
    }

    /// Reset the board, where RTS is wired to its reset pin. False where the adapter has no such line.
    pub fn reset(&self) -> bool {
        let pulled = self.port.set_rts(true).is_ok();
        std::thread::sleep(RESET);
        pulled && self.port.set_rts(false).is_ok()
    }

    /// Change the rate.
    pub fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        let mut settings = self.port.get_configuration()?;
        settings.set_baud_rate(baud)?;
        self.port.set_configuration(&settings)
    }

    /// Read what has come, or wait a moment for it.
    pub fn read(&self, buffer: &mut [u8]) -> Heard {
        match self.port.read(buffer) {
            Ok(0) => Heard::Gone,
            Ok(bytes) => Heard::Bytes(bytes),
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    Heard::Silence
                }
                _ => Heard::Gone,
            },
        }
    }
}

/// Why a port cannot be opened, and what to do about it.
pub fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let failure = Failure::new(Kind::Unreachable, format!("cannot open {shown}: {error}"));
    match error.kind() {
        io::ErrorKind::NotFound => failure.hint(ports::PLUG_IN),
        io::ErrorKind::PermissionDenied => failure.hint(format!(
            "the port belongs to a group; join it, then log out and in again: sudo usermod -aG {} \"$USER\"",
            ports::group_of(path).unwrap_or_else(|| "dialout".to_owned())
        )),
        io::ErrorKind::ResourceBusy => {
            failure.hint("another program has it open: a monitor, ModemManager, an IDE")
        }
        io::ErrorKind::InvalidInput => {
            failure.hint("the adapter, or its driver, cannot do this rate: --baud 115200")
        }
        _ => failure,
    }
}

/// Open a port or say why not.
pub fn open(path: &Path, baud: u32) -> Outcome<Line> {
    Line::open(path, baud).map_err(|error| cannot_open(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let path = Path::new("/dev/null");
        let hint = |kind: io::ErrorKind| cannot_open(path, &kind.into()).hint.unwrap_or_default();
        assert!(hint(io::ErrorKind::PermissionDenied).contains("sudo usermod -aG"));
        assert!(hint(io::ErrorKind::NotFound).contains("--port"));
        assert!(hint(io::ErrorKind::ResourceBusy).contains("another program"));
        assert_eq!(cannot_open(path, &io::ErrorKind::Other.into()).hint, None);
        let failure = open(Path::new("/nowhere/ttyUSB0"), LOG_BAUD).err().unwrap();
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!(failure.message.starts_with("cannot open /nowhere/ttyUSB0: "), "{}", failure.message);
    }
}

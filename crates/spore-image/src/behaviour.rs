//! What a virtual node does when it runs an image: the payload of board `virtual`.
//!
//! The payload begins with a few lines of text and an empty line; the rest is padding.
//!
//! ```text
//! spore-virtual 1
//! act crash
//! after-ms 1500
//!
//! ```
//!
//! `act` is one of `healthy`, `crash`, `hang`, `no-network`. `after-ms` may be missing and is 0 then.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::fmt::{self, Write};
use core::str::FromStr;
use heapless::String;
use spore_sentence::sentence;

/// The longest record in bytes; what to read of a payload to know its behaviour.
pub const RECORD_BYTES: usize = 64;
const FIRST_LINE: &str = "spore-virtual 1";

/// What an image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Act {
    /// Runs as it should.
    #[default]
    Healthy,
    /// Ends in an exception.
    Crash,
    /// Stops doing anything until the watchdog bites.
    Hang,
    /// Runs, but its radio finds nobody.
    NoNetwork,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Crash, Self::Hang, Self::NoNetwork];

    /// The word in the record and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::NoNetwork => "no-network",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A payload does not begin with a behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BehaviourError {
    /// It does not begin with `spore-virtual 1`, or no empty line ends the record.
    NoRecord,
    /// `act` is missing, given twice or not a known word.
    BadAct,
    /// `after-ms` is given twice or not a number.
    BadAfter,
    /// There is a line that is not known.
    UnknownLine,
}

impl fmt::Display for BehaviourError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                Self::NoRecord => sentence!("the payload does not begin with the text of a virtual image"),
                Self::BadAct => {
                    sentence!("a virtual image needs one line `act` with healthy, crash, hang or no-network")
                }
                Self::BadAfter => {
                    sentence!("`after-ms` of a virtual image must be given once, in whole milliseconds")
                }
                Self::UnknownLine => {
                    sentence!("the text of the virtual image has a line that is not known here")
                }
            },
            f,
        )
    }
}

impl core::error::Error for BehaviourError {}

impl FromStr for Act {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, BehaviourError> {
        Self::ALL.into_iter().find(|act| act.as_str() == text).ok_or(BehaviourError::BadAct)
    }
}

/// What an image does, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// What.
    pub act: Act,
    /// How long after its start it begins with it, in ms; healthy until then.
    pub after_ms: u32,
}

impl Behaviour {
    /// Reads the record at the start of a payload. [`RECORD_BYTES`] of it are enough.
    pub fn parse(payload: &[u8]) -> Result<Self, BehaviourError> {
        let window = payload.get(..RECORD_BYTES).unwrap_or(payload);
        let end = window.windows(2).position(|pair| pair == b"\n\n").ok_or(BehaviourError::NoRecord)?;
        let record = window.get(..end).and_then(|bytes| core::str::from_utf8(bytes).ok());
        let mut lines = record.ok_or(BehaviourError::NoRecord)?.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(BehaviourError::NoRecord);
        }
        let (mut act, mut after_ms) = (None, None);
        for line in lines {
            match line.split_once(' ') {
                Some(("act", word)) if act.is_none() => act = Some(word.parse()?),
                Some(("act", _)) => return Err(BehaviourError::BadAct),
                Some(("after-ms", number)) if after_ms.is_none() => {
                    after_ms = Some(number.parse().map_err(|_| BehaviourError::BadAfter)?);
                }
                Some(("after-ms", _)) => return Err(BehaviourError::BadAfter),
                _ => return Err(BehaviourError::UnknownLine),
            }
        }
        Ok(Self { act: act.ok_or(BehaviourError::BadAct)?, after_ms: after_ms.unwrap_or(0) })
    }

    /// Writes the record.
    pub fn emit(&self) -> String<RECORD_BYTES> {
        let mut out = String::new();
        // The longest record has 53 bytes, see the test.
        write!(out, "{FIRST_LINE}\nact {}\nafter-ms {}\n\n", self.act, self.after_ms).unwrap_or_default();
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_longest() {
        for act in Act::ALL {
            for after_ms in [0, 1500, u32::MAX] {
                let behaviour = Behaviour { act, after_ms };
                let mut payload = behaviour.emit().as_bytes().to_vec();
                assert!(payload.ends_with(b"\n\n"), "not cut off");
                assert_eq!(Behaviour::parse(&payload), Ok(behaviour));
                payload.extend([0xFF; 1000]);
                assert_eq!(Behaviour::parse(&payload), Ok(behaviour), "padding is not read");
            }
        }
    }

    #[test]
    fn what_is_no_record() {
        let check = |text: &str| Behaviour::parse(text.as_bytes()).unwrap_err();
        assert_eq!(check(""), BehaviourError::NoRecord);
        assert_eq!(check("spore-virtual 1\nact hang\n"), BehaviourError::NoRecord);
        assert_eq!(check("spore-virtual 2\nact hang\n\n"), BehaviourError::NoRecord);
        assert_eq!(check("spore-virtual 1\n\n"), BehaviourError::BadAct);
        assert_eq!(check("spore-virtual 1\nact dance\n\n"), BehaviourError::BadAct);
        assert_eq!(check("spore-virtual 1\nact hang\nact hang\n\n"), BehaviourError::BadAct);
        assert_eq!(check("spore-virtual 1\nact hang\nafter-ms -1\n\n"), BehaviourError::BadAfter);
        assert_eq!(check("spore-virtual 1\nact hang\nnoise\n\n"), BehaviourError::UnknownLine);
        assert_eq!(Behaviour::parse(&[0xFF; 64]), Err(BehaviourError::NoRecord));
        assert_eq!(
            Behaviour::parse(b"spore-virtual 1\nact hang\n\n"),
            Ok(Behaviour { act: Act::Hang, after_ms: 0 })
        );
    }

    #[test]
    fn any_bytes_are_judged() {
        use proptest::prelude::*;
        proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..80))| {
            prop_assert!(Behaviour::parse(&bytes).is_err());
        });
    }
}

//! What survives a restart of the ESP8266 in the user part of its RTC memory, and why the node starts.
//!
//! 512 bytes at [`ADDRESS`] that can be read and written in whole words only. Losing power loses them, and what is found
//! then is anything; therefore every record ends with the CRC-32 (ISO-HDLC) of its words before that, each little endian.
//!
//! | words | written by | read by | what |
//! |---|---|---|---|
//! | [`HANDOFF`] 0-15 | bootloader | firmware | slot, trial, number of this start, why it starts |
//! | [`crate::crashes::WORD`] 16-18 | firmware | firmware | quick crashes in a row, see [`crate::crashes`] |
//! | 19-31 | | | free |
//! | [`REQUEST`] 32-35 | firmware, before it restarts | bootloader, which then clears it | restart, or trial failed |
//!
//! Handoff: magic `SPHO`, flags (bit 0 slot B, 1 trial, 2 an update ended at this start), number of this start, kind of
//! reset (see [`Reset`]), cause, EPC, EXCVADDR, four words of task name, four words zero, CRC. Request: magic `SPRQ`, kind, zero, CRC.
//! Crashes are recorded by the SDK, in its reset information, and survive in the handoff.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::boot::ResetCause;
use core::fmt;
use spore_image::{Slot, crc32};
use spore_sentence::{Sentence, say, sentence};

/// Address of the user part of the RTC memory.
pub const ADDRESS: u32 = 0x6000_1200;
/// Address of the SDK's reset information in the system part: seven words (reason, EXCCAUSE, EPC1, EPC2, EPC3, EXCVADDR,
/// DEPC).
pub const RESET_INFO_ADDRESS: u32 = 0x6000_1100;
/// Word at which the handoff begins.
pub const HANDOFF: usize = 0;
/// Words of a handoff.
pub const HANDOFF_WORDS: usize = 16;
/// Word at which the restart request begins.
pub const REQUEST: usize = 32;
/// Words of a restart request.
pub const REQUEST_WORDS: usize = 4;
/// The longest name of a task in bytes.
pub const TASK_BYTES: usize = 16;

const HANDOFF_MAGIC: u32 = u32::from_le_bytes(*b"SPHO");
const REQUEST_MAGIC: u32 = u32::from_le_bytes(*b"SPRQ");

/// The CRC-32 of up to 16 words.
fn checksum(words: &[u32]) -> u32 {
    let mut bytes = [[0; 4]; 16];
    for (to, word) in bytes.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    crc32(bytes.get(..words.len()).unwrap_or(&bytes).as_flattened())
}

/// The record that begins with the magic number and these words, zero up to the checksum.
pub(crate) fn sealed<const N: usize>(magic: u32, content: &[u32]) -> [u32; N] {
    let mut out = [0; N];
    if let Some((first, rest)) = out.split_first_mut() {
        *first = magic;
        for (to, from) in rest.iter_mut().zip(content) {
            *to = *from;
        }
    }
    if let Some((sum, covered)) = out.split_last_mut() {
        *sum = checksum(covered);
    }
    out
}

/// The words between magic number and checksum, if both are right.
pub(crate) fn opened(magic: u32, words: &[u32]) -> Option<&[u32]> {
    let (sum, covered) = words.split_last()?;
    let (found, content) = covered.split_first()?;
    (*found == magic && *sum == checksum(covered)).then_some(content)
}

/// Name of a task: printable ASCII, cut off at 16 bytes; empty where it is not known. Kept as words, and looked at only
/// when it is shown: the bootloader hands it through.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskName([u32; TASK_BYTES / 4]);

impl TaskName {
    /// The name; whatever is not printable ASCII becomes `?`.
    pub fn new(name: &str) -> Self {
        let mut out = [0; TASK_BYTES];
        for (to, from) in out.iter_mut().zip(name.bytes()) {
            *to = printable(from);
        }
        let mut words = [0; TASK_BYTES / 4];
        for (word, bytes) in words.iter_mut().zip(out.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self(words)
    }

    /// Whether it is not known.
    pub const fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

const fn printable(byte: u8) -> u8 {
    if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for byte in self.0.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0) {
            f.write_char(char::from(printable(byte)))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a firmware ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashKind {
    /// It panicked (code 1): an illegal instruction, which is what this compiler makes of a panic.
    Panic,
    /// The processor raised an exception (code 2).
    Exception,
    /// A task did not come back in time (code 3); `epc` is where it was.
    Watchdog,
}

impl CrashKind {
    const fn code(self) -> u32 {
        match self {
            Self::Panic => 1,
            Self::Exception => 2,
            Self::Watchdog => 3,
        }
    }

    const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Panic,
            2 => Self::Exception,
            3 => Self::Watchdog,
            _ => return None,
        })
    }
}

/// A crash, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// What kind of.
    pub kind: CrashKind,
    /// EXCCAUSE of the processor; of an exception.
    pub cause: u32,
    /// Address of the instruction.
    pub epc: u32,
    /// Address that was accessed (EXCVADDR); of exceptions that have one.
    pub address: u32,
    /// The task that ran.
    pub task: TaskName,
}

impl Crash {
    fn from_words([kind, cause, epc, address, a, b, c, d]: [u32; 8]) -> Option<Self> {
        Some(Self { kind: CrashKind::from_code(kind)?, cause, epc, address, task: TaskName([a, b, c, d]) })
    }
}

/// An address as it is shown.
struct Address(u32);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, cause, epc, address, task } = self;
        match kind {
            CrashKind::Panic => say!(f, "panic at ", Address(*epc))?,
            CrashKind::Watchdog => say!(f, "watchdog at ", Address(*epc))?,
            CrashKind::Exception => {
                say!(f, "exception ", cause)?;
                if let Some(name) = exception(*cause) {
                    write!(f, " ({name})")?;
                }
                say!(f, " at ", Address(*epc))?;
                if has_address(*cause) {
                    say!(f, " accessing ", Address(*address))?;
                }
            }
        }
        if task.is_empty() { Ok(()) } else { say!(f, " in task ", task) }
    }
}

/// Names of the Xtensa exceptions this core can raise (Xtensa ISA, EXCCAUSE).
const fn exception(cause: u32) -> Option<Sentence> {
    Some(match cause {
        1 => sentence!("system call"),
        2 => sentence!("instruction fetch error"),
        3 => sentence!("load or store error"),
        4 => sentence!("interrupt"),
        6 => sentence!("division by zero"),
        8 => sentence!("privileged instruction"),
        9 => sentence!("misaligned access"),
        12 => sentence!("data error on instruction fetch"),
        13 => sentence!("data error on load or store"),
        14 => sentence!("address error on instruction fetch"),
        15 => sentence!("address error on load or store"),
        20 => sentence!("instruction fetch prohibited"),
        28 => sentence!("load prohibited"),
        29 => sentence!("store prohibited"),
        _ => return None,
    })
}

const ILLEGAL_INSTRUCTION: u32 = 0;

/// Whether EXCVADDR says what was accessed.
const fn has_address(cause: u32) -> bool {
    matches!(cause, 2 | 3 | 9 | 12..=15 | 16..=18 | 20 | 24..=26 | 28 | 29)
}

/// What a firmware asks for when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Nothing but to start again (code 1).
    Restart,
    /// To go back: the trial's deadline passed (code 2).
    TrialFailed,
}

impl Request {
    /// The record.
    pub fn emit(self) -> [u32; REQUEST_WORDS] {
        let code = match self {
            Self::Restart => 1,
            Self::TrialFailed => 2,
        };
        sealed(REQUEST_MAGIC, &[code])
    }

    /// Reads a record; `None` if there is none.
    pub fn parse(words: &[u32; REQUEST_WORDS]) -> Option<Self> {
        match opened(REQUEST_MAGIC, words)? {
            [1, ..] => Some(Self::Restart),
            [2, ..] => Some(Self::TrialFailed),
            _ => None,
        }
    }
}

/// Why the node starts. [`Display`](fmt::Display) gives the API's `reset_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Power came (code 1).
    PowerOn,
    /// The reset pin (code 2).
    External,
    /// The software asked for it (code 3).
    Restart,
    /// The image on trial gave up (code 4).
    TrialFailed,
    /// A watchdog bit that cannot tell where (code 5).
    Watchdog,
    /// The chip woke up from deep sleep (code 6).
    DeepSleep,
    /// The firmware crashed, and it is known where (code 16 and the kind's).
    Crash(Crash),
}

impl Reset {
    /// Puts together what is known.
    ///
    /// `rom` is what the ROM's `rtc_get_reset_reason` returns (0 and 1 power on, 2 reset pin or restart, 3 restart, 4
    /// hardware watchdog, 5 deep sleep) and `sdk` the SDK's reset information (reason 1 hardware watchdog, 2 exception, 3 software watchdog, 4
    /// restart, 5 deep sleep, 6 reset pin), which has no checksum and is not believed after power on. A request of our
    /// own, which has one, comes first: the ROM cannot tell a restart from the reset pin.
    pub fn derive(rom: u32, sdk: &[u32; 7], request: Option<Request>) -> Self {
        match request {
            Some(Request::Restart) => return Self::Restart,
            Some(Request::TrialFailed) => return Self::TrialFailed,
            None => {}
        }
        let [reason, cause, epc, _, _, address, _] = *sdk;
        let crash = |kind| Self::Crash(Crash { kind, cause, epc, address, task: TaskName::default() });
        match (rom, reason) {
            (0 | 1, _) => Self::PowerOn,
            (4, _) | (_, 1) => Self::Watchdog,
            (_, 2) if cause == ILLEGAL_INSTRUCTION => crash(CrashKind::Panic),
            (_, 2) => crash(CrashKind::Exception),
            (_, 3) => crash(CrashKind::Watchdog),
            (3, _) | (_, 4) => Self::Restart,
            (5, _) | (_, 5) => Self::DeepSleep,
            (2, _) | (_, 6) => Self::External,
            _ => Self::PowerOn,
        }
    }

    /// What it says about a trial.
    pub const fn cause(&self) -> ResetCause {
        match self {
            Self::PowerOn | Self::External | Self::DeepSleep => ResetCause::PowerOn,
            Self::Restart => ResetCause::Restart,
            Self::TrialFailed => ResetCause::TrialFailed,
            Self::Watchdog | Self::Crash(Crash { kind: CrashKind::Watchdog, .. }) => ResetCause::Watchdog,
            Self::Crash(_) => ResetCause::Exception,
        }
    }

    fn words(&self) -> [u32; 8] {
        let code = match self {
            Self::PowerOn => 1,
            Self::External => 2,
            Self::Restart => 3,
            Self::TrialFailed => 4,
            Self::Watchdog => 5,
            Self::DeepSleep => 6,
            Self::Crash(Crash { kind, cause, epc, address, task }) => {
                let TaskName([a, b, c, d]) = *task;
                return [kind.code() | CRASHED, *cause, *epc, *address, a, b, c, d];
            }
        };
        [code, 0, 0, 0, 0, 0, 0, 0]
    }

    fn from_words(words: [u32; 8]) -> Option<Self> {
        let [code, cause, epc, address, a, b, c, d] = words;
        Some(match code {
            1 => Self::PowerOn,
            2 => Self::External,
            3 => Self::Restart,
            4 => Self::TrialFailed,
            5 => Self::Watchdog,
            6 => Self::DeepSleep,
            _ if code & CRASHED != 0 => {
                Self::Crash(Crash::from_words([code ^ CRASHED, cause, epc, address, a, b, c, d])?)
            }
            _ => return None,
        })
    }
}

const CRASHED: u32 = 16;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                Self::PowerOn => sentence!("power on"),
                Self::External => sentence!("external reset"),
                Self::Restart => sentence!("restart"),
                Self::TrialFailed => sentence!("trial failed"),
                Self::Watchdog => sentence!("watchdog"),
                Self::DeepSleep => sentence!("deep sleep"),
                Self::Crash(crash) => return crash.fmt(f),
            },
            f,
        )
    }
}

/// What the bootloader tells the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handoff {
    /// Slot the firmware runs from.
    pub slot: Slot,
    /// Whether it is on trial.
    pub trial: bool,
    /// Whether an update ended at this very start, by going back.
    pub update_ended: bool,
    /// Starts since the flash was new, this one included.
    pub boot_count: u32,
    /// Why the node starts.
    pub reset: Reset,
}

impl Handoff {
    /// The record.
    pub fn emit(&self) -> [u32; HANDOFF_WORDS] {
        let flags =
            u32::from(self.slot == Slot::B) | u32::from(self.trial) << 1 | u32::from(self.update_ended) << 2;
        let [kind, cause, epc, address, a, b, c, d] = self.reset.words();
        sealed(HANDOFF_MAGIC, &[flags, self.boot_count, kind, cause, epc, address, a, b, c, d])
    }

    /// Reads a record; `None` if there is none, for instance because another bootloader started the firmware.
    pub fn parse(words: &[u32; HANDOFF_WORDS]) -> Option<Self> {
        let [flags, boot_count, reset @ ..] = *opened(HANDOFF_MAGIC, words)?.first_chunk::<10>()?;
        Some(Self {
            slot: if flags & 1 == 0 { Slot::A } else { Slot::B },
            trial: flags & 2 != 0,
            update_ended: flags & 4 != 0,
            boot_count,
            reset: Reset::from_words(reset)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn crash(kind: CrashKind, task: &str) -> Crash {
        Crash { kind, cause: 29, epc: 0x4021_2345, address: 0x10, task: TaskName::new(task) }
    }

    #[test]
    fn words_are_where_the_table_says() {
        let reset = Reset::Crash(crash(CrashKind::Exception, "http"));
        let handoff = Handoff { slot: Slot::B, trial: true, update_ended: true, boot_count: 9, reset };
        let words = handoff.emit();
        let http = u32::from_le_bytes(*b"http");
        assert_eq!(words[..15], [HANDOFF_MAGIC, 7, 9, 18, 29, 0x4021_2345, 0x10, http, 0, 0, 0, 0, 0, 0, 0]);
        let bytes: std::vec::Vec<u8> = words[..15].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(words[15], crc32(&bytes));
        assert_eq!(Request::TrialFailed.emit()[..3], [REQUEST_MAGIC, 2, 0]);
    }

    #[test]
    fn anything_is_no_record() {
        for word in [0, u32::MAX, HANDOFF_MAGIC, REQUEST_MAGIC] {
            assert_eq!(Handoff::parse(&[word; 16]), None);
            assert_eq!(Request::parse(&[word; 4]), None);
        }
        // A right checksum over a code nobody knows.
        assert_eq!(Request::parse(&sealed(REQUEST_MAGIC, &[3])), None);
        assert_eq!(Handoff::parse(&sealed(HANDOFF_MAGIC, &[0, 1, 7])), None);
    }

    #[test]
    fn reasons_in_words() {
        let text = |reset: Reset| reset.to_string();
        assert_eq!(text(Reset::Crash(crash(CrashKind::Panic, "http"))), "panic at 0x40212345 in task http");
        assert_eq!(
            text(Reset::Crash(crash(CrashKind::Exception, ""))),
            "exception 29 (store prohibited) at 0x40212345 accessing 0x00000010"
        );
        let unknown = Crash { cause: 40, ..crash(CrashKind::Exception, "") };
        assert_eq!(text(Reset::Crash(unknown)), "exception 40 at 0x40212345");
        assert_eq!(text(Reset::Crash(crash(CrashKind::Watchdog, "x"))), "watchdog at 0x40212345 in task x");
        for (reset, expected) in [
            (Reset::PowerOn, "power on"),
            (Reset::External, "external reset"),
            (Reset::Restart, "restart"),
            (Reset::TrialFailed, "trial failed"),
            (Reset::Watchdog, "watchdog"),
            (Reset::DeepSleep, "deep sleep"),
        ] {
            assert_eq!(text(reset), expected);
        }
        assert_eq!(TaskName::new("a name longer than it may be").to_string(), "a name longer th");
        assert_eq!(TaskName::new("ü\n").to_string(), "???");
    }

    #[test]
    fn why_the_node_starts() {
        let info = |reason| [reason, 29, 0x4021_2345, 0, 0, 0x10, 0];
        let plain = |rom, reason| Reset::derive(rom, &info(reason), None);
        for rom in [0, 1] {
            // Whatever the SDK's part of the memory holds after power on.
            for reason in 0..9 {
                assert_eq!(plain(rom, reason), Reset::PowerOn);
            }
        }
        assert_eq!(plain(2, 0), Reset::External);
        assert_eq!(plain(2, 6), Reset::External);
        assert_eq!(plain(2, 4), Reset::Restart);
        assert_eq!(plain(2, 1), Reset::Watchdog);
        assert_eq!(plain(2, 3), Reset::Crash(crash(CrashKind::Watchdog, "")));
        assert_eq!(plain(2, 5), Reset::DeepSleep);
        assert_eq!(plain(3, 0), Reset::Restart);
        assert_eq!(plain(5, 0), Reset::DeepSleep);
        assert_eq!(plain(4, 0), Reset::Watchdog);
        assert_eq!(plain(7, 0), Reset::PowerOn);
        assert_eq!(plain(2, 2), Reset::Crash(crash(CrashKind::Exception, "")));
        let panic = Crash { cause: ILLEGAL_INSTRUCTION, ..crash(CrashKind::Panic, "") };
        assert_eq!(Reset::derive(2, &[2, 0, 0x4021_2345, 0, 0, 0x10, 0], None), Reset::Crash(panic));
        let asked = |request| Reset::derive(4, &info(4), Some(request));
        assert_eq!(asked(Request::Restart), Reset::Restart);
        assert_eq!(asked(Request::TrialFailed), Reset::TrialFailed);
    }

    #[test]
    fn what_it_says_about_a_trial() {
        for (reset, cause) in [
            (Reset::PowerOn, ResetCause::PowerOn),
            (Reset::External, ResetCause::PowerOn),
            (Reset::DeepSleep, ResetCause::PowerOn),
            (Reset::Restart, ResetCause::Restart),
            (Reset::TrialFailed, ResetCause::TrialFailed),
            (Reset::Watchdog, ResetCause::Watchdog),
            (Reset::Crash(crash(CrashKind::Watchdog, "")), ResetCause::Watchdog),
            (Reset::Crash(crash(CrashKind::Panic, "")), ResetCause::Exception),
            (Reset::Crash(crash(CrashKind::Exception, "")), ResetCause::Exception),
        ] {
            assert_eq!(reset.cause(), cause);
        }
    }

    fn any_reset() -> impl Strategy<Value = Reset> {
        let plain = [
            Reset::PowerOn,
            Reset::External,
            Reset::Restart,
            Reset::TrialFailed,
            Reset::Watchdog,
            Reset::DeepSleep,
        ];
        let kinds = [CrashKind::Panic, CrashKind::Exception, CrashKind::Watchdog];
        let crash = (0usize..3, any::<[u32; 3]>(), "[ -~]{0,20}").prop_map(move |(kind, words, task)| {
            let [cause, epc, address] = words;
            let task = TaskName::new(task.trim_end());
            Reset::Crash(Crash { kind: kinds[kind], cause, epc, address, task })
        });
        prop_oneof![proptest::sample::select(plain.to_vec()), crash]
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed(
            b: bool, trial: bool, update_ended: bool, boot_count: u32, reset in any_reset(),
            at in 0usize..16, flip in 1u32..,
        ) {
            let slot = if b { Slot::B } else { Slot::A };
            let handoff = Handoff { slot, trial, update_ended, boot_count, reset };
            let mut words = handoff.emit();
            prop_assert_eq!(Handoff::parse(&words), Some(handoff));
            words[at] ^= flip;
            prop_assert_eq!(Handoff::parse(&words), None);
            for request in [Request::Restart, Request::TrialFailed] {
                let mut words = request.emit();
                prop_assert_eq!(Request::parse(&words), Some(request));
                words[at % 4] ^= flip;
                prop_assert_eq!(Request::parse(&words), None);
            }
        }
    }
}

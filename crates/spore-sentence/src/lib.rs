//! Texts that stay in flash on chips that read flash by whole words only.
//!
//! The ESP8266 executes code and loads whole aligned words straight from flash; a load of a single byte there is an exception
//! (docs/memory.md). A `&str` is read by the byte, so it must lie in data RAM, of which there are 80 KB. A [`Sentence`] is packed
//! into words when it is compiled and read by words, a few at a time, when it is shown. It costs flash and no RAM.
//!
//! ```
//! use spore_sentence::{Sentence, say, sentence};
//!
//! struct TooLarge { bytes: u32, room: u32 }
//!
//! impl core::fmt::Display for TooLarge {
//!     fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
//!         say!(f, "the image has ", self.bytes, " bytes and a slot holds ", self.room, "; make it smaller")
//!     }
//! }
//!
//! const BUSY: Sentence = sentence!("all connections are busy; try again soon");
//! assert_eq!(BUSY.to_string(), "all connections are busy; try again soon");
//! assert_eq!(
//!     TooLarge { bytes: 500_001, room: 499_712 }.to_string(),
//!     "the image has 500001 bytes and a slot holds 499712; make it smaller"
//! );
//! ```
//!
//! How it gets there: [`sentence!`] makes a static named `SENTENCE`. The linker script of the firmware (firmware/link/app.ld) puts
//! every constant of that name into flash.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

use core::fmt;
use core::hint::black_box;

/// Words shown at a time; bounds the stack that it takes.
const WORDS: usize = 8;

/// A constant ASCII text that is read by whole words. Made by [`sentence!`].
#[derive(Clone, Copy)]
pub struct Sentence(&'static [u32]);

impl Sentence {
    /// The text in `words`, as [`pack`] packs it.
    #[doc(hidden)]
    pub const fn new(words: &'static [u32]) -> Self {
        Self(words)
    }

    /// Whether this is the text `other`.
    pub fn is(self, other: &str) -> bool {
        let mut rest = other;
        self.pieces(|piece| {
            rest = rest.strip_prefix(piece).ok_or(fmt::Error)?;
            Ok(())
        })
        .is_ok()
            && rest.is_empty()
    }

    /// Shows the text piece by piece.
    #[inline(never)]
    fn pieces(self, mut show: impl FnMut(&str) -> fmt::Result) -> fmt::Result {
        for words in self.0.chunks(WORDS) {
            let mut bytes = [0; 4 * WORDS];
            let mut length = 0;
            for (word, to) in words.iter().zip(bytes.chunks_exact_mut(4)) {
                // What the compiler knows nothing about it neither loads by the byte nor hands to `memcpy`, which would.
                let word = black_box(*word);
                to.copy_from_slice(&word.to_le_bytes());
                length += 4 - word.leading_zeros() as usize / 8;
            }
            let piece = bytes.get(..length).and_then(|piece| str::from_utf8(piece).ok());
            show(piece.unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces(|piece| f.write_str(piece))
    }
}

impl fmt::Debug for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Sentence {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(other.0).all(|(one, other)| black_box(*one) == black_box(*other))
    }
}

impl Eq for Sentence {}

/// How many words [`pack`] needs for a text.
#[doc(hidden)]
pub const fn words(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// Packs an ASCII text into words, first byte lowest, the last word filled up with zero bytes.
///
/// # Panics
///
/// When the text is not ASCII, or has a zero byte: at compile time, since [`sentence!`] is the only caller.
#[doc(hidden)]
pub const fn pack<const N: usize>(text: &str) -> [u32; N] {
    let bytes = text.as_bytes();
    let mut words = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            bytes[at].is_ascii() && bytes[at] != 0,
            "a sentence is ASCII, so that it can be cut anywhere"
        );
        words[at / 4] |= (bytes[at] as u32) << (at % 4 * 8);
        at += 1;
    }
    words
}

/// Makes a [`Sentence`] of a constant text, ASCII without zero bytes.
#[macro_export]
macro_rules! sentence {
    ($text:expr) => {{
        // The linker script knows it by this name.
        static SENTENCE: [u32; $crate::words($text)] = $crate::pack($text);
        $crate::Sentence::new(&SENTENCE)
    }};
}

/// Shows texts and values one after the other, as `write!` does, with the texts as [`Sentence`]s: `say!(f, "slot ", slot, " is empty")`.
/// What is a literal is a text, everything else a value with `Display`. Gives a [`core::fmt::Result`].
#[macro_export]
macro_rules! say {
    ($f:expr, $text:literal $(,)?) => { core::fmt::Display::fmt(&$crate::sentence!($text), $f) };
    ($f:expr, $text:literal, $($rest:tt)+) => {
        core::fmt::Display::fmt(&$crate::sentence!($text), $f).and_then(|()| $crate::say!($f, $($rest)+))
    };
    ($f:expr, $value:expr $(,)?) => { core::fmt::Display::fmt(&$value, $f) };
    ($f:expr, $value:expr, $($rest:tt)+) => {
        core::fmt::Display::fmt(&$value, $f).and_then(|()| $crate::say!($f, $($rest)+))
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_every_length() {
        assert_eq!(sentence!("").to_string(), "");
        assert_eq!(sentence!("a").to_string(), "a");
        assert_eq!(sentence!("four").to_string(), "four");
        assert_eq!(sentence!("seven..").to_string(), "seven..");
        let long = "a text longer than what is shown at once, and than twice that as well";
        assert!(long.len() > 8 * WORDS);
        assert_eq!(
            sentence!("a text longer than what is shown at once, and than twice that as well").to_string(),
            long
        );
    }

    #[test]
    fn is_compared_by_its_text() {
        assert_eq!(sentence!("no"), sentence!("no"));
        assert_ne!(sentence!("no"), sentence!("not"));
        assert!(sentence!("no").is("no"));
        assert!(!sentence!("no").is("not") && !sentence!("not").is("no") && !sentence!("on").is("no"));
    }

    #[test]
    fn said_with_values_between() {
        struct Both(u8, &'static str);
        impl fmt::Display for Both {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                say!(f, "from ", self.0, " to ", self.1, "!")
            }
        }
        assert_eq!(Both(7, "eight").to_string(), "from 7 to eight!");
    }

    proptest! {
        #[test]
        fn what_is_packed_is_shown(text in "[\\x01-\\x7f]{0,200}") {
            let words = pack::<64>(&text);
            let used: &'static [u32] = Vec::from(&words[..super::words(&text)]).leak();
            prop_assert_eq!(Sentence::new(used).to_string(), text);
        }
    }
}

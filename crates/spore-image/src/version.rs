//! Versions of images: Semantic Versioning 2.0.0, at most 24 bytes of text.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;
use heapless::String;
use spore_sentence::say;

/// The longest version in bytes.
pub const VERSION_BYTES: usize = 24;

/// A version such as `1.3.0` or `2.0.0-rc.1+lab`.
///
/// The order is the precedence of Semantic Versioning 2.0.0 (§11). Versions that differ only in build metadata, which
/// has no precedence, are ordered by their text, so that the order agrees with equality.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version {
    text: String<VERSION_BYTES>,
}

/// A text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionError;

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say!(
            f,
            "a version looks like 1.2.3, 1.2.3-rc.1 or 1.2.3+lab and has at most ",
            VERSION_BYTES,
            " bytes"
        )
    }
}

impl core::error::Error for VersionError {}

impl Version {
    /// Reads a version.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let (core, pre, build) = split(text);
        let mut numbers = core.split('.');
        for _ in 0..3 {
            numbers.next().and_then(number).ok_or(VersionError)?;
        }
        if numbers.next().is_some() {
            return Err(VersionError);
        }
        let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if let Some(pre) = pre
            && !pre
                .split('.')
                .all(|part| word(part) && (!numeric(part) || part == "0" || !part.starts_with('0')))
        {
            return Err(VersionError);
        }
        if let Some(build) = build
            && !build.split('.').all(word)
        {
            return Err(VersionError);
        }
        Ok(Self { text: String::try_from(text).map_err(|_| VersionError)? })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Core, pre-release and build metadata.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    match rest.split_once('-') {
        Some((core, pre)) => (core, Some(pre), build),
        None => (rest, None, build),
    }
}

fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Digits compare as numbers of any length, and come before words (§11.4).
fn identifiers(one: &str, two: &str) -> Ordering {
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (numeric(one), numeric(two)) {
        (true, true) => one.len().cmp(&two.len()).then_with(|| one.cmp(two)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(two),
    }
}

fn pre_releases(one: &str, two: &str) -> Ordering {
    let (mut one, mut two) = (one.split('.'), two.split('.'));
    loop {
        match (one.next(), two.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(two)) => match identifiers(one, two) {
                Ordering::Equal => {}
                different => return different,
            },
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (core, pre, _) = split(&self.text);
        let (other_core, other_pre, _) = split(&other.text);
        core.split('.')
            .map(number)
            .cmp(other_core.split('.').map(number))
            .then_with(|| match (pre, other_pre) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(pre), Some(other_pre)) => pre_releases(pre, other_pre),
            })
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn precedence_of_the_specification() {
        // The examples of §11, in ascending order, and our own tie-break at the end.
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0+lab",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        let versions: Vec<Version> = ascending.iter().map(|text| text.parse().unwrap()).collect();
        for (i, one) in versions.iter().enumerate() {
            for (k, two) in versions.iter().enumerate() {
                assert_eq!(one.cmp(two), i.cmp(&k), "{one} against {two}");
            }
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.03",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3-01",
            "1.2.3+",
            "1.2.3+a+b",
            "v1.2.3",
            "1.2.x",
            "1.2.3 ",
            "+1.2.3",
            "1.2.4294967296",
            "1.2.3-aaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
        assert!("1.2.3-aaaaaaaaaaaaaaaaaa".parse::<Version>().is_ok(), "24 bytes fit");
        assert!("1.2.3+001.-".parse::<Version>().is_ok(), "build metadata may have leading zeros");
    }

    #[test]
    fn any_text_is_judged_without_panic() {
        use proptest::prelude::*;
        proptest!(|(text in "[0-9a-z.+-]{0,28}")| {
            if let Ok(version) = Version::parse(&text) {
                prop_assert_eq!(version.as_str(), text.as_str());
                prop_assert_eq!(version.cmp(&version.clone()), Ordering::Equal);
            }
        });
    }
}

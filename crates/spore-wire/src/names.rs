//! Names that cross the wire: hostnames, labels, HTTP methods.
//!
//! Constructors check; a value of these types is always within its limits. No function here panics.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::fmt;
use core::ops::Deref;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use spore_sentence::sentence;

/// A string of at most `N` bytes that spends one byte on its length.
pub type Short<const N: usize> = heapless::String<N, u8>;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing in it.
    Empty,
    /// Longer than the type holds.
    TooLong,
    /// A character outside the alphabet of the type.
    Character,
    /// No room for another label ([`Labels::MAX`]).
    Full,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                NameError::Empty => sentence!("empty"),
                NameError::TooLong => sentence!("too long"),
                NameError::Character => sentence!("character not allowed"),
                NameError::Full => sentence!("too many labels"),
            },
            f,
        )
    }
}

impl core::error::Error for NameError {}

/// The longest prefix of `text` that has at most `limit` bytes and ends at a character.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or("")
}

/// `text` as a bounded string, cut at a character boundary when longer.
pub fn shorten<const N: usize>(text: &str) -> Short<N> {
    Short::try_from(cut(text, N)).unwrap_or_default()
}

/// The name of a node, at most 24 bytes.
///
/// A name this node gives itself is checked by [`Hostname::new`]. A name heard from another node may be anything
/// printable ([`Hostname::foreign`]): a node is not kept out of the cluster because of its name.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Short<24>);

impl Hostname {
    /// Longest name, in bytes.
    pub const MAX: usize = 24;
    /// No name.
    pub const EMPTY: Self = Self(Short::new());

    /// A name for one of our own nodes: 1 to 24 of `A-Z a-z 0-9 . _ -`.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::TooLong`] or [`NameError::Character`].
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return Err(NameError::Character);
        }
        Short::try_from(name).map(Self).map_err(|_| NameError::TooLong)
    }

    /// A name heard from another node: cut to 24 bytes at a character boundary and before the first control
    /// character. Empty when the node did not say. Two foreign names may become equal by the cut, therefore members
    /// are told apart by address, not by name.
    pub fn foreign(name: &str) -> Self {
        let printable = name.find(char::is_control).and_then(|end| name.get(..end)).unwrap_or(name);
        Self(shorten(printable))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Deref for Hostname {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Hostname {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Hostname {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Short::<24>::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

/// What a node's owner wrote on it: up to 8 pairs of key and value, such as `app=spore`, in the order they were set.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    pairs: heapless::Vec<(Short<16>, Short<24>), 8, u8>,
}

/// Order does not count.
impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for Labels {}

impl Labels {
    /// Most labels a node can carry.
    pub const MAX: usize = 8;
    /// Longest key, in bytes.
    pub const KEY_MAX: usize = 16;
    /// Longest value, in bytes.
    pub const VALUE_MAX: usize = 24;

    /// No labels.
    pub const fn new() -> Self {
        Self { pairs: heapless::Vec::new() }
    }

    /// Sets a label, replacing the value of an existing key in place. Keys are 1 to 16 bytes without `=` and control
    /// characters, values 0 to 24 bytes without control characters.
    ///
    /// # Errors
    /// A [`NameError`]; the labels are unchanged then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), NameError> {
        if key.is_empty() {
            return Err(NameError::Empty);
        }
        if key.chars().any(|c| c == '=' || c.is_control()) || value.chars().any(char::is_control) {
            return Err(NameError::Character);
        }
        let value = Short::try_from(value).map_err(|_| NameError::TooLong)?;
        if let Some(pair) = self.pairs.iter_mut().find(|pair| pair.0 == key) {
            pair.1 = value;
            return Ok(());
        }
        let key = Short::try_from(key).map_err(|_| NameError::TooLong)?;
        self.pairs.push((key, value)).map_err(|_| NameError::Full)
    }

    /// Removes a label; says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.pairs.len();
        self.pairs.retain(|pair| pair.0 != key);
        self.pairs.len() != before
    }

    /// Removes all labels.
    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    /// All pairs of key and value, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|pair| (pair.0.as_str(), pair.1.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// As an object, `{"app":"spore"}`.
impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// From an object; a label out of its limits is an error.
impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of at most 8 labels")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = Labels::new();
                while let Some((key, value)) = map.next_entry::<Short<16>, Short<24>>()? {
                    labels.set(&key, &value).map_err(serde::de::Error::custom)?;
                }
                Ok(labels)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// An HTTP method, as an endpoint of the catalogue has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Method {
    /// Read.
    Get = 1,
    /// Create or act.
    Post = 2,
    /// Remove.
    Delete = 4,
    /// Replace.
    Put = 8,
    /// Change in part.
    Patch = 16,
    /// Read the head only.
    Head = 32,
    /// Ask what is possible.
    Options = 64,
    /// All of them (a C++ node's `HTTP_ANY`).
    Any = 127,
}

impl Method {
    /// Every single method, in the order of [`Method::bits`].
    pub const ALL: [Method; 7] = [
        Method::Get,
        Method::Post,
        Method::Delete,
        Method::Put,
        Method::Patch,
        Method::Head,
        Method::Options,
    ];

    /// The name in capitals, as in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Any => "ANY",
        }
    }

    /// From a name, letter case ignored; `*` means [`Method::Any`], as does `ANY`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "*" || name.eq_ignore_ascii_case("ANY") {
            return Some(Method::Any);
        }
        Self::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name))
    }

    /// The number ESPAsyncWebServer's `WebRequestMethod` gives it, one bit each: GET 1, POST 2, DELETE 4, PUT 8,
    /// PATCH 16, HEAD 32, OPTIONS 64, ANY 127. C++ nodes write this number into their catalogue; several bits mean
    /// several methods.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    #[test]
    fn own_hostnames_are_checked() {
        assert_eq!(Hostname::new("esp_3f9ec1").unwrap().as_str(), "esp_3f9ec1");
        assert_eq!(Hostname::new(""), Err(NameError::Empty));
        assert_eq!(Hostname::new("a:b"), Err(NameError::Character));
        assert_eq!(Hostname::new("abcdefghijklmnopqrstuvwxy"), Err(NameError::TooLong));
        assert!(Hostname::new("abcdefghijklmnopqrstuvwx").is_ok());
    }

    #[test]
    fn foreign_hostnames_are_cut() {
        assert_eq!(&*Hostname::foreign("Küche, links"), "Küche, links");
        assert_eq!(&*Hostname::foreign("a\nb"), "a");
        let long = Hostname::foreign("aääääääääääääääää");
        assert_eq!(long.len(), 23, "the 24th byte would be half a character");
    }

    #[test]
    fn labels_replace_remove_and_refuse() {
        let mut labels = Labels::new();
        labels.set("app", "spore").unwrap();
        labels.set("app", "relay").unwrap();
        assert_eq!((labels.len(), labels.get("app")), (1, Some("relay")));
        assert_eq!(labels.set("", "x"), Err(NameError::Empty));
        assert_eq!(labels.set("a=b", "x"), Err(NameError::Character));
        assert_eq!(labels.set("abcdefghijklmnopq", "x"), Err(NameError::TooLong));
        assert_eq!(labels.set("k", "abcdefghijklmnopqrstuvwxy"), Err(NameError::TooLong));
        for i in 1..8 {
            labels.set(&i.to_string(), "").unwrap();
        }
        assert_eq!(labels.set("ninth", ""), Err(NameError::Full));
        assert_eq!(labels.set("app", "again"), Ok(()));
        assert!(labels.remove("app") && !labels.remove("app"));
        assert_eq!(labels.len(), 7);
    }

    #[test]
    fn labels_are_a_json_object() {
        let mut labels = Labels::new();
        labels.set("app", "spore").unwrap();
        labels.set("role", "a\"b").unwrap();
        let json = serde_json::to_string(&labels).unwrap();
        assert_eq!(json, r#"{"app":"spore","role":"a\"b"}"#);
        assert_eq!(serde_json::from_str::<Labels>(&json).unwrap(), labels);
        assert!(serde_json::from_str::<Labels>(r#"{"":"x"}"#).is_err());
    }

    #[test]
    fn methods_have_names_and_bits() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(&method.as_str().to_lowercase()), Some(method));
        }
        assert_eq!(Method::from_name("BREW"), None);
        assert_eq!(Method::ALL.iter().fold(0, |bits, m| bits | m.bits()), Method::Any.bits());
    }
}

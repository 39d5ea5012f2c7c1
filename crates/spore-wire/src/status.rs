//! Reads what a node says about itself, as it streams in.
//!
//! `GET /api/node/status` of a C++ node holds the resources and, in early generations, the catalogue; `GET
//! /api/node/endpoints` holds the catalogue alone. Both can be longer than any buffer we have, so they are read in
//! pieces: [`Details`] are collected, endpoints are handed out one by one.
//!
//! # Panics
//! [`StatusReader`] does not panic on any bytes, and its result does not depend on how they are cut into pieces.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::details::{Details, Key};
use crate::json::{JsonError, Scalar, Scanner, Token};
use crate::names::{Labels, Method, Short};

/// Longest URI of an endpoint, in bytes; an endpoint with a longer one is left out, because a cut URI leads nowhere.
pub const URI_MAX: usize = 64;

/// Something that is handed out while reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An element of `api` or `endpoints`. An element with several methods is handed out once for each, one with all
    /// of them once with [`Method::Any`].
    Endpoint {
        /// How to ask.
        method: Method,
        /// Where to ask: 1 to [`URI_MAX`] bytes.
        uri: &'a str,
    },
}

/// In which part of the document the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A top-level member of no interest.
    Elsewhere,
    /// A top-level member of [`Details`].
    Detail(Key),
    /// The top-level member `labels`.
    Labels,
    /// The top-level member `api` or `endpoints`.
    Endpoints,
}

/// Which member of an endpoint comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Other,
    Uri,
    Method,
}

/// Reads one status document; see the module. Needs less than 900 bytes.
///
/// An endpoint's method is a name (`"GET"`, any letter case) or a number, a mask as ESPAsyncWebServer counts them
/// ([`Method::bits`]). Without a method it is GET; with an unknown one the endpoint is left out.
#[derive(Clone, Debug)]
pub struct StatusReader {
    scanner: Scanner<URI_MAX>,
    collected: Collected,
}

#[derive(Clone, Debug)]
struct Collected {
    depth: u8,
    place: Place,
    member: Member,
    details: Details,
    label: Short<{ Labels::KEY_MAX }>,
    uri: Short<URI_MAX>,
    /// Mask of methods; 0 when unknown.
    methods: u8,
}

impl Default for StatusReader {
    fn default() -> Self {
        Self::new()
    }
}

impl StatusReader {
    /// A reader at the start of a document.
    pub fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            collected: Collected {
                depth: 0,
                place: Place::Elsewhere,
                member: Member::Other,
                details: Details::default(),
                label: Short::new(),
                uri: Short::new(),
                methods: 0,
            },
        }
    }

    /// Reads the next bytes of the document and calls `found` for each endpoint completed by them.
    ///
    /// # Errors
    /// The document is broken from here on; every later call returns the same error. What was found before stands.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found<'_>)) -> Result<(), JsonError> {
        let collected = &mut self.collected;
        self.scanner.feed(bytes, &mut |token| collected.take(token, found))
    }

    /// Whether the document has ended.
    pub fn is_complete(&self) -> bool {
        self.scanner.is_done()
    }

    /// What was found so far, in place: [`Details`] are large for a small stack.
    pub fn details(&mut self) -> &mut Details {
        &mut self.collected.details
    }

    /// What was found in the document as far as it could be read; see [`StatusReader::is_complete`].
    pub fn finish(self) -> Details {
        self.collected.details
    }
}

impl Collected {
    fn take(&mut self, token: Token<'_>, found: &mut dyn FnMut(Found<'_>)) {
        match token {
            Token::ObjectStart | Token::ArrayStart => self.depth = self.depth.saturating_add(1),
            Token::ObjectEnd | Token::ArrayEnd => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        // Depth 1 is inside the document, 2 inside a member, 3 inside an element of a member.
        match (self.depth, self.place, token) {
            (1, _, Token::Key(key)) => {
                self.place = match key.whole() {
                    Some("labels") => Place::Labels,
                    Some("api" | "endpoints") => Place::Endpoints,
                    Some(name) => Key::from_name(name).map_or(Place::Elsewhere, Place::Detail),
                    None => Place::Elsewhere,
                };
            }
            (1, Place::Detail(key), Token::Str(value) | Token::Number(value)) => {
                let quoted = matches!(token, Token::Str(_));
                self.details.set(key, value, quoted);
            }
            (2, Place::Labels, Token::ObjectStart) => self.details.labels = Some(Labels::new()),
            (2, Place::Labels, Token::Key(key)) => {
                self.label = key.whole().and_then(|key| Short::try_from(key).ok()).unwrap_or_default();
            }
            (2, Place::Labels, Token::Str(value)) => self.label(value),
            (3, Place::Endpoints, Token::ObjectStart) => {
                self.uri.clear();
                self.methods = Method::Get.bits();
                self.member = Member::Other;
            }
            (3, Place::Endpoints, Token::Key(key)) => {
                self.member = match key.whole() {
                    Some("uri") => Member::Uri,
                    Some("method") => Member::Method,
                    _ => Member::Other,
                };
            }
            (3, Place::Endpoints, Token::Str(value)) => self.endpoint_text(value),
            (3, Place::Endpoints, Token::Number(value)) if self.member == Member::Method => {
                self.methods = value.text.parse().map_or(0, |mask: u8| mask & Method::Any.bits());
            }
            (2, Place::Endpoints, Token::ObjectEnd) => self.endpoint(found),
            _ => {}
        }
    }

    /// A label that is over our limits is left out: it is of no use cut.
    fn label(&mut self, value: Scalar<'_>) {
        if let (Some(labels), Some(value)) = (self.details.labels.as_mut(), value.whole()) {
            let _ = labels.set(&self.label, value);
        }
    }

    fn endpoint_text(&mut self, value: Scalar<'_>) {
        match self.member {
            Member::Uri => {
                self.uri = value.whole().and_then(|uri| Short::try_from(uri).ok()).unwrap_or_default();
            }
            Member::Method => self.methods = Method::from_name(value.text).map_or(0, Method::bits),
            Member::Other => {}
        }
    }

    fn endpoint(&mut self, found: &mut dyn FnMut(Found<'_>)) {
        let uri = self.uri.as_str();
        if uri.is_empty() {
            return;
        }
        if self.methods == Method::Any.bits() {
            return found(Found::Endpoint { method: Method::Any, uri });
        }
        for method in Method::ALL {
            if self.methods & method.bits() != 0 {
                found(Found::Endpoint { method, uri });
            }
        }
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
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> (Vec<(Method, String)>, Details, bool) {
        let mut reader = StatusReader::new();
        let mut endpoints = Vec::new();
        for piece in pieces {
            let _ = reader.feed(piece, &mut |Found::Endpoint { method, uri }| {
                endpoints.push((method, uri.to_string()))
            });
        }
        let complete = reader.is_complete();
        (endpoints, reader.finish(), complete)
    }

    #[test]
    fn it_is_small() {
        let size = size_of::<StatusReader>();
        assert!(size <= 900, "{size}");
        assert!(size_of::<crate::Multipart>() <= 160);
    }

    const STATUS: &str = r#"{"freeHeap":12345,"nested":{"freeHeap":1,"api":[{"uri":"/no","method":"GET"}]},
        "chipId":12345678,"sdkVersion":"2.2.2-dev(38a443e)","cpuFreqMHz":80,"flashChipSize":1048576,
        "labels":{"app":"spore","n":5,"over-long key of a label":"x","role":"relay"},
        "api":[{"uri":"/api/node/status","method":"GET"},{"method":2,"uri":"/api/node/update"},
        {"uri":"/both","method":3},{"uri":"/any","method":127},{"uri":"/none"},{"uri":"/brew","method":"BREW"},
        {"uri":"/wide","method":"post","params":[{"name":"uri","uri":"/wrong","method":"PUT"}]},{"uri":"/zero","method":0}]}"#;

    #[test]
    fn a_status_is_read() {
        let (endpoints, details, complete) = read(&[STATUS.as_bytes()]);
        assert!(complete);
        let endpoints: Vec<_> = endpoints.iter().map(|(method, uri)| (*method, uri.as_str())).collect();
        assert_eq!(
            endpoints,
            [
                (Method::Get, "/api/node/status"),
                (Method::Post, "/api/node/update"),
                (Method::Get, "/both"),
                (Method::Post, "/both"),
                (Method::Any, "/any"),
                (Method::Get, "/none"),
                (Method::Post, "/wide"),
            ]
        );
        assert_eq!(details.free_heap, Some(12345));
        assert_eq!(details.sdk_version.unwrap(), "2.2.2-dev(38a443e)");
        let labels = details.labels.unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("app", "spore"), ("role", "relay")]);
    }

    #[test]
    fn an_over_long_uri_is_left_out() {
        let body = format!(
            r#"{{"endpoints":[{{"uri":"/{}","method":1}},{{"uri":"/ok","method":8}}]}}"#,
            "x".repeat(64)
        );
        assert_eq!(read(&[body.as_bytes()]).0, [(Method::Put, "/ok".to_string())]);
    }

    proptest! {
        #[test]
        fn cutting_does_not_matter(cuts in proptest::collection::vec(0..STATUS.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, STATUS.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &STATUS.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[STATUS.as_bytes()]));
        }

        #[test]
        fn damage_does_not_panic(at in 0..STATUS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
            let mut body = STATUS.as_bytes().to_vec();
            body.splice(at..at, bytes);
            read(&[&body]);
        }
    }
}

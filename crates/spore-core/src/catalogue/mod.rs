//! Catalogues: what nodes offer. The own one is borrowed from the services; those of others are kept once per hash.
//!
//! *Hash.* Of each endpoint, FNV-1a (32 bits, draft-eastlake-fnv) over method, URI, service and, for each parameter in
//! the service's order, name, location, `1` or `0` for required, type, and its values; each text is ended by a zero
//! byte, and a parameter by two. The endpoints' hashes are mixed (the last step of MurmurHash3) and added up, so that
//! their order does not count. A sum of 0 becomes 1, for 0 means "none". Nodes that tell no hash (text members) get the
//! hash of their methods and URIs alone.

mod foreign;

pub use foreign::{FillError, Foreign, Offers};

use core::fmt;
use heapless::Vec;
use spore_sentence::sentence;
use spore_wire::Method;

/// Where a parameter stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the query of the URI.
    Query,
    /// In the body (form or JSON), or in the query as well.
    Body,
}

impl Location {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Body => "body",
        }
    }
}

/// A parameter of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it stands.
    pub location: Location,
    /// Whether a request without it is refused.
    pub required: bool,
    /// `string`, `number` or `boolean`.
    pub kind: &'a str,
    /// Allowed values; empty for any.
    pub values: &'a [&'a str],
}

impl<'a> Param<'a> {
    const fn new(name: &'a str, location: Location) -> Self {
        Self { name, location, required: false, kind: "string", values: &[] }
    }

    /// An optional text in the query.
    pub const fn query(name: &'a str) -> Self {
        Self::new(name, Location::Query)
    }

    /// An optional text in the body.
    pub const fn body(name: &'a str) -> Self {
        Self::new(name, Location::Body)
    }

    /// The same, but a request without it is refused.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same with another type.
    pub const fn of_kind(self, kind: &'a str) -> Self {
        Self { kind, ..self }
    }

    /// The same, with only these values.
    pub const fn one_of(self, values: &'a [&'a str]) -> Self {
        Self { values, ..self }
    }
}

/// One thing a node offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// HTTP method.
    pub method: Method,
    /// Path, from `/` on.
    pub uri: &'a str,
    /// Service that offers it.
    pub service: &'a str,
    /// What it takes.
    pub params: &'a [Param<'a>],
}

impl<'a> Endpoint<'a> {
    /// A GET endpoint without parameters.
    pub const fn get(service: &'a str, uri: &'a str) -> Self {
        Self { method: Method::Get, uri, service, params: &[] }
    }

    /// A POST endpoint without parameters.
    pub const fn post(service: &'a str, uri: &'a str) -> Self {
        Self { method: Method::Post, uri, service, params: &[] }
    }

    /// The same with parameters.
    pub const fn with(self, params: &'a [Param<'a>]) -> Self {
        Self { params, ..self }
    }
}

/// Why an endpoint was not registered. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterError {
    /// Every place is taken.
    Full,
    /// Somebody offers this method of this URI already.
    Duplicate,
    /// The URI does not begin with `/`, or exceeds 255 bytes.
    Uri,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                Self::Full => sentence!("no room for another endpoint"),
                Self::Duplicate => sentence!("this method and URI are offered already"),
                Self::Uri => sentence!("a URI begins with '/' and has at most 255 bytes"),
            },
            f,
        )
    }
}

/// The own catalogue: at most `N` endpoints.
#[derive(Debug)]
pub struct Own<'a, const N: usize> {
    endpoints: Vec<&'a Endpoint<'a>, N>,
    sum: u32,
}

impl<'a, const N: usize> Own<'a, N> {
    /// An empty catalogue.
    pub const fn new() -> Self {
        Self { endpoints: Vec::new(), sum: 0 }
    }

    /// Adds an endpoint; services may do so at any time.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(&mut self, endpoint: &'a Endpoint<'a>) -> Result<(), RegisterError> {
        if !endpoint.uri.starts_with('/') || endpoint.uri.len() > usize::from(u8::MAX) {
            return Err(RegisterError::Uri);
        }
        if self.endpoints.iter().any(|other| other.uri == endpoint.uri && other.method == endpoint.method) {
            return Err(RegisterError::Duplicate);
        }
        self.endpoints.push(endpoint).map_err(|_| RegisterError::Full)?;
        self.sum = self.sum.wrapping_add(hash(endpoint));
        Ok(())
    }

    /// All endpoints in the order of their registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a Endpoint<'a>> + Clone {
        self.endpoints.iter().copied()
    }

    /// The catalogue's hash; 0 while it is empty.
    pub fn hash(&self) -> u32 {
        if self.endpoints.is_empty() { 0 } else { self.sum.max(1) }
    }

    /// Whether this node offers `uri` with any method.
    pub fn offers(&self, uri: &str) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.uri == uri)
    }
}

impl<const N: usize> Default for Own<'_, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// FNV-1a, 32 bits.
struct Fnv(u32);

impl Fnv {
    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn mixed(self) -> u32 {
        let mut h = self.0;
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^ (h >> 16)
    }
}

fn hash(endpoint: &Endpoint<'_>) -> u32 {
    let mut fnv = Fnv(0x811c_9dc5);
    fnv.text(endpoint.method.as_str());
    fnv.text(endpoint.uri);
    fnv.text(endpoint.service);
    for param in endpoint.params {
        fnv.text(param.name);
        fnv.text(param.location.as_str());
        fnv.text(if param.required { "1" } else { "0" });
        fnv.text(param.kind);
        param.values.iter().for_each(|value| fnv.text(value));
        fnv.text("");
    }
    fnv.mixed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Param<'_> = Param {
        name: "state",
        location: Location::Body,
        required: true,
        kind: "string",
        values: &["on", "off"],
    };
    const RELAY: Endpoint<'_> =
        Endpoint { method: Method::Post, uri: "/api/relay", service: "relay", params: &[STATE] };
    const STATUS: Endpoint<'_> =
        Endpoint { method: Method::Get, uri: "/api/relay", service: "relay", params: &[] };

    #[test]
    fn the_hash_ignores_order_but_nothing_else() {
        let of = |endpoints: &[&'static Endpoint<'static>]| {
            let mut own = Own::<4>::new();
            endpoints.iter().for_each(|endpoint| own.register(endpoint).unwrap());
            own.hash()
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[&RELAY, &STATUS]), of(&[&STATUS, &RELAY]));
        let plain = of(&[&RELAY]);
        let others = [
            Endpoint { method: Method::Put, ..RELAY },
            Endpoint { uri: "/api/relay2", ..RELAY },
            Endpoint { service: "r", ..RELAY },
            Endpoint { params: &[], ..RELAY },
            Endpoint { params: &[Param { required: false, ..STATE }], ..RELAY },
            Endpoint { params: &[Param { values: &["on", "offx"], ..STATE }], ..RELAY },
        ];
        for other in others {
            assert_ne!(of(&[Box::leak(Box::new(other))]), plain);
        }
    }

    #[test]
    fn registration_is_checked() {
        let third = Endpoint { method: Method::Put, ..RELAY };
        let mut own = Own::<2>::new();
        own.register(&RELAY).unwrap();
        assert_eq!(own.register(&RELAY), Err(RegisterError::Duplicate));
        assert_eq!(own.register(&Endpoint { uri: "api", ..RELAY }), Err(RegisterError::Uri));
        own.register(&STATUS).unwrap();
        assert_eq!(own.register(&third), Err(RegisterError::Full));
        assert_eq!((own.iter().len(), own.offers("/api/relay"), own.offers("/x")), (2, true, false));
    }
}

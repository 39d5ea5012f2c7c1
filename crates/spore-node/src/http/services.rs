//! `GET /api/cluster/services`: who offers what, from the catalogues this node knows.

use super::documents::{Json, More, address, end};
use super::params::Params;
use crate::context::Context;
use core::net::Ipv4Addr;
use spore_core::catalogue::Foreign;
use spore_core::limits::CATALOGUES;
use spore_sentence::{Sentence, sentence};
use spore_wire::Method;
use spore_wire::json::key;

/// What `GET /api/cluster/services` is asked for; empty is everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Exact path.
    pub uri: heapless::String<64>,
    /// `key=value`
    pub label: heapless::String<64>,
}

impl Filter {
    /// From the parameters of a request.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn from_params(params: &Params) -> Result<Self, Sentence> {
        let text = |name| heapless::String::try_from(params.text(name).unwrap_or_default());
        let uri = text("uri").map_err(|_| sentence!("uri is longer than any endpoint's, 64 bytes"))?;
        let label: heapless::String<64> =
            text("label").map_err(|_| sentence!("label is longer than 64 bytes"))?;
        if !label.is_empty() && !label.contains('=') {
            return Err(sentence!("label must be key=value"));
        }
        Ok(Self { uri, label })
    }

    fn takes(&self, uri: &str) -> bool {
        self.uri.is_empty() || self.uri == uri
    }

    fn wants<'l>(&self, labels: &mut dyn Iterator<Item = (&'l str, &'l str)>) -> bool {
        let wanted = self.label.split_once('=');
        self.label.is_empty() || Iterator::any(&mut { labels }, |label| Some(label) == wanted)
    }
}

/// A path as catalogues hold it.
type Uri = heapless::String<{ spore_wire::status::URI_MAX }>;

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The beginning.
    Begin,
    /// The own endpoint of that number, or one after it that is wanted.
    Own(u16),
    /// What only others offer, each endpoint once, by the first catalogue that has it: number of the catalogue and of the
    /// endpoint in it.
    Foreign(u8, u16),
}

/// An endpoint that is being told, with those who offer it.
#[derive(Debug, Clone)]
struct Offer {
    method: Method,
    uri: Uri,
    /// The catalogues that hold it.
    hashes: heapless::Vec<u32, { CATALOGUES + 1 }, u8>,
    /// The member told of last.
    after: Option<Ipv4Addr>,
}

/// How far the list has been written.
#[derive(Debug, Clone)]
pub struct Services {
    filter: Filter,
    part: Part,
    /// An endpoint is being told.
    telling: bool,
    offer: Offer,
}

impl Services {
    /// At the beginning.
    pub const fn new(filter: Filter) -> Self {
        let offer = Offer { method: Method::Get, uri: Uri::new(), hashes: heapless::Vec::new(), after: None };
        Self { filter, part: Part::Begin, telling: false, offer }
    }

    /// Writes the next piece.
    #[inline(never)]
    pub fn piece(&mut self, ctx: &Context<'_>, json: &mut Json<'_, '_>) -> More {
        let Self { filter, part, telling, offer } = self;
        if *telling {
            *telling = offer.next_node(ctx, filter, json)?;
            return Ok(true);
        }
        match *part {
            Part::Begin => {
                json.begin_object()?;
                json.key(key!("services"))?;
                json.begin_array()?;
                *part = Part::Own(0);
            }
            Part::Own(index) => match ctx.endpoints().nth(index.into()) {
                Some(endpoint) => {
                    if filter.takes(endpoint.uri) && offer.set(endpoint.method, endpoint.uri) {
                        *telling = offer.begin(ctx, filter, json)?;
                    }
                    *part = Part::Own(index.saturating_add(1));
                }
                None => *part = Part::Foreign(0, 0),
            },
            Part::Foreign(catalogue, index) => {
                let hash = ctx.with(|state| state.members.catalogue_hashes().nth(catalogue.into()));
                let Some(hash) = hash else { return end(json) };
                let found = ctx.with(|state| {
                    let (method, uri) = state.catalogues.endpoints(hash)?.nth(index.into())?;
                    offer.set(method, uri).then_some(())
                });
                *part = if found.is_some() {
                    if filter.takes(&offer.uri) && !told(ctx, catalogue, offer.method, &offer.uri) {
                        *telling = offer.begin(ctx, filter, json)?;
                    }
                    Part::Foreign(catalogue, index.saturating_add(1))
                } else {
                    Part::Foreign(catalogue.saturating_add(1), 0)
                };
            }
        }
        Ok(true)
    }
}

/// Whether an endpoint of that catalogue was told with this node's own, or with an earlier catalogue's.
fn told(ctx: &Context<'_>, catalogue: u8, method: Method, uri: &str) -> bool {
    ctx.endpoints().any(|own| own.method == method && own.uri == uri)
        || ctx.with(|state| {
            let earlier = state.members.catalogue_hashes().take(catalogue.into());
            holders(&state.catalogues, earlier, method, uri).next().is_some()
        })
}

impl Offer {
    /// Takes an endpoint; false when its path is longer than any.
    fn set(&mut self, method: Method, uri: &str) -> bool {
        self.method = method;
        self.uri.clear();
        self.uri.push_str(uri).is_ok()
    }

    /// Writes the beginning of the endpoint; false when nobody whom the filter wants offers it.
    fn begin(&mut self, ctx: &Context<'_>, filter: &Filter, json: &mut Json<'_, '_>) -> More {
        let Self { method, uri, hashes, after } = &mut *self;
        let own_offers = ctx.endpoints().any(|endpoint| endpoint.method == *method && endpoint.uri == *uri);
        *after = None;
        hashes.clear();
        let own = ctx.with(|state| {
            let known = state.members.catalogue_hashes();
            hashes.extend(holders(&state.catalogues, known, *method, uri).take(CATALOGUES));
            if own_offers {
                let _ = hashes.push(state.catalogue);
            }
            own_offers && filter.wants(&mut state.labels.iter())
        });
        if !own && self.next(ctx, filter).is_none() {
            return Ok(false);
        }
        json.begin_object()?;
        json.field(key!("uri"), &self.uri)?;
        json.field(key!("method"), self.method.as_str())?;
        json.key(key!("nodes"))?;
        json.begin_array()?;
        if own {
            json.begin_object()?;
            ctx.with(|state| json.field(key!("hostname"), &state.hostname))?;
            json.key(key!("ip"))?;
            address(json, ctx.ip())?;
            json.field(key!("status"), "ACTIVE")?;
            json.end_object()?;
        }
        Ok(true)
    }

    /// The next member to be told of.
    fn next(&self, ctx: &Context<'_>, filter: &Filter) -> Option<Ipv4Addr> {
        ctx.with(|state| {
            let mut at = self.after;
            while let Some(member) = state.members.after(at) {
                at = Some(member.ip());
                let offers = member.catalogue().is_some_and(|hash| self.hashes.contains(&hash));
                if offers && filter.wants(&mut member.labels()) {
                    return at;
                }
            }
            None
        })
    }

    /// Writes the next member; false when there is none, and the endpoint has ended.
    fn next_node(&mut self, ctx: &Context<'_>, filter: &Filter, json: &mut Json<'_, '_>) -> More {
        let Some(ip) = self.next(ctx, filter) else {
            json.end_array()?;
            json.end_object()?;
            return Ok(false);
        };
        ctx.with(|state| {
            let Some(member) = state.members.get(ip) else { return Ok(()) };
            json.begin_object()?;
            json.field(key!("hostname"), member.hostname())?;
            json.key(key!("ip"))?;
            json.display(&ip)?;
            json.field(key!("status"), member.status().as_str())?;
            json.end_object()
        })?;
        self.after = Some(ip);
        Ok(true)
    }
}

/// Which of these catalogues hold an endpoint.
fn holders(
    catalogues: &Foreign,
    hashes: impl Iterator<Item = u32>,
    method: Method,
    uri: &str,
) -> impl Iterator<Item = u32> {
    hashes.filter(move |hash| {
        catalogues.endpoints(*hash).is_some_and(|mut endpoints| endpoints.any(|known| known == (method, uri)))
    })
}

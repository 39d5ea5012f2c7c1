//! `GET /api/cluster/services`: who offers what, from the catalogues this node knows.

use super::answer::{ENDPOINT, address, foreign_endpoint};
use super::params::Params;
use super::stream::JsonStream;
use crate::context::Context;
use core::net::Ipv4Addr;
use picoserve::io::Write;
use spore_core::catalogue::Foreign;
use spore_core::limits::CATALOGUES;
use spore_wire::Method;

/// What `GET /api/cluster/services` is asked for; empty is everything.
#[derive(Debug, Default)]
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
    pub(super) fn from_params(params: &Params) -> Result<Self, &'static str> {
        let text = |name| heapless::String::try_from(params.text(name).unwrap_or_default());
        let uri = text("uri").map_err(|_| "uri is longer than any endpoint's, 64 bytes")?;
        let label: heapless::String<64> = text("label").map_err(|_| "label is longer than 64 bytes")?;
        if !label.is_empty() && !label.contains('=') {
            return Err("label must be key=value");
        }
        Ok(Self { uri, label })
    }

    fn takes(&self, uri: &str) -> bool {
        self.uri.is_empty() || self.uri == uri
    }

    fn wants<'l>(&self, mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> bool {
        self.label.is_empty()
            || self.label.split_once('=').is_some_and(|wanted| labels.any(|label| label == wanted))
    }
}

pub(super) async fn services<W: Write>(
    ctx: &Context<'_>,
    json: &mut JsonStream<W>,
    filter: &Filter,
) -> Result<(), W::Error> {
    json.piece(20, |json| {
        json.begin_object()?;
        json.key("services")?;
        json.begin_array()
    })
    .await?;
    for endpoint in ctx.endpoints().filter(|endpoint| filter.takes(endpoint.uri)) {
        offered(ctx, json, filter, endpoint.method, endpoint.uri).await?;
    }
    // What only others offer: each endpoint once, by the first catalogue that has it.
    let mut catalogue = 0;
    while let Some(hash) = ctx.with(|state| state.members.catalogue_hashes().nth(catalogue)) {
        let mut index = 0;
        while let Some((method, uri)) = foreign_endpoint(ctx, hash, index) {
            index += 1;
            let told = ctx.endpoints().any(|own| own.method == method && own.uri == uri)
                || ctx.with(|state| {
                    let earlier = state.members.catalogue_hashes().take(catalogue);
                    holders(&state.catalogues, earlier, method, &uri).next().is_some()
                });
            if !told && filter.takes(&uri) {
                offered(ctx, json, filter, method, &uri).await?;
            }
        }
        catalogue += 1;
    }
    json.piece(2, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
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

/// One endpoint and who offers it; nothing when nobody the filter wants does.
async fn offered<W: Write>(
    ctx: &Context<'_>,
    json: &mut JsonStream<W>,
    filter: &Filter,
    method: Method,
    uri: &str,
) -> Result<(), W::Error> {
    let own_offers = ctx.endpoints().any(|endpoint| endpoint.method == method && endpoint.uri == uri);
    let (own, hashes) = ctx.with(|state| {
        let known = state.members.catalogue_hashes();
        let mut hashes: heapless::Vec<u32, { CATALOGUES + 1 }> =
            holders(&state.catalogues, known, method, uri).take(CATALOGUES).collect();
        if own_offers {
            let _ = hashes.push(state.catalogue);
        }
        (own_offers && filter.wants(state.labels.iter()), hashes)
    });
    let next = |after: Option<Ipv4Addr>| {
        ctx.with(|state| {
            let mut at = after;
            while let Some(member) = state.members.after(at) {
                at = Some(member.ip());
                let offers = member.catalogue().is_some_and(|hash| hashes.contains(&hash));
                if offers && filter.wants(member.labels()) {
                    return Some(member.ip());
                }
            }
            None
        })
    };
    let mut member = next(None);
    if !own && member.is_none() {
        return Ok(());
    }
    json.piece(ENDPOINT, |json| {
        json.begin_object()?;
        json.field("uri", uri)?;
        json.field("method", method.as_str())?;
        json.key("nodes")?;
        json.begin_array()
    })
    .await?;
    if own {
        json.piece(128, |json| {
            json.begin_object()?;
            ctx.with(|state| json.field("hostname", &state.hostname))?;
            json.key("ip")?;
            address(json, ctx.ip())?;
            json.field("status", "ACTIVE")?;
            json.end_object()
        })
        .await?;
    }
    while let Some(ip) = member {
        json.piece(300, |json| {
            ctx.with(|state| {
                let Some(member) = state.members.get(ip) else { return Ok(()) };
                json.begin_object()?;
                json.field("hostname", member.hostname())?;
                json.key("ip")?;
                json.display(&ip)?;
                json.field("status", member.status().as_str())?;
                json.end_object()
            })
        })
        .await?;
        member = next(Some(ip));
    }
    json.piece(3, |json| {
        json.end_array()?;
        json.end_object()
    })
    .await
}

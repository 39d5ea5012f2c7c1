//! What a node learns of others over HTTP: details and endpoints of text members, catalogues of Rust members once per hash.

use crate::context::Context;
use crate::fetch::{self, Buffers, FetchError};
use crate::udp;
use core::net::Ipv4Addr;
use embassy_net::Stack;
use spore_core::members::{Evidence, Kind};
use spore_core::time::Duration;
use spore_wire::{Details, Found, StatusReader};

/// Fetches what is wanted, one thing at a time, for ever.
pub(crate) async fn run(ctx: &Context<'_>, stack: Stack<'_>, buffers: &mut Buffers) {
    loop {
        ctx.fetch.wait().await;
        while ctx.ip().is_some() {
            let now = ctx.now();
            let text = ctx.with(|state| {
                let interval = Duration::from_millis(state.config.member_info_interval_ms.into());
                state.members.next_details_wanted(now, interval)
            });
            if let Some(ip) = text {
                status_of(ctx, stack, buffers, ip).await;
                continue;
            }
            let wanted = ctx.with(|state| state.catalogues.next_wanted(now, &state.members, state.catalogue));
            let Some((hash, ip)) = wanted else { break };
            catalogue_of(ctx, stack, buffers, ip, hash).await;
        }
    }
}

/// Reads `GET path` of a node; its endpoints go into the catalogue being filled in.
async fn read(
    ctx: &Context<'_>,
    stack: Stack<'_>,
    buffers: &mut Buffers,
    ip: Ipv4Addr,
    path: &str,
) -> Result<Details, FetchError> {
    let mut reader = StatusReader::new();
    let mut valid = true;
    fetch::get(stack, buffers, ip, path, &mut |bytes| {
        let mut found = |found: Found<'_>| {
            let Found::Endpoint { method, uri } = found;
            ctx.with(|state| state.catalogues.push(method, uri));
        };
        valid &= reader.feed(bytes, &mut found).is_ok();
    })
    .await?;
    if valid && reader.is_complete() { Ok(reader.finish()) } else { Err(FetchError::Malformed) }
}

/// Details and endpoints of a member that speaks only texts. An answer is a sign of life, too.
async fn status_of(ctx: &Context<'_>, stack: Stack<'_>, buffers: &mut Buffers, ip: Ipv4Addr) {
    // Without room for its catalogue the details are still worth the fetch.
    let filling = ctx.with(|state| state.catalogues.begin(None, &state.members).is_ok());
    let result = read(ctx, stack, buffers, ip, "/api/node/status").await;
    let now = ctx.now();
    match result {
        Ok(mut details) => {
            let rust = details.spore.is_some();
            ctx.with(|state| {
                if filling {
                    details.catalogue = state.catalogues.finish();
                }
            });
            let hostname = details.hostname.clone();
            let evidence = Evidence {
                hostname: hostname.as_deref(),
                kind: (!rust).then_some(Kind::Text),
                discovers: false,
            };
            udp::heard(ctx, ip, evidence, Some(&details));
        }
        Err(_) if filling => ctx.with(|state| state.catalogues.abort(now)),
        Err(_) => {}
    }
}

/// The catalogue of a hash, from a member that has it.
async fn catalogue_of(ctx: &Context<'_>, stack: Stack<'_>, buffers: &mut Buffers, ip: Ipv4Addr, hash: u32) {
    if ctx.with(|state| state.catalogues.begin(Some(hash), &state.members).is_err()) {
        return;
    }
    let result = read(ctx, stack, buffers, ip, "/api/node/endpoints").await;
    let now = ctx.now();
    ctx.with(|state| match result {
        Ok(_) => {
            state.catalogues.finish();
        }
        Err(_) => state.catalogues.abort(now),
    });
}

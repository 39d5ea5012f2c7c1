//! What a node learns of others over HTTP: details and endpoints of text members, catalogues of Rust members once per hash.

use crate::context::Context;
use crate::fetch::{self, Buffers};
use crate::state::State;
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
            let wanted = text.map(|ip| (ip, None)).or_else(|| {
                let next = |state: &mut State<'_>| {
                    state.catalogues.next_wanted(now, &state.members, state.catalogue)
                };
                ctx.with(next).map(|(hash, ip)| (ip, Some(hash)))
            });
            let Some((ip, hash)) = wanted else { break };
            fetch(ctx, stack, buffers, ip, hash).await;
        }
    }
}

/// Reads `GET path` of a node into `reader`; its endpoints go into the catalogue being filled in. False when it is not to be
/// used.
async fn read(
    ctx: &Context<'_>,
    stack: Stack<'_>,
    buffers: &mut Buffers,
    ip: Ipv4Addr,
    path: &str,
    reader: &mut StatusReader,
) -> bool {
    let mut valid = true;
    let read = fetch::get(stack, buffers, ip, path, &mut |bytes| {
        let mut found = |found: Found<'_>| {
            let Found::Endpoint { method, uri } = found;
            ctx.with(|state| state.catalogues.push(method, uri));
        };
        valid &= reader.feed(bytes, &mut found).is_ok();
    })
    .await;
    read.is_ok() && valid && reader.is_complete()
}

/// Details and endpoints of a member that speaks only texts, or the catalogue of `hash`, from a member that has it.
async fn fetch(ctx: &Context<'_>, stack: Stack<'_>, buffers: &mut Buffers, ip: Ipv4Addr, hash: Option<u32>) {
    let filling = ctx.with(|state| state.catalogues.begin(hash, &state.members).is_ok());
    // Without room for its catalogue the details of a text member are still worth the fetch.
    if !filling && hash.is_some() {
        return;
    }
    let path = if hash.is_some() { "/api/node/endpoints" } else { "/api/node/status" };
    let mut reader = StatusReader::new();
    let good = read(ctx, stack, buffers, ip, path, &mut reader).await;
    let now = ctx.now();
    let told = ctx.with(|state| match (filling, good) {
        (true, true) => state.catalogues.finish(),
        (true, false) => {
            state.catalogues.abort(now);
            None
        }
        (false, _) => None,
    });
    if good && hash.is_none() {
        let details = reader.details();
        if filling {
            details.catalogue = told;
        }
        on_status(ctx, ip, details);
    }
}

/// An answer is a sign of life, too.
#[inline(never)]
fn on_status(ctx: &Context<'_>, ip: Ipv4Addr, details: &Details) {
    let evidence = Evidence {
        hostname: details.hostname.as_deref(),
        kind: details.spore.is_none().then_some(Kind::Text),
        discovers: false,
    };
    udp::heard(ctx, ip, evidence, Some(details));
}

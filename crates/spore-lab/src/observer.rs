//! Who a node sees ACTIVE, learned the way any service learns it: from the node's events.

use spore_core::members::{NodeRef, Status};
use spore_node::service::{Endpoint, Reply, Request, Service};
use spore_node::{Context, Event};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// The addresses a node holds for ACTIVE.
pub type Seen = Rc<RefCell<BTreeSet<Ipv4Addr>>>;

/// A service that offers nothing and watches the members.
#[derive(Debug, Default)]
pub struct Observer {
    seen: Seen,
}

impl Observer {
    /// An observer that notes into `seen`, emptied at first.
    pub fn new(seen: Seen) -> Self {
        seen.borrow_mut().clear();
        Self { seen }
    }

    fn note(&self, node: &NodeRef<'_>) {
        if node.status == Status::Active {
            self.seen.borrow_mut().insert(node.ip);
        } else {
            self.seen.borrow_mut().remove(&node.ip);
        }
    }
}

impl Service for Observer {
    fn name(&self) -> &'static str {
        "observer"
    }

    fn endpoints(&self) -> &'static [Endpoint<'static>] {
        &[]
    }

    fn handle(&self, _ctx: &Context<'_>, _request: &Request<'_>, reply: &mut Reply<'_>) {
        reply.error(404, "the observer offers nothing");
    }

    fn on_event(&self, _ctx: &Context<'_>, event: &Event<'_>) {
        match event {
            Event::NodeDiscovered(node) | Event::NodeStatusChanged(node) | Event::NodeUpdated(node) => {
                self.note(node);
            }
            Event::NodeLeft(node) => {
                self.seen.borrow_mut().remove(&node.ip);
            }
            _ => {}
        }
    }
}

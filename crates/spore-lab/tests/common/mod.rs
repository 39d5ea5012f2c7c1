//! A cluster in virtual time, asked over HTTP from the LAN's gateway.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod tcp;
pub mod ws;

use serde_json::Value;
use spore_lab::control::{Command, Reply};
use spore_lab::{Cluster, Options};
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::http::{HttpError, Response};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::Tcp;
use ws::WebSocket;

/// A simulated cluster.
pub struct Sim {
    pub cluster: RefCell<Cluster>,
    pub world: World,
}

impl Sim {
    /// Starts `nodes` nodes from a seed.
    pub fn new(nodes: u16, seed: u64) -> Self {
        Self::with(Options::in_memory(nodes, seed))
    }

    pub fn with(options: Options) -> Self {
        println!("seed {}", options.seed);
        let world = World::new(Mode::Virtual);
        let cluster = RefCell::new(Cluster::new(&world, options).unwrap());
        Self { cluster, world }
    }

    /// Lets time pass.
    pub fn run(&self, seconds: u64) {
        self.world.run_for(embassy_time::Duration::from_secs(seconds));
    }

    /// Runs until `done`; gives the seconds it took.
    pub fn until(&self, limit: u64, what: &str, mut done: impl FnMut(&Cluster) -> bool) -> f64 {
        for step in 0..limit * 10 {
            if done(&self.cluster.borrow()) {
                return step as f64 / 10.0;
            }
            self.world.run_for(embassy_time::Duration::from_millis(100));
        }
        let status = self.cluster.borrow().status();
        panic!("not within {limit} s: {what}\n{status:#?}\n{}", self.logs());
    }

    /// Runs until all see all.
    pub fn converge(&self) -> f64 {
        self.until(60, "every node sees every other ACTIVE", Cluster::converged)
    }

    /// The last words of the first nodes.
    pub fn logs(&self) -> String {
        let cluster = self.cluster.borrow();
        let logs = cluster.nodes().take(4).map(|node| node.view.log.last(30).join("\n"));
        logs.collect::<Vec<_>>().join("\n\n")
    }

    /// Gives the cluster an order that must be carried out.
    pub fn order(&self, command: Command) {
        let reply = self.cluster.borrow_mut().call(&command);
        assert!(!matches!(reply, Reply::Error { .. }), "{command:?}: {reply:?}");
    }

    /// Hostname of the n-th node.
    pub fn hostname(&self, node: usize) -> String {
        self.cluster.borrow().status().nodes[node].hostname.clone()
    }

    /// Where the n-th node listens.
    pub fn address(&self, node: usize) -> SocketAddrV4 {
        let cluster = self.cluster.borrow();
        let ip = cluster.address(cluster.nodes().nth(node).unwrap()).expect("the node has an address");
        SocketAddrV4::new(ip, 80)
    }

    /// Address of the n-th node.
    pub fn ip(&self, node: usize) -> Ipv4Addr {
        *self.address(node).ip()
    }

    /// The LAN's gateway, to speak from.
    pub fn stack(&self) -> embassy_net::Stack<'static> {
        self.cluster.borrow().gateway().host().stack()
    }

    /// Runs until `future` is done, which must not take longer than two minutes.
    pub fn wait<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let limit = embassy_time::Duration::from_secs(120);
        self.world
            .run_until(embassy_time::with_timeout(limit, future))
            .unwrap_or_else(|_| panic!("not within two minutes: {what}\n{}", self.logs()))
    }

    /// Connects to the n-th node.
    pub fn connect(&self, node: usize) -> Tcp {
        self.wait("a connection", Tcp::connect(self.stack(), self.address(node))).expect("the node listens")
    }

    /// Opens the WebSocket of the n-th node.
    pub fn websocket(&self, node: usize) -> WebSocket {
        self.wait("a WebSocket", WebSocket::open(self.stack(), self.address(node))).expect("the node listens")
    }

    /// A request to the n-th node, which may be away.
    pub fn try_request(
        &self,
        node: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HttpError> {
        let (stack, to) = (self.stack(), self.address(node));
        self.world.run_until(spore_lan::http::request(stack, to, method, path, headers, body))
    }

    /// A request to the n-th node.
    pub fn request(
        &self,
        node: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_request(node, method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path} of node {node}: {error:?}\n{}", self.logs()))
    }

    /// Runs until the n-th node answers requests; gives its status.
    pub fn answering(&self, node: usize) -> Value {
        for _ in 0..60 {
            if let Ok(response) = self.try_request(node, "GET", "/api/node/status", &[], &[]) {
                return serde_json::from_slice(&response.body).unwrap();
            }
            self.run(1);
        }
        panic!("node {node} does not answer\n{}", self.logs());
    }

    /// Runs until `look` gives something; gives the virtual milliseconds it took, too.
    pub fn eventually<T>(
        &self,
        limit: u64,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> (T, u64) {
        let start = embassy_time::Instant::now();
        loop {
            if let Some(found) = look(self) {
                return (found, start.elapsed().as_millis());
            }
            assert!(start.elapsed().as_secs() < limit, "not within {limit} s: {what}\n{}", self.logs());
            self.world.run_for(embassy_time::Duration::from_millis(100));
        }
    }

    /// A GET that succeeds with JSON. A busy node is asked again.
    pub fn get(&self, node: usize, path: &str) -> Value {
        let mut response = self.request(node, "GET", path, &[], &[]);
        for _ in 0..20 {
            if response.status != 503 {
                break;
            }
            self.world.run_for(embassy_time::Duration::from_millis(100));
            response = self.request(node, "GET", path, &[], &[]);
        }
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", response.text()))
    }

    /// A POST of a form; status and JSON.
    pub fn post(&self, node: usize, path: &str, form: &str) -> (u16, Value) {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let response = self.request(node, "POST", path, &headers, form.as_bytes());
        let json = serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", response.text()));
        (response.status, json)
    }

    /// Uploads an image as a raw body.
    pub fn upload(&self, node: usize, image: &[u8]) -> (u16, Value) {
        let response = self.request(node, "POST", "/api/node/update", &[], image);
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }
}

/// Whether an answer is an error as docs/api.md has it.
pub fn is_error(body: &Value) -> bool {
    body.as_object().is_some_and(|body| body.len() == 1)
        && body["error"].as_str().is_some_and(|text| text.len() >= 8)
}

/// An image of the virtual board.
pub fn image(version: &str, act: spore_image::behaviour::Act, size: usize) -> Vec<u8> {
    let behaviour = spore_image::Behaviour { act, after_ms: 0 };
    spore_image::build::virtual_image("spore", version.parse().unwrap(), behaviour, size).unwrap()
}

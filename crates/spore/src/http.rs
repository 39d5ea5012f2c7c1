//! Requests to nodes, and their errors in our words.

use crate::context::PROGRAM;
use crate::context::target::Target;
use crate::exit::{Failure, Kind, Outcome};
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body, Error, SendBody, Timeout};

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a node that is busy (503) is asked, and the pause in between. Nothing has changed on it then.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(400);

/// An HTTP client for nodes.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    verbose: u8,
}

impl Client {
    /// A client that waits so long for a whole answer.
    pub fn new(patience: Duration, verbose: u8) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            .timeout_connect(Some(CONNECT.min(patience)))
            .http_status_as_error(false)
            .max_redirects(0)
            // Nodes are on the LAN, and have few connections: no proxy, none kept open.
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(concat!("spore/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), verbose }
    }

    /// `GET path?query`; the body of the answer.
    pub fn get(&self, target: &Target, path: &str, query: &[(&str, &str)]) -> Outcome<String> {
        self.ask(target, "GET", path, || {
            let request = self.agent.get(format!("{}{path}", target.base)).header("Connection", "close");
            request.query_pairs(query.iter().copied()).call()
        })
    }

    /// `POST path` with parameters as a form; the body of the answer.
    pub fn post(&self, target: &Target, path: &str, form: &[(&str, &str)]) -> Outcome<String> {
        self.ask(target, "POST", path, || {
            let request = self.agent.post(format!("{}{path}", target.base)).header("Connection", "close");
            request.send_form(form.iter().copied())
        })
    }

    /// `POST path` with bytes as they are; `sent` is told how many bytes are gone, again from 0 when a busy node is
    /// asked again.
    pub fn upload(&self, target: &Target, path: &str, bytes: &[u8], sent: &dyn Fn(usize)) -> Outcome<String> {
        self.ask(target, "POST", path, || {
            let mut reader = Counted { rest: bytes, total: bytes.len(), sent };
            self.agent
                .post(format!("{}{path}", target.base))
                .header("Connection", "close")
                .header("Content-Type", "application/octet-stream")
                .header("Content-Length", bytes.len().to_string())
                .send(SendBody::from_reader(&mut reader))
        })
    }

    fn ask(
        &self,
        target: &Target,
        method: &str,
        path: &str,
        send: impl Fn() -> Result<Response<Body>, Error>,
    ) -> Outcome<String> {
        if self.verbose > 0 {
            eprintln!("{method} {}{path}", target.base);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let mut response = send().map_err(|error| failure(target, &error))?;
            let status = response.status().as_u16();
            let body = response.body_mut().read_to_string().map_err(|error| failure(target, &error))?;
            if self.verbose > 1 {
                eprintln!("{status} {body}");
            }
            match status {
                200..=299 => return Ok(body),
                503 if tries < TRIES => std::thread::sleep(PAUSE),
                _ => return Err(refusal(target, status, &body)),
            }
        }
    }
}

/// A reader that tells how far it is.
struct Counted<'a> {
    rest: &'a [u8],
    total: usize,
    sent: &'a dyn Fn(usize),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buffer)?;
        (self.sent)(self.total - self.rest.len());
        Ok(count)
    }
}

fn refusal(target: &Target, status: u16, body: &str) -> Failure {
    let told = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|value| Some(value.get("error")?.as_str()?.to_owned()));
    let message = match told {
        Some(told) => format!("{}: {told}", target.label),
        None => format!("{} answered with HTTP status {status}", target.label),
    };
    let failure = Failure::new(Kind::Refused, message);
    match status {
        404 if !body.contains("error") => failure.hint("is that a SPORE node?"),
        404 => failure.hint(format!("see what it serves: {PROGRAM} cluster services")),
        409 => failure.hint(format!("see what it does: {PROGRAM} node status {}", target.argument)),
        503 => failure.hint("try again in a moment"),
        _ => failure,
    }
}

fn failure(target: &Target, error: &Error) -> Failure {
    let origin = target.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
    let who = format!("{}{origin}", target.label);
    let seek = format!("who is there? {PROGRAM} cluster members; in the lab: {PROGRAM} lab status");
    let unreachable = |why: &str| {
        Failure::new(Kind::Unreachable, format!("{who} cannot be reached: {why}")).hint(seek.clone())
    };
    match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => unreachable("no answer"),
        Error::Timeout(_) => Failure::new(Kind::TimedOut, format!("{who} did not answer in time"))
            .hint("try again, or give it longer with --timeout"),
        Error::HostNotFound => unreachable("no host of that name"),
        Error::ConnectionFailed => unreachable("no connection"),
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => unreachable("no answer"),
        Error::Io(error) => unreachable(&words(error)),
        Error::Protocol(error) => Failure::other(format!("{who} does not speak HTTP properly: {error}")),
        Error::Http(_) | Error::BadUri(_) => Failure::other(format!("not an address: {}", target.argument)),
        error => Failure::other(format!("{who}: {error}")),
    }
}

/// An I/O error without its number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "it broke off the connection".into()
        }
        io::ErrorKind::HostUnreachable => "no route to it".into(),
        io::ErrorKind::NetworkUnreachable => "no network".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeNode;

    fn client() -> Client {
        Client::new(Duration::from_secs(5), 0)
    }

    #[test]
    fn errors_of_a_node_are_shown_as_they_are() {
        let node = FakeNode::start(|_| (422, r#"{"error":"interval must be 10 to 3600000"}"#.into()));
        let failure = client().get(&node.target(), "/x", &[]).unwrap_err();
        assert_eq!(failure.kind, Kind::Refused);
        assert_eq!(failure.message, "test: interval must be 10 to 3600000");
    }

    #[test]
    fn a_busy_node_is_asked_again() {
        let count = std::sync::atomic::AtomicU32::new(0);
        let node = FakeNode::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (503, r#"{"error":"busy"}"#.into()),
            _ => (200, "fine".into()),
        });
        assert_eq!(client().get(&node.target(), "/x", &[]).unwrap(), "fine");
    }

    #[test]
    fn parameters_are_encoded() {
        let node = FakeNode::start(|request| (200, format!("{} {}", request.path, request.text())));
        let target = node.target();
        assert_eq!(client().get(&target, "/x", &[("uri", "/a b&c")]).unwrap(), "/x?uri=%2Fa%20b%26c ");
        let body = client().post(&target, "/x", &[("label.app", "a=b&c"), ("n", "")]).unwrap();
        assert_eq!(body, "/x label.app=a%3Db%26c&n=");
    }

    #[test]
    fn an_upload_has_a_length_and_tells_its_progress() {
        let node = FakeNode::start(|request| {
            (
                200,
                format!(
                    "{} {:?} {}",
                    request.body.len(),
                    request.header("content-length"),
                    request.body[70_000]
                ),
            )
        });
        let furthest = std::cell::Cell::new(0);
        let bytes = vec![7; 100_000];
        let body = client().upload(&node.target(), "/u", &bytes, &|sent| furthest.set(sent)).unwrap();
        assert_eq!(body, "100000 Some(\"100000\") 7");
        assert_eq!(furthest.get(), 100_000);
    }

    #[test]
    fn nobody_there_and_no_answer_differ() {
        let gone = FakeNode::start(|_| (200, String::new())).stop();
        assert_eq!(client().get(&gone, "/", &[]).unwrap_err().kind, Kind::Unreachable);
        let silent = FakeNode::start(|_| {
            std::thread::sleep(Duration::from_secs(2));
            (200, String::new())
        });
        let hasty = Client::new(Duration::from_millis(50), 0);
        assert_eq!(hasty.get(&silent.target(), "/", &[]).unwrap_err().kind, Kind::TimedOut);
    }
}

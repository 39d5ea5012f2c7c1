//! A node for tests: an HTTP server on loopback that answers by a closure.

use crate::context::target::Target;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A server that lives as long as this value.
pub struct FakeNode {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeNode {
    /// Serve; the closure gives status and body.
    pub fn start(answer: impl Fn(&Request) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away is part of some tests.
                let _ = serve(stream.unwrap(), &answer);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn target(&self) -> Target {
        Target {
            label: "test".into(),
            argument: self.address.to_string(),
            base: format!("http://{}", self.address),
            origin: None,
        }
    }

    /// End the server; its address then refuses connections.
    pub fn stop(mut self) -> Target {
        self.end();
        self.target()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve(stream: TcpStream, answer: &impl Fn(&Request) -> (u16, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, path, headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((key, value)) = line.trim().split_once(':') else { break };
        request.headers.push((key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    let (status, body) = answer(&request);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all(format!("{head}{body}").as_bytes())
}

/// Run a command line as the program would, in a folder and environment of its own. Broadcasts go nowhere.
pub fn run_in(
    folder: &std::path::Path,
    line: &[&str],
    env: &[(&str, &str)],
) -> (crate::exit::Outcome, String) {
    use clap::Parser;
    let mut env = env.to_vec();
    env.push(("SPORE_BROADCAST", "off"));
    let cli = crate::args::Cli::try_parse_from([&["spore", "--quiet"], line].concat()).unwrap();
    let mut out = Vec::new();
    let env = crate::dotenv::Env::of(&env);
    let mut context = crate::context::Context::new(&cli.global, folder, env, &mut out);
    let outcome = crate::cmd::run(cli.command, &mut context);
    (outcome, String::from_utf8(out).unwrap())
}

/// The same in an empty folder, with this node as the API node.
pub fn run_with(node: &FakeNode, line: &[&str]) -> (crate::exit::Outcome, String) {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), line, &[("API_NODE", &node.address().to_string())])
}

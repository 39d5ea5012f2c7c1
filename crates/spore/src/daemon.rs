//! The process that runs a lab: its control socket, and its end.

use crate::context::PROGRAM;
use crate::context::state::StateDir;
use crate::exit::{Failure, Outcome};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use spore_lab::control::{Command, Reply};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The longest order. Longer ones are refused before they are read.
const LINE_BYTES: u64 = 64 * 1024;

/// What can be ordered about: a lab, or a stand-in for tests.
pub trait Control: Send + Sync {
    /// Carry out an order.
    fn call(&self, command: Command) -> Reply;
}

/// A switch that is thrown once, by a signal or by an order.
#[derive(Debug, Default)]
pub struct Stop {
    thrown: Mutex<bool>,
    change: Condvar,
}

impl Stop {
    /// Throw it.
    pub fn throw(&self) {
        *self.thrown.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.change.notify_all();
    }

    /// Wait so long at most; whether it is thrown.
    pub fn wait_for(&self, time: Duration) -> bool {
        let thrown = self.thrown.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.change.wait_timeout_while(thrown, time, |thrown| !*thrown);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The control socket of a lab; closed and removed when dropped.
#[derive(Debug)]
pub struct Server {
    state: StateDir,
}

impl Server {
    /// Open the socket and answer on it. Call this only with the folder's lock held: a socket found is stale then.
    pub fn open(state: &StateDir, control: Arc<dyn Control>, stop: Arc<Stop>) -> Outcome<Self> {
        let path = state.socket();
        let cannot = |error: io::Error| {
            Failure::other(format!("cannot open the control socket {}: {error}", path.display()))
                .hint(format!("a shorter folder name helps when it is too long: {PROGRAM} up --state <dir>"))
        };
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        let listener = UnixListener::bind(&path).map_err(cannot)?;
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let (control, stop) = (control.clone(), stop.clone());
                // A client that breaks off is its own business, and so is a thread that cannot be had.
                let _ = std::thread::Builder::new()
                    .name("control".into())
                    .spawn(move || drop(converse(stream, &*control, &stop)));
            }
        };
        std::thread::Builder::new().name("control socket".into()).spawn(accept).map_err(cannot)?;
        Ok(Self { state: state.clone() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = std::fs::remove_file(self.state.socket());
    }
}

/// One client: an order a line, an answer a line.
fn converse(stream: UnixStream, control: &dyn Control, stop: &Stop) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let count = reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(());
        }
        let command = serde_json::from_slice::<Command>(&line);
        let mut end = false;
        let too_long = line.last() != Some(&b'\n') && count as u64 == LINE_BYTES;
        let reply = match command {
            // Whoever waits for the switch ends the lab, and the process after it.
            Ok(Command::Stop) => {
                end = true;
                Reply::Done { nodes: Vec::new() }
            }
            Ok(command) => control.call(command),
            Err(error) => Reply::Error { error: format!("not an order: {error}") },
        };
        let mut answer = serde_json::to_vec(&reply)?;
        answer.push(b'\n');
        reader.get_mut().write_all(&answer)?;
        if end {
            stop.throw();
        }
        if too_long {
            return Ok(());
        }
    }
}

/// Throw the switch at Ctrl-C and its like; at the second, end at once.
pub fn stop_at_signals(stop: Arc<Stop>) -> Outcome {
    let cannot = |error: io::Error| Failure::other(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let listen = move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(128 + signal);
            }
            stop.throw();
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop).map_err(cannot)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::context::lab::Lab;
    use spore_lab::control::Status;

    /// A lab that is only told.
    pub struct FakeLab {
        pub status: Mutex<Status>,
        pub orders: Mutex<Vec<Command>>,
    }

    /// A status with so many nodes that see so many others.
    pub fn status(nodes: u16, sees: u16) -> Status {
        let node = |number: u16| {
            serde_json::json!({"hostname": format!("esp_{number}"), "ip": format!("10.4.0.{}", 10 + number),
                "local": format!("127.0.0.1:{}", 8000 + number), "url": format!("http://127.0.0.1:{}/", 8000 + number),
                "kind": "virtual", "version": "0.1.0", "state": "running", "sees": sees, "boots": 1,
                "reset_reason": "power on", "flash": ""})
        };
        serde_json::from_value(
            serde_json::json!({"pid": std::process::id(), "uptime_seconds": 1, "ssid": "spore-lab",
            "converged": sees + 1 == nodes, "frames": 0, "bytes": 0, "faults": [], "tap": null,
            "nodes": (1..=nodes).map(node).collect::<Vec<_>>()}),
        )
        .unwrap()
    }

    impl FakeLab {
        pub fn new(status: Status) -> Arc<Self> {
            Arc::new(Self { status: Mutex::new(status), orders: Mutex::default() })
        }
    }

    impl Control for FakeLab {
        fn call(&self, command: Command) -> Reply {
            self.orders.lock().unwrap().push(command.clone());
            match command {
                Command::Status => Reply::Status(self.status.lock().unwrap().clone()),
                Command::Kill { node } => Reply::Error { error: format!("no node {node}") },
                _ => Reply::Done { nodes: vec!["esp_1".into()] },
            }
        }
    }

    fn open(fake: &Arc<FakeLab>) -> (tempfile::TempDir, StateDir, Arc<Stop>, Server) {
        let temp = tempfile::tempdir().unwrap();
        let (state, stop) = (StateDir::new(temp.path().to_path_buf()), Arc::new(Stop::default()));
        let server = Server::open(&state, fake.clone(), stop.clone()).unwrap();
        (temp, state, stop, server)
    }

    #[test]
    fn orders_arrive_and_stop_ends_it() {
        let fake = FakeLab::new(status(2, 1));
        let (_temp, state, stop, server) = open(&fake);
        let mut lab = Lab::connect(&state, Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!(lab.status().unwrap().nodes.len(), 2);
        assert_eq!(lab.call(&Command::Kill { node: "x".into() }).unwrap_err().message, "no node x");
        assert!(!stop.wait_for(Duration::ZERO));
        lab.call(&Command::Stop).unwrap();
        assert!(stop.wait_for(Duration::from_secs(60)));
        assert_eq!(fake.orders.lock().unwrap().len(), 2, "the end is left to whoever waits for it");
        drop(server);
        assert!(!state.socket().exists());
    }

    #[test]
    fn nonsense_is_refused_and_does_no_harm() {
        let fake = FakeLab::new(status(1, 0));
        let (_temp, state, _stop, _server) = open(&fake);
        let mut reader = BufReader::new(UnixStream::connect(state.socket()).unwrap());
        reader.get_mut().write_all(b"\xff\n{\"command\":\"dance\"}\n").unwrap();
        let mut line = String::new();
        for _ in 0..2 {
            reader.read_line(&mut line).unwrap();
        }
        assert_eq!(line.matches("not an order").count(), 2, "{line}");
        let mut lab = Lab::connect(&state, Duration::from_secs(5)).unwrap().unwrap();
        assert!(lab.status().is_ok());
    }

    #[test]
    fn a_stale_socket_makes_room() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().to_path_buf());
        drop(UnixListener::bind(state.socket()).unwrap());
        assert!(Server::open(&state, FakeLab::new(status(1, 0)), Arc::default()).is_ok());
    }
}

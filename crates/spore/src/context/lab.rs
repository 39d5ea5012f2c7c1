//! Talking to a running lab over its control socket.

use super::PROGRAM;
use super::state::StateDir;
use crate::exit::{Failure, Kind, Outcome};
use spore_lab::control::{Command, Reply, Status};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connection to a running lab.
#[derive(Debug)]
pub struct Lab {
    stream: BufReader<UnixStream>,
}

impl Lab {
    /// Connect to the lab of this folder; `None` when there is none (no socket, or one left behind by a dead lab).
    pub fn connect(state: &StateDir, patience: Duration) -> Outcome<Option<Self>> {
        let stream = match UnixStream::connect(state.socket()) {
            Ok(stream) => stream,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => {
                return Err(Failure::new(
                    Kind::Unreachable,
                    format!("cannot open the lab's control socket {}: {error}", state.socket().display()),
                ));
            }
        };
        let ready =
            stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        ready.map_err(|error| failure(&error))?;
        Ok(Some(Self { stream: BufReader::new(stream) }))
    }

    /// Give an order and wait for the answer; a refusal is an error.
    pub fn call(&mut self, command: &Command) -> Outcome<Reply> {
        let mut line = serde_json::to_string(command)
            .map_err(|error| Failure::other(format!("cannot write the command: {error}")))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|error| failure(&error))?;
        let mut answer = String::new();
        let count = self.stream.read_line(&mut answer).map_err(|error| failure(&error))?;
        if count == 0 {
            return Err(failure(&io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&answer) {
            Ok(Reply::Error { error }) => Err(Failure::new(Kind::Refused, error)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Failure::other(format!("the lab's answer makes no sense: {error}"))
                .hint(format!("is it of another version? {PROGRAM} down, then {PROGRAM} up"))),
        }
    }

    /// What is there.
    pub fn status(&mut self) -> Outcome<Status> {
        match self.call(&Command::Status)? {
            Reply::Status(status) => Ok(status),
            other => Err(Failure::other(format!("the lab answered {other:?} when asked for its status"))),
        }
    }
}

/// The error when a command needs a lab and none runs.
pub fn no_lab(state: &StateDir) -> Failure {
    Failure::new(Kind::Unreachable, format!("no lab is running ({})", state.path().display()))
        .hint(format!("start one: {PROGRAM} up"))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::new(Kind::TimedOut, "the lab does not answer").hint(format!("stop it: {PROGRAM} down"))
        }
        _ => Failure::new(Kind::Unreachable, format!("the lab broke off: {error}"))
            .hint(format!("did it stop? {PROGRAM} lab status")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn fake(answer: &'static str) -> (tempfile::TempDir, StateDir) {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().to_path_buf());
        let listener = UnixListener::bind(state.socket()).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        });
        (temp, state)
    }

    fn call(answer: &'static str) -> Outcome<Reply> {
        let (_temp, state) = fake(answer);
        Lab::connect(&state, Duration::from_secs(5)).unwrap().unwrap().call(&Command::Heal)
    }

    #[test]
    fn answers_and_refusals() {
        assert_eq!(call("{\"reply\":\"done\",\"nodes\":[]}\n"), Ok(Reply::Done { nodes: vec![] }));
        let refusal = call("{\"reply\":\"error\",\"error\":\"no such node\"}\n").unwrap_err();
        assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::Refused, "no such node"));
        assert_eq!(call("nonsense\n").unwrap_err().kind, Kind::Other);
        assert_eq!(call("").unwrap_err().kind, Kind::Unreachable);
    }

    #[test]
    fn a_stale_socket_is_no_lab() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().to_path_buf());
        assert!(Lab::connect(&state, Duration::from_secs(1)).unwrap().is_none());
        drop(UnixListener::bind(state.socket()).unwrap());
        assert!(state.socket().exists());
        assert!(Lab::connect(&state, Duration::from_secs(1)).unwrap().is_none());
    }
}

//! How a command ends: the exit code, what is printed, and what to try next.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not do what it was asked. The number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody reads our output any more. That is success, as for `head`.
    BrokenPipe = 0,
    /// Wrong usage, or anything not named below.
    Other = 1,
    /// An update did not hold: a node did not come back with the new image.
    Halted = 2,
    /// A node, a board or the lab cannot be reached.
    Unreachable = 3,
    /// The node or the lab refused, or a board is unfit; nothing changed.
    Refused = 4,
    /// Something did not happen in time.
    TimedOut = 124,
}

/// The table of exit codes, as `--help` and docs/cli.md show it.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  wrong usage, or any other error
    2  halted: a node did not come back with the new image
    3  a node, a board, or the lab cannot be reached
    4  refused by a node or by the lab; or a board that is unfit
  124  timed out";

/// An error as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What is wrong, in one sentence or a few lines.
    pub message: String,
    /// What to do next, if we know.
    pub hint: Option<String>,
}

/// What a command answers.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Wrong usage, or any other error.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(Kind::Other, message)
    }

    /// The same error with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with this said before it.
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Print it on `err`, as one JSON object when asked, and give the exit code.
    pub fn report(&self, json: bool, err: &mut dyn Write) -> ExitCode {
        let code = self.kind as u8;
        if self.kind == Kind::BrokenPipe {
            return ExitCode::SUCCESS;
        }
        // Nothing can be done when stderr is closed too.
        let _ = if json {
            let object = serde_json::json!({"error": self.message, "hint": self.hint, "exit": code});
            writeln!(err, "{object}")
        } else {
            let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            writeln!(err, "error: {}{hint}", self.message)
        };
        ExitCode::from(code)
    }
}

/// Errors of writing our own output. Other input and output is given words of its own where it happens.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::BrokenPipe, String::new()),
            _ => Self::other(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failure: &Failure, json: bool) -> String {
        let mut err = Vec::new();
        failure.report(json, &mut err);
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn an_error_shows_its_hint() {
        let failure = Failure::new(Kind::Refused, "no").about("node").hint("ask nicely");
        assert_eq!(report(&failure, false), "error: node: no\nhint: ask nicely\n");
        assert_eq!(report(&failure, true), "{\"error\":\"node: no\",\"exit\":4,\"hint\":\"ask nicely\"}\n");
    }

    #[test]
    fn a_broken_pipe_is_silent_success() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(report(&failure, false), "");
        assert_eq!(failure.kind as u8, 0);
    }

    #[test]
    fn the_table_names_every_code() {
        for kind in
            [Kind::BrokenPipe, Kind::Other, Kind::Halted, Kind::Unreachable, Kind::Refused, Kind::TimedOut]
        {
            let start = format!("{:>5}  ", kind as u8);
            assert!(EXIT_CODES.lines().any(|line| line.starts_with(&start)), "{kind:?}");
        }
    }
}

//! What every command needs: where to write, which node to ask, where the lab lives.

pub mod discovery;
pub mod lab;
pub mod state;
pub mod target;

use crate::args::Global;
use crate::dotenv::Env;
use crate::http::Client;
use crate::output::style::Palette;
use state::StateDir;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program as users call it, for hints.
pub const PROGRAM: &str = "./ctl.sh";

/// What every command needs.
pub struct Context<'a> {
    /// Data goes here.
    pub out: &'a mut dyn Write,
    /// Answer in JSON.
    pub json: bool,
    /// Colours for tables, or none.
    pub palette: Palette,
    /// No messages beside data and errors.
    pub quiet: bool,
    /// How much to tell about what is done.
    pub verbose: u8,
    /// `--timeout`, if given.
    pub timeout: Option<Duration>,
    /// `--node`, if given.
    pub node: Option<String>,
    /// Settings of the environment.
    pub env: Env,
    /// The project's folder: the nearest one with `ctl.sh` or `.git`, else the current one.
    pub root: PathBuf,
    /// Where a lab keeps its files.
    pub state: StateDir,
}

impl<'a> Context<'a> {
    /// The context of a command called with these options from `folder`.
    pub fn new(global: &Global, folder: &Path, env: Env, out: &'a mut dyn Write) -> Self {
        let root = state::root(folder);
        let state = match (&global.state_dir, env.get("SPORE_STATE")) {
            (Some(state), _) => folder.join(state),
            (None, Some(setting)) => folder.join(setting.value),
            (None, None) => root.join(".spore"),
        };
        Self {
            out,
            json: global.json,
            palette: Palette::choose(global.no_color, &env, std::io::stdout().is_terminal()),
            quiet: global.quiet,
            verbose: global.verbose,
            timeout: global.timeout.map(Duration::from_secs_f64),
            node: global.api_node.clone(),
            env,
            root,
            state: StateDir::new(state),
        }
    }

    /// The same for a command whose result goes somewhere else.
    pub fn with_output<'b>(&self, out: &'b mut dyn Write) -> Context<'b> {
        Context {
            out,
            json: self.json,
            palette: self.palette,
            quiet: self.quiet,
            verbose: self.verbose,
            timeout: self.timeout,
            node: self.node.clone(),
            env: self.env.clone(),
            root: self.root.clone(),
            state: self.state.clone(),
        }
    }

    /// How long to wait when the default is `seconds`.
    pub fn wait(&self, seconds: u64) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(seconds))
    }

    /// An HTTP client with the user's patience.
    pub fn client(&self) -> Client {
        Client::new(self.wait(10), self.verbose)
    }

    /// Tell something beside the data, on stderr.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            // A closed stderr must not stop the work.
            let _ = writeln!(std::io::stderr(), "{message}");
        }
    }

    /// Write text that a node gave us verbatim, ending with a line feed.
    pub fn verbatim(&mut self, body: &str) -> std::io::Result<()> {
        self.out.write_all(body.as_bytes())?;
        if body.ends_with('\n') { Ok(()) } else { self.out.write_all(b"\n") }
    }

    /// Write a value as one line of JSON.
    pub fn json_line(&mut self, value: &impl serde::Serialize) -> crate::exit::Outcome {
        let text = serde_json::to_string(value)
            .map_err(|error| crate::exit::Failure::other(format!("cannot write JSON: {error}")))?;
        Ok(self.verbatim(&text)?)
    }
}

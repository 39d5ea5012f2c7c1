//! The `spore` command: starts a lab, builds images, updates nodes, shows the cluster. `./ctl.sh` passes everything on
//! to it.
#![forbid(unsafe_code)]

mod api;
mod args;
mod cmd;
mod context;
mod daemon;
#[cfg(test)]
mod docs;
mod dotenv;
mod exit;
mod http;
mod image;
mod output;
mod serial;
mod symbols;
#[cfg(test)]
mod testing;

use clap::{ColorChoice, CommandFactory, FromArgMatches};
use exit::{Failure, Outcome};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Users see one line, not a backtrace. Threads of the lab that panic have lines of their own.
    std::panic::set_hook(Box::new(|info| {
        let place =
            info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("panic");
        let _ = writeln!(std::io::stderr(), "error: internal error{place}: {what}. Please report it.");
    }));
    std::panic::catch_unwind(start).unwrap_or(ExitCode::from(1))
}

fn start() -> ExitCode {
    // Clap decides about colours before it reads our option.
    let plain = std::env::args_os().any(|arg| arg == "--no-color");
    let command = args::Cli::command().color(if plain { ColorChoice::Never } else { ColorChoice::Auto });
    let parsed = command.try_get_matches().and_then(|matches| args::Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // A closed output is no error of ours. Help and version are successes; clap's own code for usage is 2,
            // which means something else here.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let json = cli.global.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json, &mut std::io::stderr()),
    }
}

fn run(cli: args::Cli) -> Outcome {
    let folder = std::env::current_dir()
        .map_err(|error| Failure::other(format!("the current folder is not there: {error}")))?;
    let mut out = std::io::stdout();
    let mut context = context::Context::new(&cli.global, &folder, dotenv::Env::load(&folder), &mut out);
    cmd::run(cli.command, &mut context)?;
    Ok(context.out.flush()?)
}

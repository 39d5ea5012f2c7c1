//! The lab in this process: until Ctrl-C, or until it is told to stop over its socket.

use super::live::Live;
use super::{UpArgs, start};
use crate::context::Context;
use crate::context::state::Lock;
use crate::daemon::{Control, Server, Stop, stop_at_signals};
use crate::exit::{Failure, Outcome};
use spore_lab::control::{Command, Reply, Status};
use std::sync::Arc;
use std::time::Duration;

/// Pause between looks at the nodes.
const REFRESH: Duration = Duration::from_millis(500);
/// The same when nobody looks: only to learn that the lab's own thread has ended.
const GUARD: Duration = Duration::from_secs(5);

/// Run the lab until it is stopped.
pub fn run(args: &UpArgs, context: &mut Context, lock: Lock) -> Outcome {
    if args.daemon {
        // Signals of the terminal we were started from are not meant for us. Cannot fail: the process is no leader,
        // and if it were, it would have a session already.
        let _ = rustix::process::setsid();
    }
    let stop = Arc::new(Stop::default());
    stop_at_signals(stop.clone())?;
    let control = start(args, context)?;
    let server = Server::open(&context.state, control.clone(), stop.clone())?;
    let watched =
        if args.daemon || context.quiet { guard(&*control, &stop) } else { watch(context, &*control, &stop) };
    drop(server);
    if let Reply::Error { error } = control.call(Command::Stop) {
        context.note(&format!("warning: {error}"));
    }
    drop(control);
    drop(lock);
    // Nobody reading any more is a reason to end, as Ctrl-C is.
    watched?;
    if !args.daemon {
        context.note("the lab has stopped");
    }
    Ok(())
}

/// Show what happens until the lab is stopped.
fn watch(context: &mut Context, control: &dyn Control, stop: &Stop) -> Outcome {
    let mut live = Live::new(context);
    while !stop.wait_for(live.pause(REFRESH)) {
        live.show(context, status(control)?)?;
    }
    Ok(())
}

/// Wait until the lab is stopped, or has ended by itself.
fn guard(control: &dyn Control, stop: &Stop) -> Outcome {
    while !stop.wait_for(GUARD) {
        status(control)?;
    }
    Ok(())
}

fn status(control: &dyn Control) -> Outcome<Status> {
    match control.call(Command::Status) {
        Reply::Status(status) => Ok(status),
        Reply::Error { error } => Err(Failure::other(error)),
        other => Err(Failure::other(format!("the lab answered {other:?} when asked for its status"))),
    }
}

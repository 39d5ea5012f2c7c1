//! `spore down`: stop the lab, and be sure that it has.

use crate::context::lab::Lab;
use crate::context::state::StateDir;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Kind, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use spore_lab::control::Command;
use std::time::{Duration, Instant};

/// How long the process may take to end at each step, in seconds.
const END_SECONDS: u64 = 10;

/// Stop the lab; nothing to stop is success.
pub fn run(context: &mut Context) -> Outcome {
    let pid = context.state.pid();
    let stopped = stop(&context.state, context.wait(END_SECONDS))?;
    if context.json {
        return context.json_line(&serde_json::json!({"stopped": stopped, "pid": pid}));
    }
    let text = if stopped { "the lab has stopped" } else { "no lab is running" };
    Ok(writeln!(context.out, "{text}")?)
}

/// Ask it over its socket; if that does not help, by a signal, and at last by force. Whether there was one.
fn stop(state: &StateDir, patience: Duration) -> Outcome<bool> {
    if !state.is_locked() {
        // What a lab that was killed has left behind.
        let _ = std::fs::remove_file(state.socket());
        return Ok(false);
    }
    let asked = Lab::connect(state, patience).and_then(|lab| match lab {
        Some(mut lab) => lab.call(&Command::Stop).map(|_| true),
        None => Ok(false),
    });
    if asked == Ok(true) && ended(state, patience) {
        return Ok(true);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(pid) = state.pid().and_then(|pid| Pid::from_raw(pid as i32)) else { return Ok(true) };
        // An error means that it has just ended, or is not ours: the lock tells.
        let _ = kill_process(pid, signal);
        if ended(state, patience) {
            let _ = std::fs::remove_file(state.socket());
            return Ok(true);
        }
    }
    Err(Failure::new(Kind::TimedOut, "the lab's process does not end")
        .hint(format!("{PROGRAM} lab status; the process is in {}", state.path().display())))
}

fn ended(state: &StateDir, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        if !state.is_locked() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::{FakeLab, status};
    use crate::daemon::{Server, Stop};
    use crate::testing::run_in;
    use std::sync::Arc;

    #[test]
    fn nothing_to_stop_is_success() {
        let temp = tempfile::tempdir().unwrap();
        let (outcome, out) = run_in(temp.path(), &["down"], &[]);
        assert_eq!((outcome, out.as_str()), (Ok(()), "no lab is running\n"));
        assert!(!temp.path().join(".spore").exists(), "looking leaves no trace");
    }

    #[test]
    fn it_returns_when_the_lab_has_ended() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join(".spore"));
        let lock = state.lock().unwrap().unwrap();
        let (fake, stop) = (FakeLab::new(status(1, 0)), Arc::new(Stop::default()));
        let server = Server::open(&state, fake, stop.clone()).unwrap();
        let lab = std::thread::spawn(move || {
            stop.wait_for(Duration::from_secs(60));
            drop((server, lock));
        });
        let (outcome, out) = run_in(temp.path(), &["down"], &[]);
        assert_eq!((outcome, out.as_str()), (Ok(()), "the lab has stopped\n"));
        lab.join().unwrap();
    }
}

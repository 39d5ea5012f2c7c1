//! The lab in a process of its own, and the wait until it is well.

use super::UpArgs;
use crate::context::lab::Lab;
use crate::context::state::StateDir;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Kind, Outcome};
use crate::output::lab::{laggards, nodes, summary};
use spore_lab::control::Status;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the nodes may take to find each other, in seconds, unless the user says otherwise.
const CONVERGE_SECONDS: u64 = 60;
/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Start the process and wait.
pub fn run(args: &UpArgs, context: &mut Context) -> Outcome {
    let mut child = spawn(args, &context.state)?;
    let patience = context.wait(CONVERGE_SECONDS);
    let status = wait(&mut child, &context.state, args.count(), patience)?;
    if context.json {
        return context.json_line(&status);
    }
    context.out.write_all(nodes(&status).text(context.palette).as_bytes())?;
    writeln!(context.out, "{}", summary(&status, context.palette))?;
    context.note(&format!("stop it: {PROGRAM} down"));
    Ok(())
}

fn spawn(args: &UpArgs, state: &StateDir) -> Outcome<Child> {
    let cannot = |error| Failure::other(format!("cannot start the lab's process: {error}"));
    std::fs::create_dir_all(state.path()).map_err(cannot)?;
    let log = File::create(state.log()).map_err(cannot)?;
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command.args([
        "--no-color",
        "up",
        "--daemon",
        "--nodes",
        &args.nodes.to_string(),
        "--emulated",
        &args.emulated.to_string(),
        "--flash",
        &args.flash.to_string(),
        "--seed",
        &args.seed.to_string(),
    ]);
    command.arg("--state").arg(state.path());
    if let Some(base) = args.port_base {
        command.args(["--port-base", &base.to_string()]);
    }
    if let Some(tap) = &args.tap {
        command.args(["--tap", tap]);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(cannot)?).stderr(log);
    command.spawn().map_err(cannot)
}

/// Wait until all nodes run and see each other.
fn wait(child: &mut Child, state: &StateDir, nodes: u16, patience: Duration) -> Outcome<Status> {
    let end = Instant::now() + patience;
    let mut last = None;
    loop {
        if let Ok(Some(exit)) = child.try_wait() {
            let log = std::fs::read_to_string(state.log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(10)..].join("\n  ");
            return Err(Failure::other(format!("the lab ended ({exit}):\n  {tail}"))
                .hint(format!("its whole log: {}", state.log().display())));
        }
        // Whatever goes wrong with the socket now may go well in a moment.
        if let Ok(Some(mut lab)) = Lab::connect(state, Duration::from_secs(5))
            && let Ok(status) = lab.status()
        {
            let all = status.nodes.len() >= usize::from(nodes)
                && status.nodes.iter().all(|node| node.state == "running" && node.ip.is_some());
            if all && status.converged {
                return Ok(status);
            }
            if let Some(broken) = status.nodes.iter().find(|node| node.state == "broken") {
                return Err(Failure::other(format!("a node cannot go on:\n{}", laggards(&status))).hint(
                    format!(
                        "what it said: {PROGRAM} lab log {}; stop the lab: {PROGRAM} down",
                        broken.hostname
                    ),
                ));
            }
            last = Some(status);
        }
        if Instant::now() >= end {
            let reason =
                last.map_or("  it does not answer on its socket yet".to_owned(), |status| laggards(&status));
            return Err(Failure::new(
                Kind::TimedOut,
                format!("after {} s not every node sees every other:\n{reason}", patience.as_secs_f64()),
            )
            .hint(format!("the lab runs on: {PROGRAM} lab status; stop it: {PROGRAM} down")));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::{FakeLab, status};
    use crate::daemon::{Server, Stop};
    use std::sync::Arc;

    fn process(line: &str) -> Child {
        Command::new("sh").args(["-c", line]).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn it_waits_until_all_see_all() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().to_path_buf());
        let fake = FakeLab::new(status(2, 0));
        let _server = Server::open(&state, fake.clone(), Arc::new(Stop::default())).unwrap();
        let mut child = process("exec sleep 60");
        let failure = wait(&mut child, &state, 2, Duration::ZERO).unwrap_err();
        assert_eq!(failure.kind, Kind::TimedOut);
        assert!(failure.message.contains("esp_2 sees 0 of 1"), "{}", failure.message);
        *fake.status.lock().unwrap() = status(2, 1);
        assert_eq!(
            wait(&mut child, &state, 3, Duration::ZERO).unwrap_err().kind,
            Kind::TimedOut,
            "one is missing"
        );
        assert_eq!(wait(&mut child, &state, 2, Duration::from_secs(5)).unwrap().nodes.len(), 2);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_lab_that_ends_tells_why() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().to_path_buf());
        std::fs::write(state.log(), "error: port 8001 is taken\n").unwrap();
        let failure = wait(&mut process("exit 1"), &state, 2, Duration::from_secs(30)).unwrap_err();
        assert_eq!(failure.kind, Kind::Other);
        assert!(failure.message.contains("port 8001 is taken"), "{}", failure.message);
    }

    #[test]
    fn a_second_lab_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join(".spore"));
        let _lock = state.lock().unwrap().unwrap();
        for line in [&["up"][..], &["up", "--detach"]] {
            let failure = crate::testing::run_in(temp.path(), line, &[]).0.unwrap_err();
            assert_eq!(failure.kind, Kind::Other);
            assert!(failure.message.contains("running already"), "{}", failure.message);
        }
    }
}

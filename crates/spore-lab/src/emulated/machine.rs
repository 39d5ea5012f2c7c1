//! One start of an emulator: its process, its cable, its watchdog, its end.

use super::console::Console;
use super::warden::Guard;
use super::watch::{News, watch};
use super::{Body, PowerOn};
use anyhow::{Context as _, Result, anyhow};
use async_io::Async;
use async_process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use embassy_futures::join::{join, join3};
use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Timer, with_timeout};
use spore_lan::switch::PortOptions;
use spore_lan::uplink::Uplink;
use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::pin::pin;
use std::process::ExitStatus;

/// Exit code of an emulator whose power went in a flash operation, as it was asked.
const POWER_CUT: i32 = 70;
/// Exit code after the firmware broke a rule of the chip; a line on the serial line says which.
const VIOLATION: i32 = 71;
/// Exit code of an emulator that cannot use its files.
const BAD_FILES: i32 = 72;
/// How often the signs of life are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a change after which the hardware watchdog bites. Looks and not seconds, so that a machine that
/// slept does not kill what slept with it.
const STILL: u32 = 8;
/// How long the last words of an emulator that has ended may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Clock ticks a second in which Linux counts the time of processes.
const TICKS: u64 = 100;

/// How an emulator ended.
pub(super) enum End {
    /// The power went where it was asked to.
    PowerCut,
    /// It gave no sign of life.
    Watchdog,
    /// It cannot go on: why.
    Broken(String),
    /// Anything else: how.
    Crashed(String),
}

/// A running emulator.
pub(super) struct Machine<'a> {
    body: &'a Body,
    child: Child,
    listener: Async<UnixListener>,
    serial: Option<(ChildStdout, ChildStderr)>,
    _guard: Guard,
}

impl<'a> Machine<'a> {
    /// Starts the process.
    pub fn start(body: &'a Body, power: &PowerOn) -> Result<Self> {
        let folder = body.home.folder();
        let socket = folder.join("port.sock");
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(anyhow!("cannot remove {}: {error}", socket.display()));
            }
            _ => {}
        }
        let listener = Async::<UnixListener>::bind(&socket).with_context(|| {
            format!("cannot open {} (a lab in a folder with a shorter name may help)", socket.display())
        })?;
        // Another seed at every start, as noise would give it.
        let seed = fastrand::Rng::with_seed(body.seed ^ u64::from(body.view.boots.get()) << 32).u32(..);
        body.home.power_on(body.mac, seed, power).context("cannot write board.txt")?;
        let [a, b, c, d, e, f] = body.mac;
        let nic =
            format!("nic,netdev=lan,model=open_eth,macaddr={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        let mut command = std::process::Command::new(&body.emulator.program);
        command
            .current_dir(folder)
            .args([
                "-M",
                "lx60",
                "-cpu",
                "lx106",
                "-display",
                "none",
                "-monitor",
                "none",
                "-parallel",
                "none",
            ])
            .args(["-semihosting", "-serial", "stdio", "-gdb", "unix:gdb.sock,server=on,wait=off"])
            .args(["-netdev", "stream,id=lan,server=off,addr.type=unix,addr.path=port.sock", "-net", &nic])
            .arg("-kernel")
            .arg(&body.emulator.rom)
            .args(&body.emulator.arguments)
            // Ctrl-C is the lab's.
            .process_group(0);
        let mut child = Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", body.emulator.program.display()))?;
        let guard = body.warden.guard(child.id());
        let serial = child.stdout.take().zip(child.stderr.take());
        Ok(Self { body, child, listener, serial, _guard: guard })
    }

    /// Runs until the emulator ends or has to be ended.
    pub async fn run(&mut self) -> End {
        let (console, news, silent) = (Console::new(self.body), News::new(), Cell::new(false));
        let Some((stdout, stderr)) = self.serial.take() else {
            return End::Crashed("it runs already".to_owned());
        };
        let mut serial = pin!(async {
            let heard = || news.signal(());
            join(console.read(stdout, "", heard), console.read(stderr, "qemu: ", || ())).await;
            silent.set(true);
        });
        let pid = self.child.id();
        let ended = {
            let around = async {
                join3(carry(self.body, &self.listener), watch(self.body, &news), serial.as_mut()).await;
                core::future::pending::<()>().await;
            };
            select3(self.child.status(), watchdog(self.body, pid), around).await
        };
        match ended {
            Either3::First(status) => {
                if !silent.get() {
                    // It may have left a child of its own with its output.
                    let _ = with_timeout(LAST_WORDS, serial).await;
                }
                verdict(status, &console.last())
            }
            Either3::Second(()) => End::Watchdog,
            Either3::Third(()) => End::Crashed("nothing to wait for".to_owned()),
        }
    }

    /// Ends the process, if it has not ended, and waits until it is gone.
    pub async fn end(mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.status().await;
    }
}

/// What the end of the process means.
fn verdict(status: io::Result<ExitStatus>, last: &str) -> End {
    let said = |what: &str| if last.is_empty() { what.to_owned() } else { last.to_owned() };
    match status {
        Err(error) => End::Crashed(format!("emulator lost: {error}")),
        Ok(status) => match status.code() {
            Some(POWER_CUT) => End::PowerCut,
            Some(VIOLATION) => End::Broken(said("the firmware broke a rule of the chip")),
            Some(BAD_FILES) => End::Broken(said("flash.bin or board.txt cannot be used")),
            _ => End::Crashed(format!("emulator ended ({status})")),
        },
    }
}

/// Carries frames between the emulator and the switch.
async fn carry(body: &Body, listener: &Async<UnixListener>) {
    let stream = match listener.accept().await.and_then(|(stream, _)| stream.into_inner()) {
        Ok(stream) => stream,
        Err(error) => return body.view.log.line(&format!("-- no network: {error} --")),
    };
    let options = PortOptions { counters: body.counters.clone(), ..PortOptions::new(body.mac) };
    let port = body.switch.attach_with(options);
    body.home.plug(port.control());
    let error = match Uplink::new(&body.spawner, port, stream) {
        Ok(mut uplink) => uplink.ended().await,
        Err(error) => error,
    };
    // The end of the emulator is told by its exit code.
    let over = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    if !over.contains(&error.kind()) {
        body.view.log.line(&format!("-- network lost: {error} --"));
    }
}

/// Returns when the chip has given no sign of life for too long. One that never gave any is left alone: its own
/// watchdogs have to do.
async fn watchdog(body: &Body, pid: u32) {
    let before = body.view.emulator_usage.get();
    let (mut last, mut still) = (body.home.pulse(), 0);
    while still < STILL {
        Timer::after(LOOK).await;
        if let Some(spent) = cpu_time(pid) {
            body.view.emulator_usage.set(before + spent);
        }
        let now = body.home.pulse();
        // Whoever looks at a chip that stands still wants it so.
        let looked_at = body.home.debugger().is_some_and(|pid| cpu_time(pid).is_some());
        if now.is_some() && now == last && !looked_at {
            still += 1;
        } else {
            (last, still) = (now, 0);
        }
    }
}

/// CPU time a process has used, where the system tells.
fn cpu_time(pid: u32) -> Option<std::time::Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields are counted behind the name, which may hold anything: user and system time are the 12th and 13th.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(std::time::Duration::from_millis(ticks()?.checked_add(ticks()?)?.saturating_mul(1000 / TICKS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn what_exit_codes_mean() {
        let end = |code: i32| verdict(Ok(ExitStatus::from_raw(code << 8)), "flash: word programmed twice");
        assert!(matches!(end(70), End::PowerCut));
        assert!(matches!(end(71), End::Broken(why) if why.contains("programmed twice")));
        assert!(matches!(end(72), End::Broken(_)));
        assert!(matches!(end(0), End::Crashed(_)));
        let killed = verdict(Ok(ExitStatus::from_raw(9)), "");
        assert!(matches!(killed, End::Crashed(how) if how.contains("signal")));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_time_is_told() {
        assert!(cpu_time(std::process::id()).is_some());
        assert_eq!(cpu_time(0), None);
    }
}

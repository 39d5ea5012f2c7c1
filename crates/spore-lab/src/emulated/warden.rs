//! Ends emulators whose lab has died.
//!
//! A lab that is killed cannot tidy up, and QEMU goes on when its LAN is gone. So a shell beside the lab knows the
//! emulators' process numbers and waits for the end of its input, which comes with the end of the lab however that
//! ends. Then it kills them.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;

/// `+ 12` says that process 12 is an emulator, `- 12` that it is no more.
const SCRIPT: &str = r#"
pids=
while read -r sign pid; do
  rest=
  for known in $pids; do
    [ "$known" = "$pid" ] || rest="$rest $known"
  done
  pids=$rest
  if [ "$sign" = + ]; then pids="$pids $pid"; fi
done
for pid in $pids; do
  kill -9 "$pid"
done
"#;

/// The shell that waits for the lab's end.
pub(crate) struct Warden {
    child: RefCell<Child>,
    /// Closed first, so that the child ends.
    input: RefCell<Option<ChildStdin>>,
}

impl Warden {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn new() -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends the lab from a terminal must not end its warden.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take();
        Ok(Self { child: RefCell::new(child), input: RefCell::new(input) })
    }

    /// Has this process ended with the lab, until the guard is dropped: do that when its end is known, before the
    /// system gives its number to another.
    pub fn guard(self: &Rc<Self>, pid: u32) -> Guard {
        self.tell('+', pid);
        Guard { warden: self.clone(), pid }
    }

    fn tell(&self, sign: char, pid: u32) {
        if let Some(input) = self.input.borrow_mut().as_mut() {
            // Without a warden the lab works as well.
            let _ = writeln!(input, "{sign} {pid}");
        }
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.get_mut().wait();
    }
}

/// A process under the warden's eyes.
pub(crate) struct Guard {
    warden: Rc<Warden>,
    pid: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.warden.tell('-', self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn who_is_left_at_the_end_is_killed() {
        let warden = Rc::new(Warden::new().unwrap());
        let mut processes: Vec<Child> = (0..3)
            .map(|_| {
                Command::new("/bin/sh").args(["-c", "read x; exit 3"]).stdin(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        // To wait for a process closes its input.
        let mut inputs: Vec<_> = processes.iter_mut().map(|process| process.stdin.take()).collect();
        let mut guards: Vec<Guard> = processes.iter().map(|process| warden.guard(process.id())).collect();
        drop(guards.remove(1));
        // As when the lab is killed: nobody says goodbye.
        guards.drain(..).for_each(std::mem::forget);
        drop(warden.input.take());
        assert_eq!(processes[0].wait().unwrap().signal(), Some(9));
        assert_eq!(processes[2].wait().unwrap().signal(), Some(9));
        drop(inputs.remove(1));
        assert_eq!(processes[1].wait().unwrap().code(), Some(3));
    }
}

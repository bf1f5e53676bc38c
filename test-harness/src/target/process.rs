//! A child process that cannot outlive the harness.

use anyhow::{Context, Result};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at a child that is expected to end.
const POLL: Duration = Duration::from_millis(5);

/// A child in a process group of its own. It is killed when this is dropped; if the harness itself is killed, the
/// operating system kills the child. That signal is tied to the *thread* that started it, which must live on.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts `command` without an input.
    ///
    /// # Errors
    /// Fails when the program cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).process_group(0);
        die_with_parent(&mut command);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, status: None })
    }

    /// The exit status, if the child has ended.
    ///
    /// # Errors
    /// Fails when the operating system refuses to tell.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("waiting for the child")?;
        }
        Ok(self.status)
    }

    /// Waits until the child ends, but not beyond `deadline`.
    ///
    /// # Errors
    /// Fails when the operating system refuses to tell.
    pub fn wait_until(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            let status = self.status()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Kills the whole group and collects the child.
    pub fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        let group = rustix::process::Pid::from_child(&self.child);
        // Failure means that the group is gone already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        self.status = self.child.wait().ok();
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    }
}

#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let arrange = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        Ok(())
    };
    // SAFETY:
    // 1. The closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes one system
    //    call (prctl), allocates nothing and takes no lock.
    // 2. It captures nothing, so no state of another thread can be seen half changed.
    unsafe {
        command.pre_exec(arrange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Guarded {
        let mut command = Command::new("sleep");
        command.arg("1000");
        Guarded::start(command).unwrap()
    }

    fn lives(id: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn dropping_kills() {
        let sleeper = sleeper();
        let id = sleeper.id();
        assert!(lives(id));
        drop(sleeper);
        assert!(!lives(id));
    }

    /// The death of the thread that started it stands for the death of the harness: the signal is the same one.
    #[test]
    fn the_child_dies_with_its_parent() {
        let id = std::thread::spawn(|| {
            let sleeper = sleeper();
            let id = sleeper.id();
            std::mem::forget(sleeper);
            id
        });
        let id = id.join().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while lives(id) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        assert!(!lives(id));
    }

    #[test]
    fn an_end_is_described() {
        let mut command = Command::new("sh");
        command.args(["-c", "kill -ABRT $$"]);
        let mut child = Guarded::start(command).unwrap();
        let status = child.wait_until(Instant::now() + Duration::from_secs(10)).unwrap().unwrap();
        assert_eq!(describe(status), "killed by signal 6");
    }
}

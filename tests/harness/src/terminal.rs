//! A program in a terminal of its own, and the person in front of it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whoever sits before a screen that doesn't go on fails the test"
)]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Whoever waits longer for a word has waited in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is on the screen, and the keyboard. Dropping it ends the program.
pub struct Terminal {
    keyboard: File,
    /// Held so that the terminal outlives the program.
    slave: File,
    child: Child,
    screen: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    read: usize,
}

impl Terminal {
    /// Runs a program with arguments, environment and folder: `setsid` makes the terminal its controlling one, so that Ctrl-C is a
    /// signal to it.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn run(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap())
            .open(name)
            .unwrap();
        let end = || slave.try_clone().unwrap();
        let mut run = Command::new("setsid");
        run.arg("--ctty").arg(command.get_program()).args(command.get_args());
        run.stdin(end()).stdout(end()).stderr(end());
        if let Some(folder) = command.get_current_dir() {
            run.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                run.env(name, value);
            }
        }
        let child = run.spawn().unwrap();
        let keyboard = File::from(master);
        let mut master = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keyboard, slave, child, screen, seen: Vec::new(), read: 0 }
    }

    /// Waits until the screen says this, after what was waited for before, and returns all that came up to it.
    ///
    /// # Panics
    /// With all that is on the screen, when a minute passes without a new word.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let fresh = &self.seen[self.read..];
            if let Some(at) = fresh.windows(text.len()).position(|window| window == text.as_bytes()) {
                let end = self.read + at + text.len();
                let said = String::from_utf8_lossy(&self.seen[self.read..end]).into_owned();
                self.read = end;
                return said;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(_) => panic!("no {text:?} on the screen:\n{}", self.all()),
            }
        }
    }

    /// Types, and presses Enter.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_line(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.write_all(b"\n").unwrap();
    }

    /// Interrupts what runs.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press_ctrl_c(&mut self) {
        self.keyboard.write_all(&[3]).unwrap();
    }

    /// Everything that was on the screen so far.
    #[must_use]
    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Whether what is typed is shown.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the end, and returns it with all that was on the screen.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        // Behind whatever the program wrote: once this is there, all is.
        self.slave.write_all(b"<the program has ended>").unwrap();
        self.wait_for("<the program has ended>");
        (status, self.all())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

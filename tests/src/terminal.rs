//! [`Terminal`]: runs a program in tmux, reads its screen and types into it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Anything that is waited for has to happen within this time.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A terminal of 24 rows, with a history of all that has left the screen. It ends when this is dropped.
pub struct Terminal {
    /// The folder of its socket.
    folder: PathBuf,
}

impl Terminal {
    /// Has a shell run this line, with the variables and the folder of `prepared`, which itself is not started.
    pub fn open(prepared: &Command, columns: usize, line: &str) -> Self {
        let folder = prepared.get_current_dir().unwrap().to_owned();
        let config = folder.join("tmux.conf");
        std::fs::write(&config, "set -g status off\nset -sg escape-time 0\n").unwrap();
        let terminal = Self { folder };
        let mut command = terminal.tmux();
        let variables = prepared.get_envs();
        command
            .envs(variables.filter_map(|(name, value)| Some((name, value?))))
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh");
        let columns = columns.to_string();
        command.args(["new-session", "-d", "-x", &columns, "-y", "24", line]);
        let output = command.output().expect("tmux is installed");
        assert!(output.status.success(), "{output:?}");
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", crate::checkers::PATH)
            .env("LC_ALL", "C.UTF-8")
            .args(["-u", "-f", "tmux.conf", "-S", "tmux.socket"]);
        command
    }

    fn output_of(&self, arguments: &[&str]) -> String {
        let output = self.tmux().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The text on the screen.
    pub fn screen(&self) -> String {
        self.output_of(&["capture-pane", "-p"])
    }

    /// All lines that were ever written and not replaced; a line that the terminal has wrapped is one line.
    pub fn history(&self) -> String {
        self.output_of(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// Waits until `is_so`, and returns the screen then.
    #[track_caller]
    pub fn once(&self, is_so: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + TIMEOUT;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the screen contains this text, and returns the screen.
    #[track_caller]
    pub fn once_it_says(&self, text: &str) -> String {
        self.once(|screen| screen.contains(text))
    }

    /// Types this text literally.
    pub fn types(&self, text: &str) {
        self.output_of(&["send-keys", "-l", text]);
    }

    /// Presses a key by tmux's name of it, as `Enter`, `Tab`, `C-c`.
    pub fn presses(&self, key: &str) {
        self.output_of(&["send-keys", key]);
    }

    /// Makes it narrower or wider.
    pub fn resize(&self, columns: usize) {
        self.output_of(&["resize-window", "-x", &columns.to_string()]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The programs in it get a SIGHUP.
        let _ = self.tmux().arg("kill-server").output();
    }
}

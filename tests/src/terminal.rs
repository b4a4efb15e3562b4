//! [`Terminal`]: a terminal in which a program runs, whose screen is looked at and on which is typed. It is tmux.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal of 24 rows. Its history holds all that has left the screen. It ends with this.
pub struct Terminal {
    /// Where its socket is.
    folder: PathBuf,
}

impl Terminal {
    /// Has a shell run this line, with the variables and in the folder that a command was given, which is not started.
    pub fn open(dressed: &Command, columns: usize, line: &str) -> Self {
        let folder = dressed.get_current_dir().unwrap().to_owned();
        let config = folder.join("tmux.conf");
        std::fs::write(&config, "set -g status off\nset -sg escape-time 0\n").unwrap();
        let terminal = Self { folder };
        let mut command = terminal.tmux();
        let variables = dressed.get_envs();
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

    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.tmux().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// All that was ever written and not over again; lines that the terminal has broken are whole.
    pub fn history(&self) -> String {
        self.ask(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// The screen as soon as it is so.
    #[track_caller]
    pub fn once(&self, is_so: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The screen as soon as this stands on it.
    #[track_caller]
    pub fn once_it_says(&self, text: &str) -> String {
        self.once(|screen| screen.contains(text))
    }

    /// Types this as it is.
    pub fn types(&self, text: &str) {
        self.ask(&["send-keys", "-l", text]);
    }

    /// Presses a key by tmux's name of it, as `Enter`, `Tab`, `C-c`.
    pub fn presses(&self, key: &str) {
        self.ask(&["send-keys", key]);
    }

    /// Makes it narrower or wider.
    pub fn resize(&self, columns: usize) {
        self.ask(&["resize-window", "-x", &columns.to_string()]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What runs in it gets a hang-up.
        let _ = self.tmux().arg("kill-server").output();
    }
}

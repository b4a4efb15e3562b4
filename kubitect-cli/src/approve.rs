//! Asks a person for a yes. Without a terminal the answer is no.

use std::io::{BufRead, IsTerminal, Write};

use crate::failure::Failure;

/// Whether the person at the terminal says yes to `question`.
pub fn ask(question: &str) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Declined(
            "there is no terminal to ask on, so the answer is no; --auto-approve says yes".into(),
        ));
    }
    let mut stderr = std::io::stderr();
    let mut answer = String::new();
    write!(stderr, "{question} Only `yes` is a yes: ")
        .and_then(|()| stderr.flush())
        .and_then(|()| stdin.lock().read_line(&mut answer))
        .map_err(|e| Failure::because("ask on the terminal", e))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::Declined("nothing was changed".into()))
    }
}

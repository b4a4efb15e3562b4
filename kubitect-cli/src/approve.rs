//! Asks a person for approval. Without a terminal the answer is no.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};

use crate::failure::Failure;

/// A question to a person.
pub struct Question<'a> {
    /// The question, a sentence.
    pub text: &'a str,
    /// The only answer that is a yes.
    pub yes: &'a str,
    /// Whether stdin is read already, as the configuration: then the terminal itself is asked.
    pub stdin_is_read: bool,
}

impl<'a> Question<'a> {
    /// A question that `yes` answers.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            yes: "yes",
            stdin_is_read: false,
        }
    }

    /// The same for a change that loses data: the answer is the cluster's name, which nobody types by habit.
    pub fn of_loss(self, cluster: &'a str) -> Self {
        Self {
            yes: cluster,
            ..self
        }
    }
}

/// A failure unless the person at the terminal says yes.
pub fn ask(question: &Question<'_>) -> Result<(), Failure> {
    let none = || {
        Failure::Declined(
            "there is no terminal to ask on, so the answer is no; --auto-approve says yes".into(),
        )
    };
    let stdin = std::io::stdin();
    let (mut from, mut to): (Box<dyn BufRead>, Box<dyn Write>) = if stdin.is_terminal() {
        (Box::new(stdin.lock()), Box::new(std::io::stderr()))
    } else if question.stdin_is_read {
        let terminal = File::options().read(true).write(true).open("/dev/tty");
        let terminal = terminal.map_err(|_| none())?;
        let from = terminal
            .try_clone()
            .map_err(|e| Failure::because("ask on the terminal", e))?;
        (Box::new(BufReader::new(from)), Box::new(terminal))
    } else {
        return Err(none());
    };
    let text = format!("{} Only `{}` is a yes:", question.text, question.yes);
    match answer(&text, &mut from, &mut to)? == question.yes {
        true => Ok(()),
        false => Err(Failure::Declined("nothing was changed".into())),
    }
}

/// What the person answers to a question, in a line.
pub fn answer(
    question: &str,
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> Result<String, Failure> {
    let mut answer = String::new();
    let length = write!(to, "{question} ")
        .and_then(|()| to.flush())
        .and_then(|()| from.read_line(&mut answer))
        .map_err(|e| Failure::because("ask on the terminal", e))?;
    match length {
        0 => Err(Failure::Declined(
            "the terminal ended without an answer; nothing was changed".into(),
        )),
        _ => Ok(answer.trim().to_owned()),
    }
}

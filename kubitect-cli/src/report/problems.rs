//! Problems of a configuration file, with an excerpt each, on stderr.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use kubitect_config::{Excerpt, Problem, Severity, text};

use super::plans::{fitted, width};

/// The most characters of a line of the file that are shown where there is no terminal.
const LONGEST: usize = 140;

static COLOR: AtomicBool = AtomicBool::new(true);

/// Allows or forbids colours on terminals; one that can't show them gets none.
pub fn set_color(allowed: bool) {
    let is_able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    COLOR.store(allowed && is_able, Ordering::Relaxed);
}

/// Whether terminals get colours.
pub fn colors() -> bool {
    COLOR.load(Ordering::Relaxed)
}

/// Shows each problem of a file with this text.
pub fn problems(problems: &[Problem], text: &str) {
    let renderer = match colors() && std::io::stderr().is_terminal() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let width = width(&std::io::stderr());
    let renderer = renderer.term_width(width.unwrap_or(LONGEST));
    for problem in problems {
        // A failure can't be shown where stderr is closed.
        let _ = writeln!(
            std::io::stderr(),
            "{}\n",
            sentences(&render(problem, text, &renderer), width)
        );
    }
}

/// Shows a failure of a command, or of a part of it, on stderr.
pub fn failure(failure: &impl std::fmt::Display) {
    hint(&format!("kubitect: {failure}"));
}

/// Shows sentences on stderr, as a hint beside a result.
pub fn hint(text: &str) {
    let text = fitted(&text::lines(text), &std::io::stderr());
    // A failure can't be shown where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A rendered problem with its sentences wrapped to this width. The lines of the file between them are cut already.
fn sentences(rendered: &str, width: Option<usize>) -> String {
    let lines = rendered.split('\n').map(|line| {
        let is_sentence = text::lines(line).starts_with(|c: char| c.is_ascii_alphabetic());
        match width.filter(|_| is_sentence) {
            Some(width) => text::wrapped(line, width, 4),
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn render(problem: &Problem, content: &str, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let Excerpt {
        text: source,
        line,
        span,
    } = problem.excerpt(content);
    let (file, help) = (text::line(&problem.file), text::lines(&problem.help));
    let place = match problem.path.as_str() {
        "" => String::new(),
        path => format!("{path}: "),
    };
    renderer.render(&[
        level
            .primary_title(text::lines(&format!("{place}{}", problem.message)))
            .id(problem.code)
            .element(
                Snippet::source(source)
                    .path(file.as_str())
                    .line_start(line)
                    .annotation(AnnotationKind::Primary.span(span)),
            ),
        Group::with_title(Level::HELP.secondary_title(help.as_str())),
    ])
}

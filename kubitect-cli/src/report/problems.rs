//! Problems of a configuration file, with an excerpt each, on stderr.

use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use kubitect_config::{Problem, Severity, address, text};

use super::plans::fitted;

static COLOR: AtomicBool = AtomicBool::new(true);

/// Colours are used on terminals if they are allowed.
pub fn set_color(allowed: bool) {
    let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    COLOR.store(allowed && able, Ordering::Relaxed);
}

/// Whether terminals may be given colours.
pub fn colors() -> bool {
    COLOR.load(Ordering::Relaxed)
}

/// Shows each problem of a file with this text.
pub fn problems(problems: &[Problem], text: &str) {
    let renderer = match colors() && std::io::stderr().is_terminal() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    for problem in problems {
        // Nowhere to tell that stderr is gone.
        let _ = writeln!(std::io::stderr(), "{}\n", render(problem, text, &renderer));
    }
}

/// Says what ended a command early, or a part of it.
pub fn failure(failure: &impl std::fmt::Display) {
    let failure = text::lines(&failure.to_string());
    let failure = fitted(&failure, &std::io::stderr());
    // Nowhere to tell that stderr is gone.
    let _ = writeln!(std::io::stderr(), "kubitect: {failure}");
}

/// Says what a person may want to know beside a result, on stderr.
pub fn hint(text: &str) {
    let text = fitted(text, &std::io::stderr());
    // Nowhere to tell that stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn render(problem: &Problem, content: &str, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (source, first_line, span) = excerpt(content, &problem.span);
    let source = text::in_place(&without_secrets(source));
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
                    .line_start(first_line)
                    .annotation(AnnotationKind::Primary.span(span)),
            ),
        Group::with_title(Level::HELP.secondary_title(help.as_str())),
    ])
}

/// The text with the secrets of the addresses in it starred out, in as many bytes.
fn without_secrets(text: &str) -> String {
    let mut text = text.to_owned();
    for secret in address::secrets(&text) {
        text.replace_range(secret.clone(), &"*".repeat(secret.len()));
    }
    text
}

/// The lines that `span` (in bytes) touches, the number of the first, and the span within them: a file can be large
/// and its problems many.
fn excerpt<'a>(text: &'a str, span: &Range<usize>) -> (&'a str, usize, Range<usize>) {
    let floor = |at: usize| {
        let at = at.min(text.len());
        (0..=at)
            .rev()
            .find(|&i| text.is_char_boundary(i))
            .unwrap_or(0)
    };
    let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    // A whole section may be the value: its first line shows which.
    let to = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[..from].matches('\n').count() + 1;
    (
        &text[from..to],
        line,
        start - from..end.min(to).max(start) - from,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_no_token() {
        assert_eq!(
            without_secrets("url: https://TOKÉN@git.example/x # https://h/y"),
            "url: https://******@git.example/x # https://h/y"
        );
    }

    #[test]
    fn an_excerpt_is_the_line_of_the_value() {
        assert_eq!(
            excerpt("a: 1\nbé: two\nc: 3\n", &(10..13)),
            ("bé: two", 2, 5..8)
        );
        assert_eq!(excerpt("", &(0..0)), ("", 1, 0..0));
        assert_eq!(excerpt("a", &(7..9)), ("a", 1, 1..1));
    }
}

//! Templates: layout only. An unknown name in one is an error, never an empty text.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::Error;

/// The text of a template with these values.
///
/// Nothing is escaped, because neither HAProxy nor keepalived has an escape that fits everywhere. Instead every value is of
/// a type whose text can't end a word: labels, addresses, numbers, an interface's name and our own constants.
pub(crate) fn render(
    name: &'static str,
    source: &str,
    values: impl Serialize,
) -> Result<String, Error> {
    let failed = |source| Error::Template { name, source };
    // A line that holds only a statement leaves no empty line.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(failed)?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
        .render_named_str(name, source, Value::from(Serde(values)))
        .map_err(failed)
}

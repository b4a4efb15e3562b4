//! Makes text from outside (of a guest, of Ansible, of a file) safe for a terminal and a log.
//!
//! Control characters, C1 included, control a terminal; characters that change the direction of writing or have no width make
//! a line look like another one. All of them are written as escapes (`\u{1b}`), so that a person still sees which they were.

/// The most characters of one line from outside that are shown. The line of a failed task may have some thousand, and its cause
/// is at the end.
const LINE: usize = 4000;

/// Whether a character is unsafe: it controls the terminal, is invisible, or changes how other characters are shown.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, the Arabic letter mark, no-width and direction marks.
            '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            // Ends of line and paragraph; embeddings, overrides and isolates of direction; invisible operators.
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // An invisible joiner, fillers, vowels and a letter; and selectors that only vary the character before.
            | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // The byte order mark, annotations, and tags and variations that can spell hidden text.
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text as one safe line of at most 4,000 characters. Line ends are escaped, too, so that no text can forge a line of
/// Kubitect's.
pub fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(2 * LINE));
    for (index, c) in uncoloured(text.trim_end()).enumerate() {
        if index == LINE {
            clean.push('…');
            break;
        }
        push(&mut clean, c);
    }
    clean
}

/// The text as safe lines: line ends stay, tabs become blanks.
pub fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = uncoloured(text).peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' => clean.push('\n'),
            // The line end of Windows, which some programs also write to terminals.
            '\r' if rest.peek() == Some(&'\n') => {}
            c => push(&mut clean, c),
        }
    }
    clean
}

/// The first two of several sentences, and the number of the others.
pub fn few(sentences: &[String]) -> String {
    let (first, rest) = sentences.split_at(sentences.len().min(2));
    let first = first.join("; ");
    match rest.len() {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// One line wrapped to lines of at most `width` characters: at blanks, with all but the first indented. A longer word, as a path,
/// is not broken, so that it can be copied. Colours have no width.
pub fn wrapped(line: &str, width: usize, indent: usize) -> String {
    let mut text = String::new();
    let (mut used, mut blanks) = (0, 0);
    for word in line.split(' ') {
        let length = uncoloured(word).count();
        if used + blanks + length > width && used > indent {
            text += &format!("\n{}", " ".repeat(indent));
            (used, blanks) = (indent, 0);
        }
        text += &" ".repeat(blanks);
        text += word;
        used += blanks + length;
        blanks = 1;
    }
    text
}

/// A JSON document in which unsafe characters are escaped as in JSON. They can only be in strings.
pub fn json(document: &str) -> String {
    let mut clean = String::with_capacity(document.len());
    for c in document.chars() {
        match c {
            c if is_unsafe(c) && (!c.is_ascii() || c == '\u{7f}') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    clean.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => clean.push(c),
        }
    }
    clean
}

/// The text with each unsafe character replaced by as many bytes of `?`, so that byte positions in an excerpt stay right.
pub fn in_place(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unsafe(c) && !matches!(c, '\n' | '\t') {
            true => clean.extend(std::iter::repeat_n('?', c.len_utf8())),
            false => clean.push(c),
        }
    }
    clean
}

/// The characters without the sequences that set colours (`ESC [ 0 ; 3 1 m`), which many programs write.
fn uncoloured(text: &str) -> impl Iterator<Item = char> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some(sequence) = rest.strip_prefix("\u{1b}[") {
            let after = sequence.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            match after.strip_prefix('m') {
                Some(after) => rest = after,
                None => break,
            }
        }
        let mut characters = rest.chars();
        let c = characters.next();
        rest = characters.as_str();
        c
    })
}

/// Appends a character: a tab as a blank, an unsafe one as an escape.
fn push(clean: &mut String, c: char) {
    match c {
        '\t' => clean.push(' '),
        c if is_unsafe(c) => clean.extend(c.escape_default()),
        c => clean.push(c),
    }
}

/// A path as one quoted word of a shell command, for commands that people copy.
pub fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// The text as one safe line, in which line ends are blanks.
pub fn sentence(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    line(&lines.join(" "))
}

/// The possible word that a misspelt one probably means.
pub fn nearest<'k>(word: &str, possible: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    possible
        .map(|candidate| {
            let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| {
            let long = candidate.chars().count();
            // Two short words that share only half of their letters are different words.
            *distance <= 1 + long / 4 && 2 * distance < long.max(lower.chars().count())
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean" with the possible word that is nearest, as the end of a sentence; empty if none is near.
pub fn did_you_mean<'k>(word: &str, possible: impl Iterator<Item = &'k str>) -> String {
    nearest(word, possible).map_or_else(String::new, or_rather)
}

/// "did you mean" with this word, as the end of a sentence.
pub fn or_rather(guess: &str) -> String {
    format!("; did you mean `{guess}`?")
}

/// A key as a step of a path. A key that is not a plain word is quoted, so that it stays one step: `labels["example.com/x"]`.
pub(crate) fn step(separator: &str, key: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !key.is_empty() && key.chars().all(word) {
        format!("{separator}{key}")
    } else {
        format!("[{key:?}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_sentences_the_first_are_named() {
        let all: Vec<_> = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(few(&all[..2]), "a; b");
        assert_eq!(few(&all), "a; b; and 2 more");
    }

    #[test]
    fn lines_are_broken_at_blanks_and_words_stay_whole() {
        assert_eq!(wrapped("  + a  bb ccc", 80, 4), "  + a  bb ccc");
        assert_eq!(wrapped("  + a  bb ccc", 9, 4), "  + a  bb\n    ccc");
        assert_eq!(
            wrapped("log: /a/long/path x", 8, 2),
            "log:\n  /a/long/path\n  x"
        );
        assert_eq!(wrapped("", 8, 2), "");
    }
    use proptest::prelude::*;

    #[test]
    fn nothing_controls_a_terminal_or_forges_a_line() {
        assert_eq!(
            line(
                "\u{1b}[0;31ma\u{1b}[m\u{1b}[2J\u{9b}2J\r\nnode b is Ready\tx\u{202e}\u{2066}\u{200b}é\n"
            ),
            "a\\u{1b}[2J\\u{9b}2J\\r\\nnode b is Ready x\\u{202e}\\u{2066}\\u{200b}é"
        );
        assert_eq!(lines("a\tb\r\nc\rd\u{7}\n"), "a b\nc\\rd\\u{7}\n");
    }

    #[test]
    fn a_line_is_short() {
        let long = line(&"é".repeat(1 << 20));
        assert_eq!(long.chars().count(), LINE + 1);
        assert!(long.ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_text_is_unsafe(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(is_unsafe));
            prop_assert!(!lines(&text).chars().any(|c| c != '\n' && is_unsafe(c)));
            prop_assert_eq!(lines(&lines(&text)), lines(&text));
            prop_assert_eq!(in_place(&text).len(), text.len());
            let document = json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!document.chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&document).unwrap(), text);
        }
    }
}

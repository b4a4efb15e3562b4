//! Text that is not ours (a guest's, Ansible's, a file's), made fit for a terminal and a log.
//!
//! Control characters, C1 included, steer a terminal; characters that turn the direction of writing or have no width make
//! a line look like another one. All of them are written as escapes (`\u{1b}`), so that what was there can still be seen.

/// The most characters of one line of somebody else's that are shown: a failed task tells its cause at the end of some thousand.
const LINE: usize = 4000;

/// Whether a character does something other than stand where it is written.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, the Arabic letter mark, no-width and direction marks.
            '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            // Ends of line and paragraph; embeddings, overrides and isolates of direction; invisible operators.
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // A joiner, fillers, vowels and a letter that nobody sees, and what only varies the character before.
            | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // The byte order mark, annotations, tags and variations that spell hidden text.
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// As one line of at most 4,000 characters: ends of lines are escapes, too, so that nobody forges a line of ours.
pub fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(2 * LINE));
    for (at, c) in uncoloured(text.trim_end()).enumerate() {
        if at == LINE {
            clean.push('…');
            break;
        }
        push(&mut clean, c);
    }
    clean
}

/// As lines: their ends stay, tabs become blanks.
pub fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = uncoloured(text).peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' => clean.push('\n'),
            // Programs that write for Windows, and for terminals.
            '\r' if rest.peek() == Some(&'\n') => {}
            c => push(&mut clean, c),
        }
    }
    clean
}

/// The first of several sentences, and how many more there are.
pub fn few(sentences: &[String]) -> String {
    let (first, rest) = sentences.split_at(sentences.len().min(2));
    let first = first.join("; ");
    match rest.len() {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// One line as lines of at most `width` characters: broken at blanks, and what follows set in. A word that is longer, as a path, is
/// left whole, so that it can be copied. Colours take no room.
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

/// A JSON document in which what acts is escaped as JSON has it: outside of strings there is none.
pub fn json(document: &str) -> String {
    let mut clean = String::with_capacity(document.len());
    for c in document.chars() {
        match c {
            c if acts(c) && (!c.is_ascii() || c == '\u{7f}') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    clean.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => clean.push(c),
        }
    }
    clean
}

/// The same text with what acts replaced by as many bytes of `?`: for excerpts, in which places are counted.
pub fn in_place(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match acts(c) && !matches!(c, '\n' | '\t') {
            true => clean.extend(std::iter::repeat_n('?', c.len_utf8())),
            false => clean.push(c),
        }
    }
    clean
}

/// Without the sequences that only set colours (`ESC [ 0 ; 3 1 m`): many programs write them.
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

fn push(clean: &mut String, c: char) {
    match c {
        '\t' => clean.push(' '),
        c if acts(c) => clean.extend(c.escape_default()),
        c => clean.push(c),
    }
}

/// A path as one word of a shell's line, for commands that people copy.
pub fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// As one line, whatever lines it has.
pub fn sentence(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    line(&lines.join(" "))
}

/// What was probably meant, of those that are possible.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .map(|candidate| {
            let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| {
            let long = candidate.chars().count();
            // Of two short words that share half of their letters, neither is meant by the other.
            *distance <= 1 + long / 4 && 2 * distance < long.max(lower.chars().count())
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// What was probably meant, as the end of a sentence; nothing, where nothing is like it.
pub fn did_you_mean<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    nearest(word, known).map_or_else(String::new, or_rather)
}

/// That this was probably meant, as the end of a sentence.
pub fn or_rather(guess: &str) -> String {
    format!("; did you mean `{guess}`?")
}

/// A key in a path. One with dots or worse stays one step: `labels["example.com/x"]`.
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
    fn nothing_steers_a_terminal_or_forges_a_line() {
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
        fn no_text_acts(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(acts));
            prop_assert!(!lines(&text).chars().any(|c| c != '\n' && acts(c)));
            prop_assert_eq!(lines(&lines(&text)), lines(&text));
            prop_assert_eq!(in_place(&text).len(), text.len());
            let document = json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!document.chars().any(acts));
            prop_assert_eq!(serde_json::from_str::<String>(&document).unwrap(), text);
        }
    }
}

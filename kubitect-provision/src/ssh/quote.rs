//! The one place where arguments become a command line for a remote shell: SSH's protocol sends only one string.

/// The line that a POSIX shell splits into exactly these words; none if there are no words, or one contains a NUL, which no
/// argument can.
pub fn line(argv: &[&str]) -> Option<String> {
    if argv.is_empty() || argv.iter().any(|word| word.contains('\0')) {
        return None;
    }
    Some(
        argv.iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// The word in single quotes, inside which a POSIX shell reads everything but the single quote as it is. Every word is
/// quoted, also harmless ones: so none is an alias, a keyword, an assignment or a pattern.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// What a real shell makes of the line: its words, each ended by a NUL.
    fn split_by_shell(line: &str) -> Vec<u8> {
        let output = Command::new("sh")
            .args(["-c", &format!("printf '%s\\0' {line}")])
            .env("VAR", "expanded")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    fn with_nuls(words: &[&str]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|w| [w.as_bytes(), b"\0"].concat())
            .collect()
    }

    #[test]
    fn words_are_always_quoted() {
        assert_eq!(
            line(&["if", "a b", "it's"]).unwrap(),
            r"'if' 'a b' 'it'\''s'"
        );
    }

    #[test]
    fn what_a_shell_might_expand_arrives_as_it_is() {
        let words = [
            "",
            " ",
            "$VAR",
            "`id`",
            "$(id)",
            "*",
            "~",
            "a;b",
            "a&&b",
            "a|b",
            ">x",
            "'",
            "''",
            "\\",
            "\\'",
            "\"",
            "!!",
            "\n",
            "\t",
            "X=1",
            "-n",
            "--",
            "#c",
            "{a,b}",
            "é€😀",
        ];
        assert_eq!(split_by_shell(&line(&words).unwrap()), with_nuls(&words));
    }

    #[test]
    fn a_nul_or_no_word_is_refused() {
        assert_eq!(line(&["a\0b"]), None);
        assert_eq!(line(&[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_words_arrive_as_they_are(words in prop::collection::vec("[^\0]{0,12}", 1..5)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            prop_assert_eq!(split_by_shell(&line(&words).unwrap()), with_nuls(&words));
        }
    }
}

//! The colours of a plan's lines on a terminal.

/// The text with each line's sign in its colour, and `[data-loss]` in red.
pub fn painted(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let sign = line.chars().nth(2).filter(|_| line.starts_with("  "));
        let color = match sign {
            Some('+') => 32,
            Some('~') => 33,
            Some('±') => 35,
            Some('-') => 31,
            _ => return line.to_owned(),
        };
        let rest: String = line.chars().skip(3).collect();
        let rest = rest.replace("[data-loss]", "\x1b[31m[data-loss]\x1b[0m");
        format!("  \x1b[{color}m{}\x1b[0m{rest}", sign.unwrap_or_default())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_have_colours_and_nothing_else_has() {
        let text = "  + a  [data-loss] x\n       - below\n  ± b\ndemo: 1 to add\n";
        assert_eq!(
            painted(text),
            "  \x1b[32m+\x1b[0m a  \x1b[31m[data-loss]\x1b[0m x\n       - below\n  \x1b[35m±\x1b[0m b\ndemo: 1 to add\n"
        );
    }
}

//! [`Block`]: the last lines on a terminal, which are redrawn when they change. It gives the text that draws them, and writes
//! nothing.
//!
//! Each line is shorter than a row of the terminal, so that none wraps. The cursor stays in the row below, where the output of
//! others (the `^C` that a terminal shows, the prompt after a kill) damages no line. If the terminal was made narrower since, it
//! has wrapped the lines into more rows, which are counted. A few terminals cut lines off instead: there, as many rows above the
//! block are lost.

use unicode_width::UnicodeWidthChar;

/// The least columns and rows that are assumed, however small the terminal is.
const LEAST: usize = 8;
/// Clears a row. Each row is cleared by itself, for two reasons: then a terminal no longer joins a wrapped line when it is made
/// wider; and some terminals move the whole screen into their history if it is cleared at once.
const CLEAR: &str = "\x1b[2K";

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: usize,
    /// Rows on the screen.
    pub rows: usize,
}

/// The lines that were drawn last.
#[derive(Debug, Default)]
pub struct Block {
    drawn: Vec<String>,
    columns: usize,
}

impl Block {
    /// The text that replaces the drawn lines: by `above`, which stays, and by the new lines below it, each cut to the terminal's
    /// width. Empty if nothing changes.
    pub fn draw(&mut self, above: &str, lines: &[String], size: Size) -> String {
        let (columns, rows) = (size.columns.max(LEAST), size.rows.max(LEAST));
        // Only lines that fit on the screen: a line that has scrolled off can't be redrawn.
        let lines = lines.iter().take(rows - 2);
        let lines: Vec<_> = lines.map(|line| cut(line, columns - 1)).collect();
        if above.is_empty() && lines == self.drawn && columns == self.columns {
            return String::new();
        }
        let mut text = format!("\r{CLEAR}");
        if let up @ 1.. = self.rows(columns) {
            let back = format!("\x1b[{up}A");
            text += &format!("{back}{}{back}", format!("{CLEAR}\n").repeat(up));
        }
        for line in above.lines().chain(lines.iter().map(String::as_str)) {
            text += line;
            text.push('\n');
        }
        (self.drawn, self.columns) = (lines, columns);
        text
    }

    /// The number of rows that the drawn lines take on a terminal of this width.
    fn rows(&self, columns: usize) -> usize {
        let rows = self.drawn.iter().map(|line| width(line).div_ceil(columns));
        rows.map(|rows| rows.max(1)).sum()
    }
}

fn width(line: &str) -> usize {
    line.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The line; if it is too long, its beginning with an ellipsis.
fn cut(line: &str, columns: usize) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let mut used = 0;
    let beginning = line.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used < columns
    });
    beginning.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        columns: 20,
        rows: 24,
    };

    fn draw(block: &mut Block, above: &str, lines: &[&str], size: Size) -> String {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        block.draw(above, &lines, size)
    }

    #[test]
    fn lines_are_drawn_over_and_text_stays_above_them() {
        let mut block = Block::default();
        let first = draw(&mut block, "", &["one", "two"], SIZE);
        assert_eq!(first, "\r\x1b[2Kone\ntwo\n");
        assert_eq!(draw(&mut block, "", &["one", "two"], SIZE), "");
        let back = "\r\x1b[2K\x1b[2A\x1b[2K\n\x1b[2K\n\x1b[2A";
        let above = draw(&mut block, "done\n", &["one", "two"], SIZE);
        assert_eq!(above, format!("{back}done\none\ntwo\n"));
        assert_eq!(draw(&mut block, "", &[], SIZE), back);
        assert_eq!(draw(&mut block, "a\n", &[], SIZE), "\r\x1b[2Ka\n");
    }

    #[test]
    fn no_line_is_as_wide_as_the_terminal_and_broken_ones_are_counted() {
        let mut block = Block::default();
        let wide = "0123456789012345678901234";
        let text = draw(&mut block, "", &[wide, "漢字漢字漢字漢字漢字"], SIZE);
        assert_eq!(text, "\r\x1b[2K012345678901234567…\n漢字漢字漢字漢字漢…\n");
        let narrow = Size { columns: 8, ..SIZE };
        let text = draw(&mut block, "", &["x"], narrow);
        assert!(text.starts_with("\r\x1b[2K\x1b[6A\x1b[2K\n"), "{text:?}");
        assert!(text.ends_with("\x1b[2K\n\x1b[6Ax\n"), "{text:?}");
        // Lines that do not fit on the screen are left out.
        let low = Size { rows: 9, ..SIZE };
        let text = draw(&mut block, "", &["l"; 20], low);
        assert_eq!(text.matches('l').count(), 7);
    }
}

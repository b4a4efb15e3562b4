//! [`Block`]: lines at the end of a terminal that are redrawn when they change.

use std::io::{self, Write};

use kubitect_config::block::{self, Size};
use rustix::termios::tcgetwinsize;

/// The lines that stand at the end of stderr now.
#[derive(Debug, Default)]
pub struct Block {
    drawn: block::Block,
    lines: Vec<String>,
}

impl Block {
    /// Shows these lines, and no others.
    pub fn show(&mut self, lines: Vec<String>) {
        self.lines = lines;
        self.print("");
    }

    /// Writes permanent text above the lines.
    pub fn print(&mut self, text: &str) {
        let size = tcgetwinsize(io::stderr()).ok();
        let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let size = size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
        let (columns, rows) = size;
        let text = self.drawn.draw(text, &self.lines, Size { columns, rows });
        // A failure can't be shown where stderr is closed; the work goes on.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

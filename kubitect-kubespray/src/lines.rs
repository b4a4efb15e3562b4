//! [`Lines`]: a stream as lines of bounded length; and such lines, clean, into a log.

use std::fs::File;
use std::io::{self, Write};

use kubitect_config::text;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is read, in bytes; what is longer is cut.
const MOST: usize = 1 << 20;

/// A stream as lines. What [`Lines::next`] has read is not lost when it is cancelled.
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<BufReader<R>> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            reader: BufReader::new(stream),
            line: Vec::new(),
        }
    }
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next line, without its end; what is no text in it is replaced.
    pub(crate) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((!self.line.is_empty()).then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = MOST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let read = part.len() + usize::from(end.is_some());
            self.reader.consume(read);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        line
    }
}

/// Copies a stream into a log to its end: guests' words are in it, and whoever looks at a log has a terminal.
pub(crate) async fn into_log(stream: impl AsyncRead + Unpin, mut log: File) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next().await? {
        let line = line.trim_end_matches('\r');
        log.write_all((text::lines(line) + "\n").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_have_a_limit_and_a_log_steers_no_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = vec![b'x'; 3 * MOST];
        let stream = [b"a\x1b[2Jb\r\n\xff\n", long.as_slice(), b"\nlast"].concat();
        into_log(stream.as_slice(), File::create(&path).unwrap())
            .await
            .unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["a\\u{1b}[2Jb", "\u{fffd}"]);
        assert_eq!(lines[2].len(), MOST);
        assert_eq!(lines[3], "last");
    }
}

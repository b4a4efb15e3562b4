//! [`Lines`]: reads a stream as lines of bounded length; and copies such lines into a log of bounded length.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use kubitect_config::text;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line, in bytes; a longer one is cut.
const MAX_LINE: usize = 1 << 20;

/// The longest log, in bytes, since machines could print without end. The log of 1,000 machines has a tenth of it.
const MAX_LOG: usize = 1 << 30;
/// How much of a log's end [`tail`] reads, in bytes.
const TAIL: u64 = 64 << 10;

/// A stream as lines. A cancelled [`Lines::next`] loses nothing that it has read.
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
    /// The next line, without its line end; bytes that are not UTF-8 are replaced.
    pub(crate) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((!self.line.is_empty()).then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = MAX_LINE.saturating_sub(self.line.len());
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

/// Copies a stream into a log, to its end. Control characters are escaped: machines' output is in it, and people read logs in a
/// terminal.
pub(crate) async fn into_log(stream: impl AsyncRead + Unpin, log: File) -> io::Result<()> {
    into_log_bounded(MAX_LOG, stream, log).await
}

/// As [`into_log`], with a limit in bytes. The rest is read and dropped, so that the writer does not block.
async fn into_log_bounded(
    limit: usize,
    stream: impl AsyncRead + Unpin,
    mut log: File,
) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    let mut remaining = Some(limit);
    while let Some(line) = lines.next().await? {
        let line = text::lines(line.trim_end_matches('\r')) + "\n";
        let Some(room) = remaining else { continue };
        remaining = room.checked_sub(line.len());
        log.write_all(match remaining {
            Some(_) => line.as_bytes(),
            None => b"(the rest is left out: this log is too long)\n",
        })?;
    }
    Ok(())
}

/// The last [`TAIL`] bytes of a log; empty if it can't be read.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let (mut file, mut bytes) = (File::open(log)?, Vec::new());
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_have_a_limit_and_a_log_steers_no_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = vec![b'x'; 3 * MAX_LINE];
        let stream = [b"a\x1b[2Jb\r\n\xff\n", long.as_slice(), b"\nlast"].concat();
        into_log(stream.as_slice(), File::create(&path).unwrap())
            .await
            .unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["a\\u{1b}[2Jb", "\u{fffd}"]);
        assert_eq!(lines[2].len(), MAX_LINE);
        assert_eq!(lines[3], "last");
    }

    #[tokio::test]
    async fn a_log_has_an_end_and_its_last_lines_are_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let stream = b"one\ntwo\nthree\nfour\n";
        let log = File::create(&path).unwrap();
        into_log_bounded(8, stream.as_slice(), log).await.unwrap();
        let text = "one\ntwo\n(the rest is left out: this log is too long)\n";
        assert_eq!(tail(&path), text);
        let long = "x".repeat(2 * TAIL as usize) + "\nlast\n";
        std::fs::write(&path, long).unwrap();
        let read = tail(&path);
        assert!(read.len() == TAIL as usize && read.ends_with("x\nlast\n"));
        assert_eq!(tail(&folder.path().join("none")), "");
    }
}

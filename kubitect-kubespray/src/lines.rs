//! [`Lines`]: a stream as lines of bounded length; and such lines, clean, into a log of bounded length.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use kubitect_config::text;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is read, in bytes; what is longer is cut.
const MOST: usize = 1 << 20;

/// The longest log, in bytes: machines can say what they like, for hours. That of 1,000 machines has a tenth of it.
const LOG: usize = 1 << 30;
/// How much of a log is read for its last lines, in bytes.
const END: u64 = 64 << 10;

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
pub(crate) async fn into_log(stream: impl AsyncRead + Unpin, log: File) -> io::Result<()> {
    into_log_of(LOG, stream, log).await
}

/// As [`into_log`], of at most so many bytes; what does not fit is read all the same, so that nobody waits.
async fn into_log_of(most: usize, stream: impl AsyncRead + Unpin, mut log: File) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    let mut left = Some(most);
    while let Some(line) = lines.next().await? {
        let line = text::lines(line.trim_end_matches('\r')) + "\n";
        let Some(room) = left else { continue };
        left = room.checked_sub(line.len());
        log.write_all(match left {
            Some(_) => line.as_bytes(),
            None => b"(the rest is left out: this log is too long)\n",
        })?;
    }
    Ok(())
}

/// The end of a log; nothing where it can't be read.
pub(crate) fn end(log: &Path) -> String {
    let end = || -> io::Result<Vec<u8>> {
        let (mut file, mut bytes) = (File::open(log)?, Vec::new());
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
        file.take(END).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&end().unwrap_or_default()).into_owned()
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

    #[tokio::test]
    async fn a_log_has_an_end_and_its_last_lines_are_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let stream = b"one\ntwo\nthree\nfour\n";
        let log = File::create(&path).unwrap();
        into_log_of(8, stream.as_slice(), log).await.unwrap();
        let text = "one\ntwo\n(the rest is left out: this log is too long)\n";
        assert_eq!(end(&path), text);
        let long = "x".repeat(2 * END as usize) + "\nlast\n";
        std::fs::write(&path, long).unwrap();
        let read = end(&path);
        assert!(read.len() == END as usize && read.ends_with("x\nlast\n"));
        assert_eq!(end(&folder.path().join("none")), "");
    }
}

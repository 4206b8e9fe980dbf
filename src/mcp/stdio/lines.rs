//! Lines from the client, of a bounded length.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, to be taken from [`Lines::line`].
    Line,
    /// A line above the limit, dropped.
    TooLong,
    /// The input ended.
    End,
}

/// Reads lines; a cancelled read loses nothing.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    limit: usize,
    /// The line was handed out; the next read starts a new one.
    taken: bool,
    /// A too long line was reported; its rest is being dropped.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Larger than most messages, so that one read brings many.
    const BUFFER: usize = 64 * 1024;

    pub(super) fn new(input: R, limit: usize) -> Self {
        let input = BufReader::with_capacity(Self::BUFFER, input);
        Self { input, line: Vec::new(), limit, taken: false, skipping: false }
    }

    /// The last line read, without its line end.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Reads the next line. A last line without a line end counts.
    pub(super) async fn next(&mut self) -> io::Result<Next> {
        if std::mem::take(&mut self.taken) {
            self.line.clear();
        }
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(self.ended());
            }
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let text = chunk.get(..newline.unwrap_or(chunk.len())).unwrap_or_default();
            let fits = self.line.len() + text.len() <= self.limit;
            if fits && !self.skipping {
                self.line.extend_from_slice(text);
            }
            let read = text.len() + usize::from(newline.is_some());
            self.input.consume(read);
            if let Some(next) = self.step(fits, newline.is_some()) {
                return Ok(next);
            }
        }
    }

    fn step(&mut self, fits: bool, line_ended: bool) -> Option<Next> {
        match (self.skipping, fits) {
            (true, _) => {
                self.skipping = !line_ended;
                None
            }
            (false, true) => {
                self.taken = line_ended;
                line_ended.then_some(Next::Line)
            }
            (false, false) => {
                self.line = Vec::new();
                self.skipping = !line_ended;
                Some(Next::TooLong)
            }
        }
    }

    fn ended(&mut self) -> Next {
        self.taken = !self.line.is_empty();
        if self.taken { Next::Line } else { Next::End }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &'static [u8], limit: usize) -> Vec<Result<String, Next>> {
        let mut lines = Lines::new(input, limit);
        let mut seen = Vec::new();
        loop {
            match lines.next().await.unwrap() {
                Next::Line => seen.push(Ok(String::from_utf8_lossy(lines.line()).into_owned())),
                Next::TooLong => seen.push(Err(Next::TooLong)),
                Next::End => return seen,
            }
        }
    }

    #[tokio::test]
    async fn lines_end_at_newlines_and_the_last_needs_none() {
        let seen = read(b"one\r\n\ntwo\nthree", 5).await;
        assert_eq!(seen, [Ok("one\r".into()), Ok(String::new()), Ok("two".into()), Ok("three".into())]);
    }

    #[tokio::test]
    async fn a_line_above_the_limit_is_reported_once_and_the_next_is_read() {
        let seen = read(b"123456\n12345\n1234567890\nx\n123456", 5).await;
        let long = || Err(Next::TooLong);
        assert_eq!(seen, [long(), Ok("12345".into()), long(), Ok("x".into()), long()]);
    }

    #[tokio::test]
    async fn a_cancelled_read_keeps_what_came() {
        use tokio::io::AsyncWriteExt;
        let (mut client, server) = tokio::io::duplex(64);
        let mut lines = Lines::new(server, 100);
        client.write_all(b"begin").await.unwrap();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), lines.next()).await.is_err());
        client.write_all(b" end\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Next::Line);
        assert_eq!(lines.line(), b"begin end");
    }
}

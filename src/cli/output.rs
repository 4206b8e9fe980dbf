//! Writing to the terminal, in colour where it has it.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::Exit;
use crate::model::hides;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const ACCENT: Style = AnsiColor::Cyan.on_default();

/// Characters in a line, where lines are broken for people to read.
pub(super) const WIDTH: usize = 100;

/// Writes one line to stdout; colours are dropped where it is no terminal.
///
/// # Errors
/// If nobody reads stdout any more.
pub(super) fn line(text: impl std::fmt::Display) -> Result<(), Exit> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| Exit::unavailable(format!("stdout: {e}")))
}

/// Writes text as it is; `false` if nobody reads stdout any more.
///
/// # Errors
/// If stdout fails in another way.
pub(super) fn raw(text: &str) -> Result<bool, Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Exit::unavailable(format!("stdout: {error}"))),
    }
}

/// Writes a value as readable JSON.
///
/// # Errors
/// If nobody reads stdout any more.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(value).map_err(Exit::unavailable)?;
    line(escaped(&text))
}

/// JSON in which whatever hides or moves text is written as an escape: it may come to a terminal.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Line ends stand between values only: within a text JSON escapes them by itself.
        if c == '\n' || !hides(c) {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Text in lines of at most [`WIDTH`] characters less `taken`, broken between words.
///
/// Line breaks and the indent of a line are kept; a word that is longer stays whole.
pub(super) fn wrapped(text: &str, taken: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrapped_line(line, WIDTH.saturating_sub(taken))).collect()
}

fn wrapped_line(line: &str, width: usize) -> Vec<String> {
    let indent = &line[..line.len() - line.trim_start().len()];
    let mut lines = vec![indent.to_owned()];
    for word in line.split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        if last.trim().is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines
}

/// Writes rows in columns as wide as their widest cell, under dimmed heads.
///
/// # Errors
/// If nobody reads stdout any more.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> Result<(), Exit> {
    let heads = heads.map(str::to_owned);
    let mut widths = [0; N];
    for row in std::iter::once(&heads).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let joined = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    line(styled(DIM, joined(&heads)))?;
    rows.iter().try_for_each(|row| line(joined(row)))
}

/// Text in a style.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_json_holds_no_character_that_hides_or_moves_text_and_means_the_same() {
        let value = serde_json::json!({"name": "a\u{202E}b\u{1b}[2J\u{9b}\u{7f}\u{E0041}\n山田"});
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.contains(r"a\u202eb\u001b[2J\u009b\u007f\udb40\udc41\n山田"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn lines_are_broken_between_words_and_keep_their_indent() {
        let words = "word ".repeat(40);
        let lines = wrapped(&format!("head\n  {words}"), 40);
        assert_eq!(lines[0], "head");
        assert!(lines[1..].iter().all(|l| l.starts_with("  word") && l.chars().count() <= 60));
        assert_eq!(lines.join(" ").split_whitespace().count(), 41);
        let long = "x".repeat(200);
        assert_eq!(wrapped(&long, 0), [long]);
    }
}

//! Writing to the terminal, in colour where it has it.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::Exit;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const ACCENT: Style = AnsiColor::Cyan.on_default();

/// Writes one line to stdout; colours are dropped where it is no terminal.
///
/// # Errors
/// If nobody reads stdout any more.
pub(super) fn line(text: impl std::fmt::Display) -> Result<(), Exit> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| Exit::unavailable(format!("stdout: {e}")))
}

/// Writes a value as readable JSON.
///
/// # Errors
/// If nobody reads stdout any more.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(value).map_err(Exit::unavailable)?;
    line(text)
}

/// Text in a style.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

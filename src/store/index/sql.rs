//! Statements on many rows at once.
//!
//! Both engines number their parameters, so a list of values is written out.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

/// `$from` to `$(from + count - 1)`, with commas between.
fn parameters(from: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 6);
    for n in from..from + count {
        let comma = if n == from { "" } else { "," };
        let _ = write!(text, "{comma}${n}");
    }
    text
}

/// A statement that ends in a list of `count` values, after `before` other parameters.
pub(super) fn among(head: &str, before: usize, count: usize) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{head} ({})", parameters(before + 1, count)))
}

/// An insert of `count` rows of `columns` values each.
pub(super) fn rows(head: &str, columns: usize, count: usize, tail: &str) -> AssertSqlSafe<String> {
    let rows: Vec<_> =
        (0..count).map(|row| format!("({})", parameters(1 + row * columns, columns))).collect();
    AssertSqlSafe(format!("{head} VALUES {} {tail}", rows.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through() {
        assert_eq!(
            among("SELECT 1 WHERE a = $1 AND b IN", 1, 3).0,
            "SELECT 1 WHERE a = $1 AND b IN ($2,$3,$4)"
        );
        assert_eq!(rows("INSERT INTO t (a, b)", 2, 2, "").0, "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) ");
    }
}

//! The chart of the calls to ZIA that are left: a bar for each limit that is in use.
//!
//! A table whose bars are drawn beside the words, so that it reads the same without them. The bars
//! are SVG with their widths as attributes: the pages' policy allows no style of an element's own.

use std::cmp::Ordering;

use maud::{Markup, html};

use super::time;
use crate::lifecycle::Budget;

/// A limit of which less is left is worth a look.
const LOW: u32 = 25;

/// The chart: the limits in use, the nearest to its end first, and the others behind a click.
pub(super) fn chart(budget: &[Budget]) -> Markup {
    let is_used = |line: &&Budget| line.remaining < line.limit;
    let endpoint_is_used =
        |line: &Budget| budget.iter().filter(is_used).any(|used| used.endpoint == line.endpoint);
    // A short window is over in a moment: it tells something only while it is in use.
    let (mut shown, rest): (Vec<_>, Vec<_>) =
        budget.iter().partition(|line| is_used(line) || (line.per == "hour" && endpoint_is_used(line)));
    shown.sort_by(|a, b| by_share(a, b));
    html! {
        section aria-labelledby="budget" {
            h2 #budget { "Calls to ZIA left" }
            @if shown.is_empty() { p.quiet { "No limit is in use: every call is left." } } @else {
                (bars(&shown, "Calls left of ZIA's limits, as this server counts them; the nearest to its end first"))
            }
            @if !rest.is_empty() {
                details {
                    summary { (more(rest.len())) }
                    (bars(&rest, "Limits of which no call was used"))
                }
            }
        }
    }
}

fn more(limits: usize) -> String {
    if limits == 1 {
        "1 more limit has all its calls".into()
    } else {
        format!("{limits} more limits have all their calls")
    }
}

/// The smaller share first; of equal ones the longer window, which takes longer to come back.
fn by_share(a: &Budget, b: &Budget) -> Ordering {
    let share = |one: &Budget, other: &Budget| u64::from(one.remaining) * u64::from(other.limit);
    let shares = share(a, b).cmp(&share(b, a));
    shares.then_with(|| rank(a).cmp(&rank(b))).then_with(|| a.endpoint.cmp(&b.endpoint))
}

fn rank(line: &Budget) -> u8 {
    match line.per.as_str() {
        "hour" => 0,
        "minute" => 1,
        _ => 2,
    }
}

/// What is left, in whole per cent; 0 only where nothing is.
fn percent(line: &Budget) -> u32 {
    if line.remaining == 0 || line.limit == 0 {
        return 0;
    }
    let share = u64::from(line.remaining) * 100 / u64::from(line.limit);
    u32::try_from(share).unwrap_or(100).clamp(1, 100)
}

fn bars(lines: &[&Budget], caption: &str) -> Markup {
    html! {
        table.budget role="table" {
            caption.hidden { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    th scope="col" role="columnheader" { "Endpoint" }
                    th scope="col" role="columnheader" { "Left" }
                    th scope="col" role="columnheader" { "More from" }
                }
            }
            tbody role="rowgroup" { @for line in lines { (row(line)) } }
        }
    }
}

fn row(line: &Budget) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { code { (line.endpoint) } " " span.quiet { (every(&line.per)) } }
            td.left role="cell" data-label="Left" {
                span.measure {
                    span.number { strong { (line.remaining) } " of " (line.limit) }
                    (bar(percent(line)))
                }
            }
            td role="cell" data-label="More from" {
                @if line.remaining < line.limit { (time(line.resets_at)) } @else { "now" }
            }
        }
    }
}

fn every(per: &str) -> String {
    format!("{} {per}", if per == "hour" { "an" } else { "a" })
}

/// A bar with marks at each quarter; the words beside it say the same.
fn bar(percent: u32) -> Markup {
    let kind = match percent {
        0 => "none",
        1..LOW => "low",
        _ => "plenty",
    };
    html! {
        svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.track width="100" height="10" {}
            rect class={ "level " (kind) } width=(percent) height="10" {}
            @for quarter in [25, 50, 75] { line.mark x1=(quarter) x2=(quarter) y1="0" y2="10" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn line(endpoint: &str, per: &str, limit: u32, remaining: u32) -> Budget {
        let resets_at = Timestamp::UNIX_EPOCH;
        Budget { endpoint: endpoint.into(), per: per.into(), limit, remaining, resets_at }
    }

    /// The endpoints of the chart and of what is behind the click, in order.
    fn endpoints(page: &str) -> Vec<Vec<String>> {
        let tables = page.split("<details>").map(|part| part.split("<code>").skip(1));
        tables.map(|rows| rows.filter_map(|row| row.split('<').next()).map(str::to_owned).collect()).collect()
    }

    #[test]
    fn the_limit_nearest_to_its_end_comes_first_and_unused_ones_are_behind_a_click() {
        let page = chart(&[
            line("GET /users/{id}", "hour", 1000, 999),
            line("GET /users", "minute", 10, 10),
            line("GET /users", "hour", 40, 1),
            line("GET /status", "second", 2, 0),
            line("GET /status", "hour", 1000, 1000),
            line("PUT /users/{id}", "hour", 1000, 1000),
        ]);
        let expected: [&[&str]; 2] = [
            &["GET /status", "GET /users", "GET /users/{id}", "GET /status"],
            &["GET /users", "PUT /users/{id}"],
        ];
        assert_eq!(endpoints(&page.into_string()), expected);
    }

    #[test]
    fn a_bar_is_as_long_as_what_is_left_and_nothing_has_a_style_of_its_own() {
        for (limit, remaining, percent, kind) in [
            (40, 0, 0, "none"),
            (1000, 1, 1, "low"),
            (40, 9, 22, "low"),
            (40, 10, 25, "plenty"),
            (4, 3, 75, "plenty"),
        ] {
            let page = chart(&[line("GET /users", "hour", limit, remaining)]).into_string();
            let bar = format!("class=\"level {kind}\" width=\"{percent}\"");
            assert!(page.contains(&bar), "{bar}: {page}");
            assert!(page.contains(&format!("<strong>{remaining}</strong> of {limit}")), "{page}");
            assert!(!page.contains("style=") && page.contains("aria-hidden=\"true\""), "{page}");
        }
    }

    #[test]
    fn without_any_call_made_every_limit_is_behind_the_click() {
        let page = chart(&[line("GET /users", "hour", 40, 40)]).into_string();
        assert!(page.contains("every call is left") && page.contains("1 more limit"), "{page}");
    }
}

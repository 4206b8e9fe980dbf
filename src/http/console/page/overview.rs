//! What a viewer sees first: what waits, what is not live, what was done, what is left.

use maud::{Markup, html};

use super::{Greeting, OVERVIEW, budget, frame_for, standing, time};
use crate::{
    lifecycle::{Budget, OperationLine, OperationPage},
    model::shown,
};

/// What is on it.
#[derive(Debug)]
pub(in crate::http::console) struct Overview {
    /// Operations that wait for a person.
    pub(in crate::http::console) waiting: Vec<OperationLine>,
    /// Operations that are applied and not live.
    pub(in crate::http::console) unactivated: Vec<OperationLine>,
    /// All operations, a page of them.
    pub(in crate::http::console) recent: OperationPage,
    /// Whether that is the newest page.
    pub(in crate::http::console) is_first: bool,
    /// Calls left; none where no tenant is at hand.
    pub(in crate::http::console) budget: Vec<Budget>,
}

/// The overview.
pub(in crate::http::console) fn overview(greeting: &Greeting, overview: &Overview) -> Markup {
    let body = html! {
        @if overview.is_first {
            (waiting(&overview.waiting))
            (unactivated(&overview.unactivated))
        }
        (recent(&overview.recent, overview.is_first))
        @if overview.is_first && !overview.budget.is_empty() { (budget::chart(&overview.budget)) }
    };
    frame_for(Some(greeting), OVERVIEW, &body)
}

fn waiting(lines: &[OperationLine]) -> Markup {
    html! {
        section aria-labelledby="waiting" {
            h2 #waiting { "Waiting for a person" @if !lines.is_empty() { " " span.count { (lines.len()) } } }
            @if lines.is_empty() { p.quiet { "Nothing waits." } }
            ul.cards {
                @for line in lines {
                    li {
                        a href={ "/console/" (line.operation_id) } { (what(line)) }
                        p.quiet {
                            "Asked for by " (shown(&line.requested_by))
                            @if let Some(until) = line.expires_at { ", open until " (time(until)) }
                        }
                    }
                }
            }
        }
    }
}

fn unactivated(lines: &[OperationLine]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="unactivated" {
                h2 #unactivated { "Applied, not active yet " span.count { (lines.len()) } }
                p.quiet {
                    "ZIA has these changes staged. They go live with the next activation of the tenant: "
                    code { "activate" } ", or an administrator in the portal."
                }
                ul.cards {
                    @for line in lines {
                        li { a href={ "/console/" (line.operation_id) } { (what(line)) } }
                    }
                }
            }
        }
    }
}

fn recent(page: &OperationPage, is_first: bool) -> Markup {
    html! {
        section aria-labelledby="recent" {
            h2 #recent { @if is_first { "Recent operations" } @else { "Older operations" } }
            @if page.lines.is_empty() { p.quiet { "None." } } @else {
                table.operations role="table" {
                    caption.hidden { "Operations, newest first" }
                    thead role="rowgroup" {
                        tr role="row" {
                            th scope="col" role="columnheader" { "What" }
                            th scope="col" role="columnheader" { "Outcome" }
                            th scope="col" role="columnheader" { "Asked for by" }
                        }
                    }
                    tbody role="rowgroup" { @for line in &page.lines { (row(line)) } }
                }
            }
            nav.pages aria-label="Pages of operations" {
                @if !is_first { a href="/console" { "Newest" } }
                @if let Some(next) = &page.next { a href={ "/console?before=" (next) } { "Older" } }
            }
        }
    }
}

fn row(line: &OperationLine) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { a href={ "/console/" (line.operation_id) } { (what(line)) } }
            td role="cell" data-label="Outcome" { (standing(line.outcome)) }
            td role="cell" data-label="Asked for by" { (shown(&line.requested_by)) }
        }
    }
}

/// What an operation does, in a few words.
fn what(line: &OperationLine) -> String {
    let several = line.count.map(|count| format!("{count} users"));
    let who = several.or_else(|| line.user.as_deref().map(shown)).unwrap_or_default();
    match line.tool.as_str() {
        "provision_user" => format!("Create {who}"),
        "update_user" => format!("Change {who}"),
        "deprovision_user" | "deprovision_users" => format!("Delete {who}"),
        "restore_user" => format!("Restore {who}"),
        "activate" => "Publish staged changes".into(),
        other => format!("{other} {who}"),
    }
}

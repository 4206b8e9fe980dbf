//! The pages themselves; every text in them is escaped.

use maud::{DOCTYPE, Markup, html};

use crate::{
    lifecycle::{Decided, Waiting},
    model::OperationId,
};

pub(super) fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · zia-mcp" }
                link rel="stylesheet" href="/console/style.css";
            }
            body {
                header { p { "zia-mcp" } }
                main { h1 { (title) } (body) }
                footer { p { "What is shown here comes from the server's own records, not from an assistant." } }
            }
        }
    }
}

pub(super) fn problem(why: Option<&str>) -> Markup {
    html! {
        @if let Some(why) = why { p.problem role="alert" { (why) } }
    }
}

/// Asks which operation is meant.
pub(super) fn front() -> Markup {
    frame(
        "Approvals",
        &html! {
            p { "An operation that waits for a person names its own address here." }
            form method="get" action="/console" {
                label for="operation" { "Operation" }
                input #operation name="operation" required placeholder="op_…" autocomplete="off" spellcheck="false";
                button { "Open" }
            }
        },
    )
}

/// Asks who it is, before anything is shown.
pub(super) fn sign_in(id: &OperationId, why: Option<&str>) -> Markup {
    frame(
        "Who are you?",
        &html! {
            (problem(why))
            p { "Operation " code { (id) } " is shown to enrolled approvers." }
            form method="post" action={ "/console/" (id) } {
                label for="approver" { "Your name as an approver" }
                input #approver name="approver" required autocomplete="username" maxlength="64";
                label for="code" { "One-time code" }
                input #code name="code" required inputmode="numeric" autocomplete="one-time-code" maxlength="16";
                button { "Show the operation" }
            }
            p.hint { "The code is the one that your authenticator app shows for zia-mcp. Each counts once." }
        },
    )
}

/// Shows an operation and takes the decision.
pub(super) fn operation(
    id: &OperationId,
    waiting: &Waiting,
    name: &str,
    pass: &str,
    why: Option<&str>,
) -> Markup {
    let (title, facts) = match waiting.lines.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("Decide", [].as_slice()),
    };
    frame(
        title,
        &html! {
            (problem(why))
            ul.facts { @for fact in facts { li { (fact) } } }
            form method="post" action={ "/console/" (id) } {
                input type="hidden" name="pass" value=(pass);
                @if waiting.count.is_some() {
                    label for="count" { "How many users are deleted? Type the number to approve." }
                    input #count name="count" inputmode="numeric" autocomplete="off" maxlength="6";
                }
                div.decision {
                    button.approve name="decision" value="approve" { "Approve" }
                    button.reject name="decision" value="reject" { "Reject" }
                }
            }
            p.hint { "You are " strong { (name) } ". Operation " code { (id) } ". Decide within five minutes." }
        },
    )
}

/// Says what the decision did.
pub(super) fn decided(decided: Decided) -> Markup {
    match decided {
        Decided::Approved => note("Approved", Some("The server carries it out now.")),
        Decided::OneOfTwo => {
            note("Approved by you", Some("One more person has to, before anything is sent."))
        }
        Decided::Rejected => note("Rejected", Some("Nothing will be sent.")),
    }
}

/// A few words.
pub(super) fn note(title: &str, more: Option<&str>) -> Markup {
    frame(title, &html! { @if let Some(more) = more { p { (more) } } })
}

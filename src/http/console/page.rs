//! The pages themselves; every text in them is escaped.

mod budget;
mod operation;
mod overview;

use maud::{DOCTYPE, Markup, html};

use crate::{lifecycle::Decided, lifecycle::Outcome, model::OperationId};

pub(super) use operation::{Deciding, operation};
pub(super) use overview::{Overview, overview};

/// What the pages of somebody who is signed in have in common.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Their name.
    pub(super) name: String,
    /// The token of their forms.
    pub(super) form: String,
}

/// A page for whoever looks.
pub(super) fn frame(title: &str, body: &Markup) -> Markup {
    frame_for(None, title, body)
}

/// A page, for somebody who is signed in or not.
pub(super) fn frame_for(greeting: Option<&Greeting>, title: &str, body: &Markup) -> Markup {
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
                a.skip href="#main" { "Skip to the content" }
                header.top { (top(greeting, title)) }
                main #main tabindex="-1" { h1 { (title) } (body) }
                footer { p { "What is shown here comes from the server's own records, not from an assistant." } }
            }
        }
    }
}

/// The name of the front page of somebody who is signed in.
const OVERVIEW: &str = "Operations";

fn top(greeting: Option<&Greeting>, title: &str) -> Markup {
    let current = (title == OVERVIEW).then_some("page");
    html! {
        p.brand { "zia-mcp" }
        @if let Some(Greeting { name, form }) = greeting {
            nav aria-label="Console" { a href="/console" aria-current=[current] { (OVERVIEW) } }
            form.out method="post" action="/console/sign-out" {
                input type="hidden" name="form" value=(form);
                span.who { span.quiet { "Signed in as " } (name) }
                button.plain { "Sign out" }
            }
        }
    }
}

pub(super) fn problem(why: Option<&str>) -> Markup {
    html! {
        @if let Some(why) = why { p.problem role="alert" { (why) } }
    }
}

/// The fields that prove who somebody is.
pub(super) fn credentials() -> Markup {
    html! {
        label for="approver" { "Your name as an approver" }
        input #approver name="approver" required autocomplete="username" maxlength="64" autocapitalize="none" spellcheck="false";
        (code_field())
    }
}

fn code_field() -> Markup {
    html! {
        label for="code" { "One-time code" }
        input.code #code name="code" required inputmode="numeric" autocomplete="one-time-code" maxlength="16" aria-describedby="code-hint";
    }
}

pub(super) fn code_hint() -> Markup {
    html! {
        p.hint #code-hint { "The code is the one that your authenticator app shows for zia-mcp. Each counts once." }
    }
}

/// How approvers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a one-time code, typed here.
    Code,
    /// By signing in at the identity provider.
    Provider,
}

/// The ways in: to everything that can be seen, or to one operation.
pub(super) fn front(way: Way, why: Option<&str>) -> Markup {
    frame(
        "Approvals",
        &html! {
            (problem(why))
            @match way {
                Way::Code => form method="post" action="/console/sign-in" aria-labelledby="in" {
                    h2 #in { "Sign in to look" }
                    (credentials())
                    button { "Sign in" }
                    (code_hint())
                },
                Way::Provider => {
                    p { "Approvers sign in at your organisation's identity provider." }
                    p { a.button href="/console/sign-in" { "Sign in" } }
                }
            }
            form.second method="get" action="/console" aria-labelledby="one" {
                h2 #one { "Decide on one operation" }
                p { "An operation that waits for a person names its own address. Or give its id:" }
                label for="operation" { "Operation" }
                input #operation name="operation" required placeholder="op_…" autocomplete="off" spellcheck="false";
                button.second { "Open" }
            }
        },
    )
}

/// Asks who it is, before anything is shown.
pub(super) fn sign_in(way: Way, id: &OperationId, why: Option<&str>) -> Markup {
    if way == Way::Provider {
        return frame(
            "Who are you?",
            &html! {
                (problem(why))
                p { "Operation " code { (id) } " is shown to approvers. They sign in at your organisation's identity provider." }
                p { (to_provider(id, "Sign in to decide")) }
            },
        );
    }
    frame(
        "Who are you?",
        &html! {
            (problem(why))
            p { "Operation " code { (id) } " is shown to enrolled approvers." }
            form method="post" action={ "/console/" (id) } {
                (credentials())
                button { "Show the operation" }
                (code_hint())
            }
        },
    )
}

/// Where something begins that needs a login at the provider, for one operation.
pub(super) fn to_provider(id: &OperationId, why: &str) -> Markup {
    html! { a.button href={ "/console/sign-in?operation=" (id) } { (why) } }
}

/// Says why the provider's answer let nobody in.
pub(super) fn not_in(why: &str, operation: Option<&OperationId>) -> Markup {
    frame(
        "Not signed in",
        &html! {
            (problem(Some(why)))
            @match operation {
                Some(id) => p { (to_provider(id, "Sign in to decide")) },
                None => p { a.button href="/console/sign-in" { "Sign in" } },
            }
        },
    )
}

/// Leads on to the overview.
pub(super) fn come_in() -> Markup {
    frame("Signed in", &html! { p.links { a href="/console" { "All operations" } } })
}

/// Says what the decision did.
pub(super) fn decided(greeting: Option<&Greeting>, id: &OperationId, decided: Decided) -> Markup {
    let (title, more) = match decided {
        Decided::Approved => ("Approved", "The server carries it out now."),
        Decided::OneOfTwo => ("Approved by you", "One more person has to, before anything is sent."),
        Decided::Rejected => ("Rejected", "Nothing will be sent."),
    };
    frame_for(
        greeting,
        title,
        &html! {
            p.lead { (more) }
            p.links {
                @if greeting.is_some() { a href={ "/console/" (id) } { "See how it goes" } " " }
                a href="/console" { "All operations" }
            }
        },
    )
}

/// A few words.
pub(super) fn note(title: &str, more: Option<&str>) -> Markup {
    frame(
        title,
        &html! {
            @if let Some(more) = more { p.lead { (more) } }
            p.links { a href="/console" { "All operations" } }
        },
    )
}

/// A message's fragment as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// Where an operation stands, in a word or two, and how it looks.
fn standing(outcome: Outcome) -> Markup {
    let (word, kind) = match outcome {
        Outcome::Done => ("Done and live", "good"),
        Outcome::AlreadyDone => ("Nothing to do", "good"),
        Outcome::AppliedNotActive => ("Not active yet", "look"),
        Outcome::AwaitingApproval => ("Waits for a person", "look"),
        Outcome::InProgress => ("In progress", "look"),
        Outcome::Unknown => ("Unknown: being read", "look"),
        Outcome::Planned => ("Planned only", "quiet"),
        Outcome::Declined => ("Rejected", "quiet"),
        Outcome::Expired => ("Expired", "quiet"),
        Outcome::Changed => ("User changed: not sent", "bad"),
        Outcome::Failed => ("Failed", "bad"),
        Outcome::Partial => ("Partly done", "bad"),
    };
    html! { span class={ "badge " (kind) } { (word) } }
}

/// A time, for people and for programs.
fn time(at: jiff::Timestamp) -> Markup {
    html! { time datetime={ (format!("{at:.0}")) } { (crate::lifecycle::moment(at)) } }
}

//! One operation: what it will do, the decision on it, what happened.

use maud::{Markup, html};

use super::{Greeting, code_field, code_hint, frame_for, problem, standing, time};
use crate::lifecycle::{Happening, Sight, UserSeen};

/// Users up to which each is shown with room to read.
const FEW: usize = 1;

/// How the one who looks can decide.
pub(in crate::http::console) enum Deciding<'a> {
    /// With a one-time code, which is to be given yet.
    ByCode,
    /// By signing in at the identity provider, which is to be done yet.
    AtProvider,
    /// They have proved themself for this operation.
    ByPass {
        /// The pass.
        pass: String,
        /// Whose it is.
        name: &'a str,
    },
}

/// Shows an operation; while it waits, with the form that decides.
pub(in crate::http::console) fn operation(
    greeting: Option<&Greeting>,
    sight: &Sight,
    deciding: &Deciding<'_>,
    why: Option<&str>,
) -> Markup {
    let body = html! {
        (problem(why))
        p.standing {
            (standing(sight.outcome))
            @if let Some(until) = sight.waits_until { span.quiet { "until " (time(until)) } }
        }
        @if let Some((first, rest)) = sight.cautions.split_first() {
            section.danger aria-labelledby="know" {
                h2 #know { (first) }
                @for caution in rest { p { (caution) } }
            }
        }
        (users(&sight.users))
        @if !sight.changes.is_empty() {
            h2 { "What changes" }
            ul.changes { @for change in &sight.changes { li { (change) } } }
        }
        @if let Some(reason) = &sight.reason {
            h2 { "The reason that was given" }
            figure.reason {
                blockquote { p { "“" (reason) "”" } }
                figcaption { "Written by the caller, not verified." }
            }
        }
        h2 { "Circumstances" }
        dl.facts {
            @for (name, value) in &sight.facts { div { dt { (name) } dd { (value) } } }
            div { dt { "Operation" } dd { code { (sight.id) } } }
        }
        @if sight.waits_until.is_some() { (decision(greeting, sight, deciding)) }
        @if !sight.notes.is_empty() {
            h2 { "Notes" }
            ul.notes { @for note in &sight.notes { li { (super::sentence(note)) } } }
        }
        @if sight.has_password && greeting.is_some() {
            p.links { a href={ "/console/password/" (sight.id) } { "The first password, shown once" } }
        }
        (history(&sight.history))
    };
    frame_for(greeting, &sight.title, &body)
}

/// The form of the decision: the buttons well apart, and the number where there are several.
fn decision(greeting: Option<&Greeting>, sight: &Sight, deciding: &Deciding<'_>) -> Markup {
    if matches!(deciding, Deciding::AtProvider) {
        return html! {
            section.decide aria-labelledby="decide" {
                h2 #decide { "Your decision" }
                p { "For each decision you log in anew, and then have five minutes." }
                p { (super::to_provider(&sight.id, "Sign in to decide")) }
            }
        };
    }
    html! {
        form.decide method="post" action={ "/console/" (sight.id) } aria-labelledby="decide" {
            h2 #decide { "Your decision" }
            @if let Deciding::ByPass { pass, .. } = deciding {
                input type="hidden" name="pass" value=(pass);
            } @else if let Some(greeting) = greeting {
                input type="hidden" name="form" value=(greeting.form);
            }
            @if sight.count.is_some() {
                label for="count" { "How many users are deleted? Type the number to approve." }
                input.code #count name="count" inputmode="numeric" autocomplete="off" maxlength="6";
            }
            @if matches!(deciding, Deciding::ByCode) { (code_field()) }
            div.decision {
                button.approve name="decision" value="approve" { "Approve" }
                button.reject name="decision" value="reject" { "Reject" }
            }
            @match deciding {
                Deciding::ByCode | Deciding::AtProvider => (code_hint()),
                Deciding::ByPass { name, .. } => {
                    p.hint { "You are " strong { (name) } ". Decide within five minutes of signing in." }
                }
            }
        }
    }
}

fn users(users: &[UserSeen]) -> Markup {
    match users {
        [] => html! {},
        [one] if users.len() <= FEW => html! {
            h2 { "Who" }
            dl.facts {
                div { dt { "Name" } dd.main { (one.name) } }
                div { dt { "E-mail" } dd.main { (one.email) } }
                @if let Some(id) = &one.id { div { dt { "ZIA id" } dd { (id) } } }
                div { dt { "Department" } dd { (one.department) } }
                div { dt { "Groups" } dd { (one.groups) } }
                @if !one.flags.is_empty() { div { dt { "Look at" } dd { (flags(one)) } } }
            }
        },
        several => table(several),
    }
}

/// Several users; the roles keep it a table to screen readers where it is shown as cards.
fn table(users: &[UserSeen]) -> Markup {
    let fates = users.iter().any(|u| u.fate.is_some());
    html! {
        h2 #who { "Who: " (users.len()) " users" }
        div.scroll role="region" aria-labelledby="who" tabindex="0" {
            table.users role="table" {
                caption.hidden { "The users of this operation" }
                thead role="rowgroup" {
                    tr role="row" {
                        th scope="col" role="columnheader" { "User" }
                        th scope="col" role="columnheader" { "Department" }
                        th scope="col" role="columnheader" { "Groups" }
                        th scope="col" role="columnheader" { "ZIA id" }
                        @if fates { th scope="col" role="columnheader" { "Outcome" } }
                    }
                }
                tbody role="rowgroup" {
                    @for user in users { (row(user, fates)) }
                }
            }
        }
    }
}

fn row(user: &UserSeen, fates: bool) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                span.name { (user.name) } " " span.email { (user.email) }
                @if !user.flags.is_empty() { " " (flags(user)) }
            }
            td role="cell" data-label="Department" { (user.department) }
            td role="cell" data-label="Groups" { (user.groups) }
            td role="cell" data-label="ZIA id" { (user.id.as_deref().unwrap_or("–")) }
            @if fates {
                td role="cell" data-label="Outcome" { @if let Some(fate) = user.fate { (standing(fate)) } }
            }
        }
    }
}

fn flags(user: &UserSeen) -> Markup {
    html! { @for flag in &user.flags { span.flag { (flag) } " " } }
}

fn history(history: &[Happening]) -> Markup {
    html! {
        @if !history.is_empty() {
            h2 { "What happened" }
            ol.history {
                @for happening in history {
                    li {
                        (time(happening.at))
                        span.what {
                            (happening.what)
                            @if happening.times > 1 { " (" (happening.times) " times)" }
                            @if let Some(more) = &happening.more { span.quiet { ": " (more) } }
                        }
                    }
                }
            }
        }
    }
}

//! `/console/password/OP`: a new user's first password, shown once to an approver.

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
};
use maud::{Markup, html};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{Console, failed, page, read};
use crate::{
    lifecycle::{FirstPassword, Proof},
    model::{OperationId, shown},
};

/// Where it is.
pub(super) const PATH: &str = "/console/password/{operation}";

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    approver: String,
    code: String,
}

/// Asks who it is; the same for every operation, whether there is one or not.
pub(super) async fn sign_in(Path(operation): Path<String>) -> Result<Markup, (StatusCode, Markup)> {
    Ok(form(&read(&operation)?, None))
}

/// Shows the password to an approver whose code is right, and to nobody after them.
pub(super) async fn show(
    State(console): State<Console>,
    Path(operation): Path<String>,
    Form(sent): Form<Sent>,
) -> Result<Markup, (StatusCode, Markup)> {
    let id = read(&operation)?;
    let again = |why: &str| (StatusCode::FORBIDDEN, form(&id, Some(why)));
    let name = match console.records.prove(&id, &sent.approver, &sent.code).await.map_err(failed)? {
        Proof::Right(name) => name,
        Proof::Wrong => return Err(again("Wrong name or code, or the code was used already.")),
        Proof::Locked(until) => {
            return Err(again(&format!("Too many wrong codes: try again after {until:.0}.")));
        }
    };
    let first = console.records.take_password(&id, Some(&name), "page").await.map_err(failed)?;
    Ok(shown_once(&first))
}

fn form(id: &OperationId, why: Option<&str>) -> Markup {
    page::frame(
        "First password",
        &html! {
            (page::problem(why))
            p { "The first password of the user whom operation " code { (id) } " created is shown once, to an enrolled "
                "approver. Have a safe way to hand it on before you go on." }
            form method="post" action={ "/console/password/" (id) } {
                label for="approver" { "Your name as an approver" }
                input #approver name="approver" required autocomplete="username" maxlength="64";
                label for="code" { "One-time code" }
                input #code name="code" required inputmode="numeric" autocomplete="one-time-code" maxlength="16";
                button { "Show the password, once" }
            }
        },
    )
}

fn shown_once(first: &FirstPassword) -> Markup {
    page::frame(
        "First password",
        &html! {
            p { "Of " strong { (shown(&first.user)) } ":" }
            p { code #password { (first.password.expose_secret()) } }
            p.hint { "It is not shown again, and kept no longer. Close this page when you have handed it on." }
        },
    )
}

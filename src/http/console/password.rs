//! `/console/password/OP`: a new user's first password, shown once to an approver.

use axum::{
    Form,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{Peer, Shared, WRONG, failed, locked, page, read};
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
pub(super) async fn sign_in(Path(operation): Path<String>) -> Result<Markup, Response> {
    Ok(form(&read(&operation)?, None))
}

/// Shows the password to an approver whose code is right, and to nobody after them.
pub(super) async fn show(
    State(room): Shared,
    Path(operation): Path<String>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Markup, Response> {
    let id = read(&operation)?;
    let again = |why: &str| (StatusCode::FORBIDDEN, form(&id, Some(why))).into_response();
    let (from, records) = (room.attempt(peer, &headers)?, &room.console.records);
    let name = match records.prove(&id, &sent.approver, &sent.code).await.map_err(failed)? {
        Proof::Right(name) => name,
        Proof::Wrong => return Err(again(WRONG)),
        Proof::Locked(until) => return Err(again(&locked(until))),
    };
    room.attempts.was_right(from);
    let first = records.take_password(&id, Some(&name), "page").await.map_err(failed)?;
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
                (page::credentials())
                button { "Show the password, once" }
                (page::code_hint())
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

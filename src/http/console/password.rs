//! `/console/password/OP`: a new user's first password, shown once to an approver.

use std::net::SocketAddr;

use axum::{
    Form,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{OVER, Peer, Room, Shared, WRONG, failed, is_blank, locked, page, read, sign_in::ELSEWHERE};
use crate::{
    lifecycle::{FirstPassword, Proof, Proven},
    model::{OperationId, shown},
};

/// Where it is.
pub(super) const PATH: &str = "/console/password/{operation}";

/// What the form sends: name and code, or the pass of a login at the provider.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    approver: String,
    code: String,
    pass: String,
}

/// Asks who it is; the same for every operation, whether there is one or not.
pub(super) async fn sign_in(State(room): Shared, Path(operation): Path<String>) -> Result<Markup, Response> {
    Ok(room.password_form(&read(&operation)?, None))
}

/// Shows the password to an approver who proved themself, and to nobody after them.
pub(super) async fn show(
    State(room): Shared,
    Path(operation): Path<String>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Markup, Response> {
    let id = read(&operation)?;
    let (name, channel) = match room.desk {
        None => (room.approver_by_code(&id, peer, &headers, &sent).await?, "page"),
        Some(_) => (room.approver_by_pass(&id, &sent).await?, "provider"),
    };
    let first = room.console.records.take_password(&id, Some(&name), channel).await.map_err(failed)?;
    Ok(shown_once(&first))
}

impl Room {
    async fn approver_by_code(
        &self,
        id: &OperationId,
        peer: SocketAddr,
        headers: &HeaderMap,
        sent: &Sent,
    ) -> Result<String, Response> {
        if is_blank(&sent.approver, &sent.code) {
            return Err(self.password_refused(id, WRONG));
        }
        let attempt = self.attempt(peer, headers)?;
        let proof = self.console.records.prove(id, &sent.approver, &sent.code).await.map_err(failed)?;
        match proof {
            Proof::Right(name) => Ok(name),
            Proof::Wrong => {
                attempt.was_wrong();
                Err(self.password_refused(id, WRONG))
            }
            Proof::Locked(until) => Err(self.password_refused(id, &locked(until))),
        }
    }

    async fn approver_by_pass(&self, id: &OperationId, sent: &Sent) -> Result<String, Response> {
        if sent.pass.is_empty() {
            return Err(self.password_refused(id, ELSEWHERE));
        }
        let taken = self.console.records.take_pass(&sent.pass, id).await;
        let person = taken.map_err(|_| self.password_refused(id, OVER))?.person;
        // A pass of the other way in is from before the settings changed.
        person.subject.is_some().then_some(person.name).ok_or_else(|| self.password_refused(id, OVER))
    }

    fn password_refused(&self, id: &OperationId, why: &str) -> Response {
        (StatusCode::FORBIDDEN, self.password_form(id, Some(why))).into_response()
    }

    fn password_form(&self, id: &OperationId, why: Option<&str>) -> Markup {
        let proof = match self.desk {
            None => html! {
                form method="post" action={ "/console/password/" (id) } {
                    (page::credentials())
                    button { "Show the password, once" }
                    (page::code_hint())
                }
            },
            Some(_) => html! { p { (page::to_provider(id, "Sign in to see it")) } },
        };
        about(id, why, &proof)
    }

    /// The question to somebody who just signed in at the provider for an operation with a password.
    pub(super) fn password_by_pass(&self, proven: &Proven, id: &OperationId) -> Markup {
        let pass = self.console.records.pass(proven, id);
        let proof = html! {
            form method="post" action={ "/console/password/" (id) } {
                input type="hidden" name="pass" value=(pass);
                button { "Show the password, once" }
                p.hint { "You are " strong { (proven.person.name) } ". Decide within five minutes of signing in." }
            }
        };
        about(id, None, &proof)
    }
}

fn about(id: &OperationId, why: Option<&str>, proof: &Markup) -> Markup {
    page::frame(
        "First password",
        &html! {
            (page::problem(why))
            p { "The first password of the user whom operation " code { (id) } " created is shown once, to an "
                "approver. Have a safe way to hand it on before you go on." }
            (proof)
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

//! Ways in: a one-time code here, or a login at the identity provider; and the way out.

use std::sync::Arc;

use axum::{
    Form,
    extract::{ConnectInfo, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::REFRESH},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    OVER, PATH, Peer, Room, Sent, Shared, WRONG, failed, is_blank, locked, page,
    provider::{Desk, NotIn},
    see,
};
use crate::{
    lifecycle::{Errand, Person, SignIn, Viewer},
    model::OperationId,
};

/// What the provider sends people back with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Back {
    code: Option<String>,
    state: String,
    iss: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    operation: Option<String>,
}

/// Begins a session by a one-time code.
pub(super) async fn by_code(
    State(room): Shared,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Response, Response> {
    if room.desk.is_some() {
        return Err(room.front(StatusCode::FORBIDDEN, Some(ELSEWHERE)));
    }
    let again = |why: &str| room.front(StatusCode::FORBIDDEN, Some(why));
    if is_blank(&sent.approver, &sent.code) {
        return Err(again(WRONG));
    }
    let attempt = room.attempt(peer, &headers)?;
    match room.console.records.sign_in(&sent.approver, &sent.code).await.map_err(failed)? {
        SignIn::Welcome(viewer) => Ok(room.to(&viewer, see(PATH))),
        SignIn::Wrong => {
            attempt.was_wrong();
            Err(again(WRONG))
        }
        SignIn::Locked(until) => Err(again(&locked(until))),
    }
}

/// Said to whoever gives a code where codes do not count.
pub(super) const ELSEWHERE: &str = "Approvers sign in at the identity provider here.";

/// Ends a session.
pub(super) async fn out(
    State(room): Shared,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Response, Response> {
    let viewer = room.viewer(&headers).await?;
    let own = viewer.filter(|viewer| room.console.records.is_own_form(viewer, &sent.form));
    let viewer = own.ok_or_else(|| room.front(StatusCode::FORBIDDEN, Some(OVER)))?;
    room.console.records.end_session(&viewer).await.map_err(failed)?;
    let mut response = see(PATH);
    room.jar.forget(&mut response);
    Ok(response)
}

/// Sends somebody to the provider, to look or to decide on an operation.
pub(super) async fn leave(State(room): Shared, Query(wanted): Query<Wanted>) -> Result<Response, Response> {
    let desk = room.desk()?;
    let operation = wanted.operation.and_then(|text| text.parse::<OperationId>().ok());
    let (errand, text) = room.console.records.begin_errand(operation);
    let way = desk.way_out(&room.console.records.luggage(&errand)).await;
    let way = way.map_err(|why| refused(why, errand.operation.as_ref()))?;
    let mut response = see(way.as_str());
    room.jar.send_off(&mut response, &text);
    Ok(response)
}

/// Takes somebody back in, once.
pub(super) async fn arrive(
    State(room): Shared,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Response> {
    let desk = room.desk()?;
    let text = room.jar.errand(&headers).unwrap_or_default();
    let ended = room.console.records.end_errand(text, &back.state).await.map_err(failed)?;
    let over = || (StatusCode::FORBIDDEN, page::note("Begin again", Some(NOT_YOURS))).into_response();
    let errand = ended.filter(|_| desk.is_from(back.iss.as_deref())).ok_or_else(over)?;
    // Only now: any page can send a browser here, but not with an errand of its own.
    let attempt = room.attempt(peer, &headers)?;
    let came = room.arrival(desk, &errand, back.code).await;
    let person = match came {
        Ok(person) => person,
        Err(why) => {
            // An outage is not theirs.
            if why != NotIn::Unavailable {
                attempt.was_wrong();
            }
            room.console.records.note_refusal(why.name(), errand.operation.as_ref()).await.map_err(failed)?;
            return Err(refused(why, errand.operation.as_ref()));
        }
    };
    let viewer = room.console.records.begin_session(person.clone()).await.map_err(failed)?;
    let page = room.first_page(&viewer, &person, errand.operation.as_ref()).await?;
    let mut response = room.to(&viewer, page);
    room.jar.forget_errand(&mut response);
    Ok(response)
}

const NOT_YOURS: &str = "This sign-in is over, was used, or was begun in another browser.";

fn refused(why: NotIn, operation: Option<&OperationId>) -> Response {
    let status =
        if why == NotIn::Unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
    (status, page::not_in(why.words(), operation)).into_response()
}

impl Room {
    fn desk(&self) -> Result<&Arc<Desk>, Response> {
        let none = || (StatusCode::NOT_FOUND, page::note("There is no such page.", None)).into_response();
        self.desk.as_ref().ok_or_else(none)
    }

    async fn arrival(&self, desk: &Desk, errand: &Errand, code: Option<String>) -> Result<Person, NotIn> {
        let code = code.ok_or(NotIn::Cancelled)?;
        let records = &self.console.records;
        desk.arrival(records.age(errand), &records.luggage(errand), code).await
    }

    /// What somebody sees who has just come: the operation and the decision on it, or the overview.
    ///
    /// The browser shows no new cookie while it follows the provider's redirect, so that the overview
    /// is a page away.
    async fn first_page(
        &self,
        viewer: &Viewer,
        person: &Person,
        operation: Option<&OperationId>,
    ) -> Result<Response, Response> {
        let Some(id) = operation else {
            let mut response = page::come_in().into_response();
            response.headers_mut().insert(REFRESH, HeaderValue::from_static("0; url=/console"));
            return Ok(response);
        };
        let proven = self.console.records.proven(person.clone());
        if self.console.records.waiting(id.as_str()).await.is_ok() {
            return self.with_pass(Some(viewer), &proven, id, (StatusCode::OK, None)).await;
        }
        let sight = self.console.records.sight(id, &self.console.policy).await.map_err(failed)?;
        if sight.has_password {
            return Ok(self.password_by_pass(&proven, id).into_response());
        }
        self.shown(viewer, id, StatusCode::OK, None).await
    }
}

//! The form of one operation: proves who it is, shows what will happen, takes the decision.

use axum::{
    Form,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    OVER, Peer, Room, Sent, Shared, WRONG, failed, is_blank, locked,
    page::{self, Deciding, Greeting},
    read,
    sign_in::ELSEWHERE,
};
use crate::{
    lifecycle::{Decision, Person, Proof, Proven, Viewer},
    model::OperationId,
};

/// Somebody and their form, on the way to a decision.
struct Asker<'a> {
    room: &'a Room,
    id: &'a OperationId,
    sent: &'a Sent,
    viewer: Option<Viewer>,
}

pub(super) async fn take(
    State(room): Shared,
    Path(operation): Path<String>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Response, Response> {
    let id = &read(&operation)?;
    let viewer = room.viewer(&headers).await?;
    let asker = Asker { room: &room, id, sent: &sent, viewer };
    if !sent.pass.is_empty() {
        return asker.decide_by_pass().await;
    }
    if room.desk.is_some() {
        return Err(asker.again(ELSEWHERE).await);
    }
    if sent.code.trim().is_empty() && !sent.decision.is_empty() {
        return Err(asker.again("Nothing was decided: the one-time code is missing.").await);
    }
    let name = asker.name().map_err(|why| room.who(id, StatusCode::FORBIDDEN, Some(why)))?;
    if is_blank(&name, &sent.code) {
        return Err(asker.again(WRONG).await);
    }
    let attempt = room.attempt(peer, &headers)?;
    // First the code: whether there is such an operation is nobody else's business.
    let proof = room.console.records.prove(id, &name, &sent.code).await.map_err(failed)?;
    let proven = match proof {
        Proof::Right(name) => room.console.records.proven(Person::enrolled(name)),
        Proof::Wrong => {
            attempt.was_wrong();
            return Err(asker.again(WRONG).await);
        }
        Proof::Locked(until) => return Err(asker.again(&locked(until)).await),
    };
    if sent.decision.is_empty() {
        asker.with_pass(&proven, StatusCode::OK, None).await
    } else {
        asker.decide(proven, "page").await
    }
}

impl Asker<'_> {
    /// Whose code it is: as typed, or else the viewer's, if the form is one of their session.
    fn name(&self) -> Result<String, &'static str> {
        let own = |viewer: &&Viewer| self.room.console.records.is_own_form(viewer, &self.sent.form);
        if !self.sent.approver.trim().is_empty() {
            return Ok(self.sent.approver.clone());
        }
        match &self.viewer {
            None => Ok(String::new()),
            Some(viewer) if own(&viewer) => Ok(viewer.person.name.clone()),
            Some(_) => Err(OVER),
        }
    }

    /// Asks again, and shows a viewer what they were looking at.
    async fn again(&self, why: &str) -> Response {
        let Some(viewer) = &self.viewer else {
            return self.room.who(self.id, StatusCode::FORBIDDEN, Some(why));
        };
        self.room.shown(viewer, self.id, StatusCode::FORBIDDEN, Some(why)).await.unwrap_or_else(|page| page)
    }

    fn nothing(&self) -> Response {
        self.room.who(self.id, StatusCode::BAD_REQUEST, Some("Nothing was decided."))
    }

    /// Takes the decision of whoever holds the pass.
    async fn decide_by_pass(&self) -> Result<Response, Response> {
        if !matches!(self.sent.decision.as_str(), "approve" | "reject") {
            return Err(self.nothing());
        }
        let refused = || self.room.who(self.id, StatusCode::FORBIDDEN, Some(USED));
        let taken = self.room.console.records.take_pass(&self.sent.pass, self.id).await;
        let proven = taken.map_err(|_| refused())?;
        // A pass of the other way in is from before the settings changed.
        let subject = proven.person.subject.as_ref();
        if subject.is_some() != self.room.desk.is_some() {
            return Err(refused());
        }
        let channel = if subject.is_some() { "provider" } else { "page" };
        self.decide(proven, channel).await
    }

    /// Takes the decision of somebody who proved themself.
    async fn decide(&self, proven: Proven, channel: &str) -> Result<Response, Response> {
        let approve = match self.sent.decision.as_str() {
            "approve" => true,
            "reject" => false,
            _ => return Err(self.nothing()),
        };
        let console = &self.room.console;
        let waiting = console.records.waiting(self.id.as_str()).await.map_err(failed)?;
        if approve && waiting.count.is_some_and(|count| self.sent.count.trim() != count.to_string()) {
            let why = "The number is another one: nothing was decided.";
            return self.with_pass(&proven, StatusCode::FORBIDDEN, Some(why)).await;
        }
        let Person { name: by, subject } = proven.person;
        let decision = Decision { approve, by, subject, channel: channel.into() };
        let decided = console.records.decide(self.id, decision, &console.policy).await.map_err(failed)?;
        let greeting = self.viewer.as_ref().map(|viewer| self.room.greeting(viewer));
        Ok(page::decided(greeting.as_ref(), self.id, decided).into_response())
    }

    /// Shows the operation to somebody who proved themself, with five minutes from then to decide.
    async fn with_pass(
        &self,
        proven: &Proven,
        status: StatusCode,
        why: Option<&str>,
    ) -> Result<Response, Response> {
        self.room.with_pass(self.viewer.as_ref(), proven, self.id, (status, why)).await
    }
}

const USED: &str = "This sign-in is over, or was used: nothing was decided.";

impl Room {
    /// What the pages of a session have in common.
    pub(super) fn greeting(&self, viewer: &Viewer) -> Greeting {
        Greeting { name: viewer.person.name.clone(), form: self.console.records.form_token(viewer) }
    }

    /// An operation as a viewer sees it; a decision on it needs their code.
    pub(super) async fn shown(
        &self,
        viewer: &Viewer,
        id: &OperationId,
        status: StatusCode,
        why: Option<&str>,
    ) -> Result<Response, Response> {
        let sight = self.console.records.sight(id, &self.console.policy).await.map_err(failed)?;
        let greeting = self.greeting(viewer);
        let deciding = if self.desk.is_some() { Deciding::AtProvider } else { Deciding::ByCode };
        let page = page::operation(Some(&greeting), &sight, &deciding, why);
        Ok(self.to(viewer, (status, page)))
    }

    /// An operation that waits, for somebody who has a pass for it from now on.
    pub(super) async fn with_pass(
        &self,
        viewer: Option<&Viewer>,
        proven: &Proven,
        id: &OperationId,
        (status, why): (StatusCode, Option<&str>),
    ) -> Result<Response, Response> {
        let records = &self.console.records;
        records.waiting(id.as_str()).await.map_err(failed)?;
        let sight = records.sight(id, &self.console.policy).await.map_err(failed)?;
        let deciding = Deciding::ByPass { pass: records.pass(proven, id), name: &proven.person.name };
        let greeting = viewer.map(|viewer| self.greeting(viewer));
        let page = page::operation(greeting.as_ref(), &sight, &deciding, why);
        Ok((status, page).into_response())
    }
}

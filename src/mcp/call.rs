//! One call of a tool: who calls, how long it may wait, what it was asked.

use std::{future::Future, time::Duration};

use rmcp::{
    RoleServer,
    model::{CallToolRequestParams, CallToolResponse, InputResponses, ProgressNotificationParam, Tool},
    service::RequestContext,
};
use tokio::time::Instant;

use super::{
    ask,
    reply::{Refusal, structured},
    server::Server,
    visit,
};
use crate::{
    lifecycle::{Begun, Failure, INTERACTIVE, Lifecycle},
    model::{Actor, OperationId},
    telemetry::spans,
};

/// How often a waiting client hears that the call goes on.
const PROGRESS: Duration = Duration::from_secs(2);

/// How long a call may take to say how far its operation is, once the server ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// One call of a tool.
pub(super) struct Call<'a> {
    pub(super) server: &'a Server,
    pub(super) tool: &'a Tool,
    pub(super) actor: Actor,
    pub(super) context: &'a RequestContext<RoleServer>,
    /// Digest-ready form of the arguments, to which a question is bound.
    pub(super) bound: Vec<u8>,
    pub(super) state: Option<String>,
    pub(super) answers: Option<InputResponses>,
    began: Instant,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        server: &'a Server,
        tool: &'a Tool,
        actor: Actor,
        context: &'a RequestContext<RoleServer>,
        request: &mut CallToolRequestParams,
    ) -> Self {
        let arguments = request.arguments.clone().unwrap_or_default();
        let bound = crate::model::canonical_json(&arguments.into()).into_bytes();
        let (state, answers) = (request.request_state.take(), request.input_responses.take());
        Self { server, tool, actor, context, bound, state, answers, began: Instant::now() }
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        self.server.lifecycle()
    }

    /// How long the call has taken so far.
    pub(super) fn spent(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for some work: tells progress every two seconds, stops waiting when cancelled.
    pub(super) async fn patiently<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Refusal> {
        self.patiently_on(None, work).await
    }

    /// The same, telling how far an operation has come.
    async fn patiently_on<T>(
        &self,
        operation: Option<&OperationId>,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Refusal> {
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval_at(Instant::now() + PROGRESS, PROGRESS);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done?),
                () = self.context.ct.cancelled() => return Err(Refusal::cancelled()),
                () = self.left() => return Err(Refusal::leaving()),
                _ = tick.tick() => self.tell_progress(operation).await,
            }
        }
    }

    /// Returns once the server ends and whoever waited for an operation has had time to answer.
    async fn left(&self) {
        self.lifecycle().leaving().await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    async fn tell_progress(&self, operation: Option<&OperationId>) {
        let Some(token) = self.context.meta.get_progress_token() else { return };
        let seconds = self.began.elapsed().as_secs();
        let far = match operation {
            Some(id) => self.lifecycle().progress(id).await.map(|far| format!(", {far}")),
            None => None,
        };
        let far = far.unwrap_or_default();
        let progress = ProgressNotificationParam::new(token, seconds as f64)
            .with_message(format!("{}: {seconds} s{far}", self.tool.name));
        // A client that no longer listens is no reason to stop.
        let _ = self.context.peer.notify_progress(progress).await;
    }

    /// Ends a call that began an operation: asks if a person has to decide, waits, reports.
    pub(super) async fn finish(&self, begun: Begun) -> Result<CallToolResponse, Refusal> {
        spans::about_operation(begun.operation.as_str());
        if let Some(question) = begun.question
            && let Some(asked) = ask::ask(self, question).await?
        {
            return Ok(asked);
        }
        if let Some(visit) = begun.visit
            && let Some(answered) = visit::send(self, &visit).await?
        {
            return Ok(answered);
        }
        self.report(&begun.operation).await
    }

    /// Takes up the answer that a 2026-07-28 client brings back, if this call carries one.
    pub(super) async fn answered(&self) -> Result<Option<CallToolResponse>, Refusal> {
        ask::answered(self).await
    }

    pub(super) async fn report(&self, id: &OperationId) -> Result<CallToolResponse, Refusal> {
        structured(&self.patiently_on(Some(id), self.lifecycle().wait(id, INTERACTIVE)).await?)
    }
}

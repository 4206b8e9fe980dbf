//! The client's lines as an rmcp transport.

use std::{borrow::Cow, io, sync::Arc};

use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, GetMeta, JsonRpcMessage,
        ProtocolVersion, RequestId, ServerJsonRpcMessage,
    },
    transport::Transport,
};
use tokio::{
    io::AsyncRead,
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    MAX_LINE, WIND_DOWN,
    flight::{Answer, Flight},
    lines::{Lines, Next},
};
use crate::mcp::frame::{self, Frame, INVALID_PARAMS, INVALID_REQUEST, Refusal};

type Versions = Cow<'static, [ProtocolVersion]>;

pub(super) struct Door<R> {
    lines: Lines<R>,
    output: mpsc::Sender<Vec<u8>>,
    flight: Arc<Flight>,
    versions: Versions,
    /// Whether rmcp has left its opening, in which anything but a request would end it.
    open: bool,
    /// A refusal on its way out; kept here because a read may be cancelled at any await.
    refusal: Option<Vec<u8>>,
    shutdown: CancellationToken,
    /// Ends rmcp's loop.
    end: CancellationToken,
    /// Set once nothing more is read.
    deadline: Option<Instant>,
}

impl<R: AsyncRead + Send + Unpin> Door<R> {
    pub(super) fn new(
        stdin: R,
        output: mpsc::Sender<Vec<u8>>,
        versions: Versions,
        shutdown: CancellationToken,
        end: CancellationToken,
    ) -> Self {
        Self {
            lines: Lines::new(stdin, MAX_LINE),
            output,
            flight: Arc::default(),
            versions,
            open: false,
            refusal: None,
            shutdown,
            end,
            deadline: None,
        }
    }

    async fn next(&mut self) -> Next {
        if self.deadline.is_some() {
            return Next::End;
        }
        tokio::select! {
            next = self.lines.next() => next.unwrap_or_else(|error| {
                tracing::warn!(error.kind = ?error.kind(), "cannot read standard input");
                Next::End
            }),
            () = self.shutdown.cancelled() => Next::End,
            () = self.output.closed() => Next::End,
        }
    }

    /// The message of the line just read, if it is one to pass on.
    fn accept(&mut self) -> Option<ClientJsonRpcMessage> {
        let line = self.lines.line();
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let taken = frame::check(line).and_then(|frame| match frame {
            Frame::Request { id, method } => self.request(id, &method, line).map(Some),
            Frame::Notification { .. } => Ok(self.notification(line)),
            Frame::Response { id } => self.response(id, line),
        });
        match taken {
            Ok(Some(message)) => {
                self.open = self.open || opens(&message, &self.versions);
                Some(message)
            }
            Ok(None) => None,
            Err(refusal) => {
                self.refuse(&refusal);
                None
            }
        }
    }

    fn request(&self, id: RequestId, method: &str, line: &[u8]) -> Result<ClientJsonRpcMessage, Refusal> {
        let refuse = |code, text| Refusal::new(code, text).with_id(Some(id.clone()));
        if !self.flight.begin(&id, method) {
            return Err(refuse(INVALID_REQUEST, "a request with this id is already under way"));
        }
        serde_json::from_slice(line).map_err(|_| {
            self.flight.finish(&id);
            refuse(INVALID_PARAMS, "params do not fit the method")
        })
    }

    fn notification(&self, line: &[u8]) -> Option<ClientJsonRpcMessage> {
        if !self.open {
            return None;
        }
        let message: ClientJsonRpcMessage = serde_json::from_slice(line).ok()?;
        if let JsonRpcMessage::Notification(notification) = &message
            && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
            && let Some(id) = &cancelled.params.request_id
        {
            self.flight.cancel(id);
        }
        Some(message)
    }

    fn response(&self, id: Option<RequestId>, line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Refusal> {
        let Some(id) = id else { return Ok(None) };
        match self.flight.answered(&id) {
            Answer::Awaited => Ok(Some(serde_json::from_slice(line).unwrap_or_else(|_| unreadable(id)))),
            Answer::Late => Ok(None),
            Answer::Unasked => {
                Err(Refusal::new(INVALID_REQUEST, "no request of this server has this id").with_id(Some(id)))
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        tracing::debug!(rpc.code = refusal.code, rpc.reason = refusal.message, "refused a message");
        let mut line = refusal.to_json().into_bytes();
        line.push(b'\n');
        self.refusal = Some(line);
    }

    async fn send_refusal(&mut self) {
        if self.refusal.is_some()
            && let Ok(slot) = self.output.reserve().await
            && let Some(line) = self.refusal.take()
        {
            slot.send(line);
        }
    }

    /// Nothing more is read: fails what we asked the client, waits for what it asked us, then ends.
    async fn wind_down(&mut self) -> Option<ClientJsonRpcMessage> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + WIND_DOWN);
        loop {
            if let Some(id) = self.flight.give_up_one() {
                return Some(unreadable(id));
            }
            if self.flight.is_over() {
                break;
            }
            tokio::select! {
                () = self.flight.changed() => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        // Returning `None` would make rmcp wait 5 s for subscriptions; cancelling ends them first.
        self.end.cancel();
        std::future::pending().await
    }
}

/// The answer to a question of ours that the client will not give.
fn unreadable(id: RequestId) -> ClientJsonRpcMessage {
    JsonRpcMessage::error(ErrorData::internal_error("the client gave no readable answer", None), Some(id))
}

/// Whether rmcp leaves its opening with this message: at `initialize`, or at the first request that
/// carries a whole 2026-07-28 `_meta` with a version we speak. `ping` and `server/discover` do not
/// count.
fn opens(message: &ClientJsonRpcMessage, versions: &Versions) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    match &request.request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        other => {
            let meta = other.get_meta();
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(|version| versions.contains(&version))
        }
    }
}

impl<R: AsyncRead + Send + Unpin + 'static> Transport<RoleServer> for Door<R> {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        match &message {
            JsonRpcMessage::Response(response) => self.flight.finish(&response.id),
            JsonRpcMessage::Error(error) => error.id.iter().for_each(|id| self.flight.finish(id)),
            JsonRpcMessage::Request(request) => self.flight.ask(&request.id),
            JsonRpcMessage::Notification(_) => {}
        }
        // Queued here and not in the future, so that lines leave in the order of the calls.
        let queued = serde_json::to_vec(&message).map_err(io::Error::from).map(|mut line| {
            line.push(b'\n');
            self.output.try_send(line)
        });
        let output = self.output.clone();
        async move {
            match queued? {
                Ok(()) => Ok(()),
                Err(TrySendError::Full(line)) => {
                    output.send(line).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
                }
                Err(TrySendError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.send_refusal().await;
            match self.next().await {
                Next::Line => {
                    if let Some(message) = self.accept() {
                        return Some(message);
                    }
                }
                Next::TooLong => self.refuse(&Refusal::new(INVALID_REQUEST, "the line is above 4 MiB")),
                Next::End => return self.wind_down().await,
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

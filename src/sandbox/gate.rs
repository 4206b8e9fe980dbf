//! The way a call takes: faults, sign-in, limits, locks, and then the tenant.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{Request, Response};
use tokio::time::{Instant, sleep};

use super::call::{Call, Door};
use super::faults::Fault;
use super::replies::{Delivery, Refusal, Reply, too_many_requests, unexpected_error};
use super::tenant::{Shared, Tenant};
use super::wire::{Cut, deliver};
use super::{Endpoint, control};

/// How often a held write looks whether the edit lock is free again.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Answers one request; gives it up when the tenant is shut down.
pub(super) async fn serve(
    State(shared): State<Shared>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request<Body>,
) -> Response<Body> {
    let Ok(call) = Call::read(request).await else {
        return deliver(Reply::empty(413), &cut).await;
    };
    if let Some(reply) = control::answer(&shared, &call) {
        return deliver(reply, &cut).await;
    }
    // A task of its own: a call whose caller has left is carried out all the same.
    let reply = match tokio::spawn(take(shared.clone(), call)).await {
        Ok(Some(reply)) => reply,
        _ => Reply::empty(503).delivered(Delivery::Cut),
    };
    tokio::select! {
        response = deliver(reply, &cut) => response,
        () = shared.closing.cancelled() => deliver(Reply::empty(503).delivered(Delivery::Cut), &cut).await,
    }
}

/// Takes a call through, with an entry in the journal; `None` when the tenant is shut down meanwhile.
async fn take(shared: Shared, mut call: Call) -> Option<Reply> {
    call.seq = {
        let mut tenant = shared.lock();
        let entry = call.entry(tenant.now_ms());
        tenant.journal.open(entry)
    };
    shared.arrival.notify_waiters();
    let reply = tokio::select! {
        reply = work(&shared, &call) => reply,
        () = shared.closing.cancelled() => return None,
    };
    Some(close(&mut shared.lock(), &call, reply))
}

/// Notes the answer in the journal and gives it the vendor's headers.
fn close(tenant: &mut Tenant, call: &Call, reply: Reply) -> Reply {
    let sent = !matches!(reply.delivery, Delivery::Cut | Delivery::Never);
    tenant.journal.note(call.seq, |entry| {
        entry.status = sent.then_some(reply.status);
        entry.fault.clone_from(&reply.fault);
        entry.note = reply.note.map(str::to_owned);
    });
    let told = Duration::from_millis(u64::try_from(tenant.told_ms()).unwrap_or_default());
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + told);
    tenant.add_vendor_headers(call, reply).header("date", date)
}

async fn work(shared: &Shared, call: &Call) -> Reply {
    if let Some(reply) = strike_before(shared, call).await {
        return reply;
    }
    let admin = match shared.lock().admit(call) {
        Ok(admin) => admin,
        Err(reply) => return *reply,
    };
    if call.endpoint.edits() && !edit_lock(shared).await {
        return Refusal::edit_lock().into();
    }
    let mut tenant = shared.lock();
    tenant.meddle(call, false);
    let before = call.id.and_then(|id| tenant.users.get(id));
    let reply = match call.endpoint {
        Endpoint::Token => tenant.issue_token(call),
        _ => tenant.dispatch(call, &admin),
    };
    tenant.meddle(call, true);
    tenant.recreate(call, before.filter(|_| reply.applied));
    tenant.journal.note(call.seq, |entry| entry.applied = reply.applied);
    strike_after(&mut tenant, call, reply)
}

/// Waits for the edit lock as long as the vendor does; `false` if it is not had by then.
async fn edit_lock(shared: &Shared) -> bool {
    let (since, hold) = (Instant::now(), shared.lock().options.edit_lock_hold);
    while shared.lock().edit_lock_is_held() {
        if since.elapsed() >= hold {
            return false;
        }
        sleep(LOCK_LOOK.min(hold)).await;
    }
    true
}

impl Tenant {
    /// Who calls, once session, limits and maintenance let the call through.
    fn admit(&mut self, call: &Call) -> Result<Arc<str>, Box<Reply>> {
        let admin = self.recognise(call)?;
        self.journal.note(call.seq, |entry| entry.admin = Some(admin.to_string()));
        let (now, policy) = (self.now_ms(), self.options.limits);
        if let Err(exceeded) = self.limits.admit(call.endpoint, now, policy) {
            return Err(Box::new(too_many_requests(&exceeded.limit, exceeded.retry_after)));
        }
        if call.endpoint != Endpoint::Token && call.is_foreign_media() {
            return Err(Box::new(Reply::empty(415)));
        }
        if call.endpoint.edits() && self.faults.strikes(call.endpoint, &Fault::ReadOnly) {
            let refusal =
                Refusal::new(403, "STATE_READONLY", "The system is in read-only mode for maintenance");
            return Err(Box::new(refusal.into()));
        }
        Ok(admin)
    }

    fn recognise(&mut self, call: &Call) -> Result<Arc<str>, Box<Reply>> {
        let admin = match (call.door, call.endpoint) {
            (Door::Outside, _) | (Door::Legacy, Endpoint::Login | Endpoint::CheckSession) => {
                return Ok("".into());
            }
            (Door::OneApi, Endpoint::Login) => return Err(Box::new(Reply::empty(404))),
            (Door::OneApi, _) => self.token_client(call).ok_or_else(Self::gateway_refused),
            (Door::Legacy, _) => match self.session_admin(call) {
                Some(admin) => Ok(admin),
                None => Err(self.session_refused(call)),
            },
        };
        admin.map_err(Box::new)
    }
}

/// The faults that strike before the tenant looks at the call.
async fn strike_before(shared: &Shared, call: &Call) -> Option<Reply> {
    let delay = strike(shared, call, |fault| matches!(fault, Fault::Delay { .. }));
    if let Some(Fault::Delay { ms }) = delay {
        sleep(Duration::from_millis(ms)).await;
    }
    if strike(shared, call, |fault| *fault == Fault::SessionExpired).is_some() {
        let mut tenant = shared.lock();
        tenant.end_session_of(call);
        if call.door == Door::OneApi {
            return Some(tenant.session_refused(call)); // behind a good token too (zia-facts §2)
        }
    }
    let fault = strike(shared, call, strikes_before)?;
    let name = fault.name();
    if let Fault::EditLock { hold_ms } = fault {
        let hold = hold_ms.map(Duration::from_millis).unwrap_or(shared.lock().options.edit_lock_hold);
        sleep(hold).await;
    }
    Some(Reply { fault: Some(name), ..made_by(fault) })
}

fn strike(shared: &Shared, call: &Call, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
    shared.lock().faults.strike(call.endpoint, wanted)
}

fn strikes_before(fault: &Fault) -> bool {
    match fault {
        Fault::Hang { applied }
        | Fault::HtmlPage { applied, .. }
        | Fault::ServerError { applied, .. }
        | Fault::AnswerWith { applied, .. } => !applied,
        Fault::ReplyLostBeforeApply
        | Fault::Empty500
        | Fault::Bare404
        | Fault::Redirect { .. }
        | Fault::TooManyRequests { .. }
        | Fault::ResourceAccessBlocked
        | Fault::OrgBarrier
        | Fault::EditLock { .. } => true,
        _ => false,
    }
}

fn strikes_after(fault: &Fault) -> bool {
    match fault {
        Fault::Hang { applied }
        | Fault::HtmlPage { applied, .. }
        | Fault::ServerError { applied, .. }
        | Fault::AnswerWith { applied, .. } => *applied,
        Fault::ReplyLostAfterApply
        | Fault::SlowDrip { .. }
        | Fault::TruncatedBody { .. }
        | Fault::BadGzip => true,
        _ => false,
    }
}

/// The reply that a fault puts in place of the tenant's own.
fn made_by(fault: Fault) -> Reply {
    match fault {
        Fault::HtmlPage { status, .. } => Reply::html(status),
        Fault::ServerError { status: 500, .. } => Reply { status: 500, ..Reply::json(unexpected_error()) },
        Fault::ServerError { status, .. } => Reply::html(status),
        Fault::AnswerWith { status, content_type, body, .. } => Reply::text(status, &content_type, body),
        Fault::Empty500 => Reply::empty(500),
        Fault::Bare404 => Reply::empty(404),
        Fault::Redirect { location } => Reply::empty(302).header("location", location),
        Fault::TooManyRequests { header, body } => limited(header, body),
        Fault::ResourceAccessBlocked => {
            Reply::text(401, "text/plain;charset=utf-8", "Resource Access Blocked")
        }
        Fault::OrgBarrier => Refusal::new(412, "UNEXPECTED_ERROR", "Failed during enter Org barrier").into(),
        Fault::EditLock { .. } => Refusal::edit_lock().into(),
        Fault::Hang { .. } => Reply::empty(200).delivered(Delivery::Never),
        _ => Reply::empty(200).delivered(Delivery::Cut),
    }
}

fn limited(header: Option<String>, body: Option<String>) -> Reply {
    let recorded = too_many_requests("1/SECOND", 1);
    let mut reply = match body {
        Some(body) => Reply::text(429, "application/json", body),
        None => Reply { headers: Vec::new(), ..recorded },
    };
    reply.headers.extend(header.map(|value| ("retry-after", value)));
    reply
}

/// The faults that spoil the answer to a call that succeeded.
fn strike_after(tenant: &mut Tenant, call: &Call, reply: Reply) -> Reply {
    if !reply.is_success() {
        return reply;
    }
    let Some(fault) = tenant.faults.strike(call.endpoint, strikes_after) else { return reply };
    let name = Some(fault.name());
    let spoilt = match fault {
        Fault::ReplyLostAfterApply => reply.delivered(Delivery::Cut),
        Fault::Hang { .. } => reply.delivered(Delivery::Never),
        Fault::TruncatedBody { after } => reply.delivered(Delivery::Truncated(after)),
        Fault::BadGzip => reply.delivered(Delivery::BadGzip),
        Fault::SlowDrip { bytes, every_ms } => {
            reply.delivered(Delivery::Drip { bytes, every: Duration::from_millis(every_ms) })
        }
        other => Reply { applied: reply.applied, ..made_by(other) },
    };
    Reply { fault: name, ..spoilt }
}

//! Creating a user.

use super::{PATIENCE, READING, SETTLING, staged};
use crate::{
    directory::{Lookup, to_user},
    lifecycle::{
        Lifecycle,
        begin::internal,
        details::Details,
        failure::Failure,
        password,
        reconcile::{self, Creation, SPARING_LOOKS},
        report::{Draft, Subject},
    },
    model::{Email, Operation, State, User, UserRef, Write},
    store::SendOutcome,
    zia::{self, Deadline, NewUser},
};

/// What ZIA refuses a create for, most often.
const REFUSED_CREATE: &str = "ZIA refused the values: it takes addresses only in domains that are registered for the \
     tenant, and departments and groups that still exist";

const LOST: &str = "ZIA's reply to the create was lost; the server reads ZIA until that is settled";

impl Lifecycle {
    pub(super) async fn create_user(&self, operation: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&operation);
        let Some(Subject::Draft(draft)) = details.user.clone() else { return Err(internal()) };
        let turn = self.shared.writing.lock().await;
        if let Err(failure) = self.before_write(&mut details).await {
            return self.fail(&operation, details, failure).await;
        }
        let (sent, permit) = match self.begin_send(&operation, Write::CreateUser, &details).await {
            Ok(begun) => begun,
            Err(failure) => return self.fail(&operation, details, failure).await,
        };
        let new = new_user(&draft)?;
        let settled = match self.zia.create_user(&permit, &new, Deadline::after(PATIENCE)).await {
            Ok(created) => {
                self.end_send(permit, SendOutcome::Done, None).await?;
                let verified = self.created(&sent, details, &draft, to_user(&created.value)).await?;
                drop(turn);
                verified
            }
            Err(error) => {
                if error.kind == zia::Kind::Refused {
                    details.note(REFUSED_CREATE);
                }
                let Some(unknown) = self.unanswered(permit, &sent, &mut details, error, LOST).await? else {
                    return Ok(());
                };
                drop(turn);
                self.settle_creation(unknown, details, &draft).await?
            }
        };
        match settled {
            Some(verified) => self.activate_after(verified).await,
            None => Ok(()),
        }
    }

    /// ZIA's answer to the create verifies it if it names the user as asked for; else reading does.
    async fn created(
        &self,
        sent: &Operation,
        mut details: Details,
        draft: &Draft,
        answer: User,
    ) -> Result<Option<Operation>, Failure> {
        let mut user = User { name: draft.name.clone(), email: draft.email.clone(), ..answer };
        let mut differs = differing(draft, &user);
        if !differs.is_empty()
            && let Ok(Some(read)) = self.directory.by_id(user.id, Deadline::after(READING)).await
        {
            user = User { name: user.name, email: user.email, ..read.user };
            differs = differing(draft, &user);
        }
        if !differs.is_empty() {
            details.note(format!(
                "ZIA created the user, but shows another {} than asked for",
                differs.join(" and ")
            ));
        }
        self.directory.learn(user.clone());
        details.user = Some(Subject::User(user));
        details.activation = Some(staged());
        self.step(sent, State::Verified, &details, "send.verified").await.map(Some)
    }

    /// Reads until a create whose reply was lost is settled.
    pub(crate) async fn settle_creation(
        &self,
        mut unknown: Operation,
        mut details: Details,
        draft: &Draft,
    ) -> Result<Option<Operation>, Failure> {
        for pause in SETTLING {
            match self.look_for_creation(draft).await {
                Creation::AsAsked(user) => {
                    details.note("the user was found as asked for: the create took effect");
                    details.user = Some(Subject::User(*user));
                    details.activation = Some(staged());
                    return self.step(&unknown, State::Verified, &details, "send.settled").await.map(Some);
                }
                Creation::Different(user) => {
                    details.note(format!(
                        "the address now belongs to user {}, who differs from what was asked; a person has to look",
                        user.id
                    ));
                    self.step(&unknown, State::Failed, &details, "send.settled").await?;
                    return Ok(None);
                }
                Creation::Absent => {
                    details.note(
                        "ZIA shows no such user: the create did not take effect; it may be asked for again",
                    );
                    self.step(&unknown, State::Failed, &details, "send.settled").await?;
                    return Ok(None);
                }
                Creation::Unsettled => {
                    unknown = self.step(&unknown, State::Unknown, &details, "send.unsettled").await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(None)
    }

    async fn look_for_creation(&self, draft: &Draft) -> Creation {
        let Ok(email) = draft.email.parse::<Email>() else { return Creation::Unsettled };
        let mut seen = Creation::Unsettled;
        for pause in SPARING_LOOKS {
            tokio::time::sleep(pause).await;
            match self.directory.look_up(&UserRef::Email(email.clone()), Deadline::after(READING)).await {
                Ok(Lookup::Found(found)) => return reconcile::of_creation(draft, found.user),
                Ok(Lookup::Absent { proven: true }) => seen = Creation::Absent,
                Ok(Lookup::Several(_) | Lookup::Absent { .. }) | Err(_) => {}
            }
        }
        seen
    }
}

/// The fields of a new user that are not as asked for.
fn differing(draft: &Draft, user: &User) -> Vec<&'static str> {
    let department = draft.department.as_ref().map(|d| d.id) != user.department.as_ref().map(|d| d.id);
    let groups = !reconcile::same_groups(&draft.groups, &user.groups);
    [("department", department), ("list of groups", groups)]
        .into_iter()
        .filter(|(_, d)| *d)
        .map(|(f, _)| f)
        .collect()
}

fn new_user(draft: &Draft) -> Result<NewUser, Failure> {
    Ok(NewUser {
        name: draft.name.clone(),
        email: draft.email.parse().map_err(|_| internal())?,
        groups: draft.groups.clone(),
        department: draft.department.clone(),
        comments: draft.comments.clone(),
        password: password::generate(&mut rand::rng()),
    })
}

//! Creating a deleted user again from a capture. The executor does the rest, as for a new user.

mod image;

use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Lifecycle,
    before_image::BeforeImage,
    begin::Begun,
    details::Details,
    failure::{Code, Failure},
    operation::is_moving,
    policy::Place,
    provision::{creation, same_or_refuse, several},
    report::{Capture, Draft, Subject},
};
use crate::{
    directory::Lookup,
    model::{Action, Actor, CaptureId, Digest, Email, Named, Operation, State, shown},
    store::{CaptureInfo, SubjectKey},
    zia::Deadline,
};
use image::Image;

/// The most captures of one address that are looked through.
const MOST: usize = 100;

/// A user to be created again.
#[derive(Clone, Debug)]
pub struct RestoreUser {
    /// A capture's id, or the exact address of a user who was captured.
    pub capture: String,
}

/// Which capture is meant.
enum Which {
    One(CaptureId),
    NewestOf(Email),
}

/// A before-image of a user whom this server deleted.
struct Found {
    info: CaptureInfo,
    image: Image,
    deletion: Operation,
}

impl Lifecycle {
    /// Begins to create a deleted user again, or finds that they are there as captured.
    ///
    /// # Errors
    /// `NOT_FOUND` without a capture of a deleted user, `ALREADY_EXISTS` where the address is taken,
    /// `CONFLICT` where the captured user cannot be created, or what ZIA or the store answered.
    pub async fn restore(&self, actor: Actor, request: RestoreUser) -> Result<Begun, Failure> {
        let this = self.clone();
        self.detached(async move { this.restore_now(&actor, &request).await }).await
    }

    async fn restore_now(&self, actor: &Actor, request: &RestoreUser) -> Result<Begun, Failure> {
        let until = self.interactive();
        self.settings.policy.check_tool(actor, Action::RestoreUser)?;
        let which = which(&request.capture)?;
        let arguments = digest(&which);
        let found = self.captured(actor, &which).await?;
        let email: Email = found.image.email.parse().map_err(|_| unwritable())?;
        // One with the creation of the same address.
        let _soon = self.shared.activator.starting();
        let _one = self.shared.beginning.lock(format!("provision {}", email.folded())).await;
        if let Some(open) = self.joinable(actor, Action::RestoreUser, &arguments).await? {
            return Ok(self.asking(actor, &open));
        }
        let (state, details) = self.plan_restore(actor, &found, email, until).await?;
        if state == State::Awaiting {
            self.check_open(actor).await?;
            self.refuse_if_rejected(None, &found.image.email).await?;
        }
        let created = self.create(actor, Action::RestoreUser, state, arguments, None, &details).await;
        if let (State::Approved, Ok(operation)) = (state, &created) {
            self.carry_out(operation.clone());
        }
        let operation = self.or_joined(actor, Action::RestoreUser, &arguments, created).await?;
        Ok(self.asking(actor, &operation))
    }

    async fn plan_restore(
        &self,
        actor: &Actor,
        found: &Found,
        email: Email,
        until: Deadline,
    ) -> Result<(State, Details), Failure> {
        let Found { info, image, deletion } = found;
        let mut details = Details {
            capture: Some(Capture {
                id: info.id.clone(),
                taken_at: info.taken_at,
                uri: format!("zia://captures/{}", info.id),
            }),
            ..Details::default()
        };
        details.note(format!(
            "from the capture of {:.0}, before operation {} deleted the user",
            info.taken_at, deletion.id
        ));
        let policy = &self.settings.policy;
        policy.check_address(email.as_str(), self.zia.own_login()).map_err(|f| f.at("capture"))?;
        let lookup = Box::pin(self.look_for_namesake(&email, until)).await?;
        let draft = self.live_draft(image, &mut details, until).await?;
        let place = Place::of_new(draft.department.as_ref(), &draft.groups);
        self.settings.policy.check_place(actor, &place).map_err(|f| f.at("capture"))?;
        match lookup {
            Lookup::Found(seen) => {
                same_or_refuse(&draft, &seen.user, "nothing was sent").map_err(|f| f.at("capture"))?;
                details.note(format!(
                    "a user with this address, name, department and groups exists already, with the id {}; nothing \
                     was sent",
                    seen.user.id
                ));
                details.user = Some(Subject::User(seen.user));
                return Ok((State::AlreadyDone, details));
            }
            Lookup::Several(users) => return Err(several(&users).at("capture")),
            Lookup::Absent { proven: true } => {}
            Lookup::Absent { proven: false } => details
                .note("ZIA's lists could not prove that the address is free; ZIA itself refuses a duplicate"),
        }
        if draft.groups.is_empty() {
            return Err(no_group(image));
        }
        image.losses(info.user_id).into_iter().for_each(|note| details.note(note));
        details.changes = Some(creation(&draft));
        details.user = Some(Subject::Draft(draft));
        details.initial_password = Some(self.initial_password());
        let first = self.first_state(Action::RestoreUser, actor, &mut details);
        Ok((first, details))
    }

    /// The captured user with the department and the groups as they are now.
    async fn live_draft(
        &self,
        image: &Image,
        details: &mut Details,
        until: Deadline,
    ) -> Result<Draft, Failure> {
        let mut groups: Vec<Named> = Vec::new();
        let now = match image.groups.as_slice() {
            [] => Vec::new(),
            captured => self.directory.find_groups(captured, until).await?,
        };
        for (captured, now) in image.groups.iter().zip(now) {
            tell(details, "group", captured, now.as_ref());
            groups.extend(now.filter(|now| !groups.contains(now)));
        }
        let mut department = None;
        if let Some(captured) = &image.department {
            department = self.directory.find_department(captured, until).await?;
            tell(details, "department", captured, department.as_ref());
        }
        let (name, email, comments) = (image.name.clone(), image.email.clone(), image.comments.clone());
        let temp_auth_email = image.temp_auth_email.clone();
        Ok(Draft { name, email, department, groups, comments, temp_auth_email })
    }

    /// The capture that is meant, if this server deleted its user.
    ///
    /// Every caller of the tenant may restore: whoever deleted may be away, and captures hold no
    /// more than every caller could read before.
    async fn captured(&self, actor: &Actor, which: &Which) -> Result<Found, Failure> {
        let infos = match which {
            Which::One(id) => self.opened_capture(id).await?.map(|(info, _)| info).into_iter().collect(),
            Which::NewestOf(email) => self.store.captures_of_email(self.tenant(), email.as_str()).await?,
        };
        let infos: Vec<_> = infos.into_iter().filter(|i| i.tenant == self.tenant()).take(MOST).collect();
        let Some(newest) = infos.first().cloned() else { return Err(no_capture()) };
        for info in infos {
            if let Some(deletion) = self.deletion_of(&info).await? {
                let image = self.image_of(&info).await?;
                return Ok(Found { info, image, deletion });
            }
        }
        self.refuse_while_deleting(actor, &newest).await?;
        Err(never_deleted(&newest))
    }

    /// The operation that deleted the user of a capture, or found them gone when it was to.
    async fn deletion_of(&self, info: &CaptureInfo) -> Result<Option<Operation>, Failure> {
        let by_id = SubjectKey::Id(info.user_id);
        if let Some(deletion) = self.store.deleted_by_us(self.tenant(), &by_id).await? {
            return Ok(Some(deletion));
        }
        let taker = self.store.operation(&info.operation).await?;
        let deletes = |o: &Operation| matches!(o.action, Action::DeprovisionUser | Action::DeprovisionUsers);
        Ok(taker.filter(|o| deletes(o) && o.state == State::AlreadyDone))
    }

    /// A deletion that is under way or not settled may still happen.
    async fn refuse_while_deleting(&self, actor: &Actor, info: &CaptureInfo) -> Result<(), Failure> {
        let Some(open) = self.store.open_for_subject(self.tenant(), info.user_id).await? else {
            return Ok(());
        };
        if !is_moving(open.state) && open.state != State::Unknown {
            return Ok(());
        }
        let said = "an operation on the user of this capture is not settled yet; nothing was sent";
        let failure = Failure::new(Code::Conflict, said, "wait for it to end, then call again").at("capture");
        Err(if open.actor.is(actor) { failure.of(&open.id) } else { failure })
    }

    async fn image_of(&self, info: &CaptureInfo) -> Result<Image, Failure> {
        let (_, raw) = self.opened_capture(&info.id).await?.ok_or_else(no_capture)?;
        let read = BeforeImage::read(&raw).and_then(BeforeImage::values);
        read.and_then(|(row, by_id)| Image::of(&row, &by_id)).ok_or_else(unwritable)
    }

    async fn opened_capture(
        &self,
        id: &CaptureId,
    ) -> Result<Option<(CaptureInfo, Zeroizing<Vec<u8>>)>, Failure> {
        self.store.open_capture(id).await.map_err(|error| Failure::from(error).at("capture"))
    }
}

/// Tells of a group or department that is not what it was at the time of the capture.
fn tell(details: &mut Details, kind: &str, captured: &Named, now: Option<&Named>) {
    let was = format!("the {kind} {} (id {})", shown(&captured.name), captured.id);
    match now {
        None => details.note(format!("{was} is there no more: the user is restored without it")),
        Some(now) if now.id != captured.id => {
            details.note(format!("{was} is there no more; the one of the same name has the id {}", now.id));
        }
        Some(now) if now.name != captured.name => {
            details.note(format!("{was} is now called {}", shown(&now.name)));
        }
        Some(_) => {}
    }
}

fn which(asked: &str) -> Result<Which, Failure> {
    let asked = asked.trim();
    if let Ok(id) = asked.parse() {
        return Ok(Which::One(id));
    }
    if asked.contains('@') {
        let email = asked.parse();
        return email
            .map(Which::NewestOf)
            .map_err(|e: crate::model::EmailError| Failure::argument("capture", e.to_string()));
    }
    let message =
        "a capture is named by its id (cap_ and 32 hexadecimal digits) or by the user's exact e-mail address";
    Err(Failure::argument("capture", message))
}

fn digest(which: &Which) -> Digest {
    let name = match which {
        Which::One(id) => id.to_string(),
        Which::NewestOf(email) => email.folded(),
    };
    Digest::of_json(&json!({ "capture": name }))
}

fn no_capture() -> Failure {
    Failure::new(
        Code::NotFound,
        "there is no such capture; nothing was sent",
        "the result of the operation that deleted the user names its capture; provision_user creates a user from scratch",
    )
    .at("capture")
}

fn never_deleted(info: &CaptureInfo) -> Failure {
    Failure::new(
        Code::NotFound,
        format!("this server did not delete the captured user {}; nothing was sent", info.user_id),
        "look the user up with find_user; update_user changes one who is there",
    )
    .at("capture")
}

fn unwritable() -> Failure {
    Failure::new(
        Code::Conflict,
        "the capture holds a user who cannot be created as captured; nothing was sent",
        "look at it with `zia-mcp captures show`, then create the user with provision_user",
    )
    .at("capture")
}

fn no_group(image: &Image) -> Failure {
    let why = match image.groups.len() {
        0 => "the captured user was in no group".to_owned(),
        n => format!("none of the captured user's {n} groups is there any more"),
    };
    Failure::new(
        Code::Conflict,
        format!("{why}, and ZIA creates nobody without one; nothing was sent"),
        "create the user with provision_user and the groups you choose",
    )
    .at("capture")
}

//! Changing a user: resolve, protect, compare, capture. The executor does the rest.

mod change;

use serde_json::json;

use super::{
    Lifecycle,
    begin::Begun,
    details::Details,
    failure::{Code, Failure},
    find::name_failure,
    policy::Place,
    provision::{check_count, comments, display_name},
    report::Subject,
    subject::{disagree, name_of, not_found, several, user_ref},
};
use crate::{
    directory::{ById, Lookup, NameError, Seen, choose, is_encoded},
    model::{Action, Actor, Digest, Named, Operation, State, User, UserRef, shown},
    zia::Deadline,
};
use change::{Groups, changes, is_read_whole, replacement};

/// Changes to a user; what is `None` or empty stays as it is.
#[derive(Clone, Debug)]
pub struct UpdateUser {
    /// Exact address or id.
    pub user: String,
    /// Display name, 1 to 127 characters.
    pub name: Option<String>,
    /// Department, by name or id; it can be replaced, not taken away.
    pub department: Option<String>,
    /// Groups to add, by name or id.
    pub add_groups: Vec<String>,
    /// Groups to take away, by name or id.
    pub remove_groups: Vec<String>,
    /// Comments, at most 10,240 characters; an empty text takes them away.
    pub comments: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// A request whose texts were checked.
struct Checked {
    who: UserRef,
    name: Option<String>,
    comments: Option<String>,
    notes: Vec<String>,
}

/// What is asked for, resolved in the tenant.
struct Wanted {
    name: Option<String>,
    department: Option<Named>,
    groups: Groups,
    comments: Option<String>,
}

impl Lifecycle {
    /// Begins to change a user, or finds that there is nothing to do.
    ///
    /// # Errors
    /// Bad arguments, a protected user, an operation already open on the user, a user whose name
    /// cannot be written back safely, or what ZIA or the store answered.
    pub async fn update(&self, actor: Actor, request: UpdateUser) -> Result<Begun, Failure> {
        let this = self.clone();
        self.detached(async move { this.update_now(&actor, &request).await }).await
    }

    async fn update_now(&self, actor: &Actor, request: &UpdateUser) -> Result<Begun, Failure> {
        let (until, policy) = (self.interactive(), &self.settings.policy);
        policy.check_tool(actor, Action::UpdateUser)?;
        let checked = check(request)?;
        let arguments = digest(request, &checked);
        let _soon = self.shared.activator.starting();
        let _one = self.shared.beginning.lock(format!("update {}", name_of(&checked.who))).await;
        if !request.dry_run
            && let Some(open) = self.joinable(actor, Action::UpdateUser, &arguments).await?
        {
            return Ok(self.asking(actor, &open));
        }
        let mut seen = match Box::pin(self.look_up_live(&checked.who, until)).await? {
            Lookup::Found(seen) => *seen,
            Lookup::Several(users) => return Err(several(&users)),
            Lookup::Absent { proven } => return Err(not_found(proven)),
        };
        policy.check_user(actor, &seen.user, seen.kind.as_deref(), self.zia.own_login())?;
        let object = self.object_of(&mut seen, until).await?;
        self.check_both(actor, &seen, Some(&object))?;
        let before = as_read(&seen, &object, checked.name.is_some())?;
        let mut details = Details { notes: checked.notes, ..Details::default() };
        let groups = self.resolve_groups_change(request, &before, until).await?;
        groups.notes(&mut details);
        let department = self.resolve_department_change(request, until).await?;
        let wanted = Wanted { name: checked.name, department, groups, comments: checked.comments };
        let target = replacement(&before, object.temp_auth_email.clone(), &wanted)?;
        policy.check_place(actor, &Place::of_change(&before, target.department.as_ref(), &target.groups))?;
        let asked = changes(&before, &target);
        details.user = Some(Subject::User(before));
        if asked.is_empty() {
            details.note("the user is already as asked; nothing was sent");
            let id = Some(seen.user.id);
            let state = State::AlreadyDone;
            let ended = self.create(actor, Action::UpdateUser, state, arguments, id, &details).await?;
            return Ok(Begun::plain(&ended));
        }
        details.object = Some(object.object.to_string());
        details.replacement = Some(target);
        details.changes = Some(asked);
        let first = self.first_state(Action::UpdateUser, actor, &mut details);
        let state = if request.dry_run { State::Planned } else { first };
        let drafted = self.draft_change(actor, state, arguments, &seen, &object, details).await;
        let operation = match request.dry_run {
            true => drafted?,
            false => self.or_joined(actor, Action::UpdateUser, &arguments, drafted).await?,
        };
        Ok(self.asking(actor, &operation))
    }

    /// Records the change, captures the user and starts, unless a person has to decide first.
    async fn draft_change(
        &self,
        actor: &Actor,
        state: State,
        arguments: Digest,
        seen: &Seen,
        object: &ById,
        mut details: Details,
    ) -> Result<Operation, Failure> {
        self.refuse_a_second_operation(actor, &seen.user).await?;
        if state == State::Awaiting {
            self.check_open(actor).await?;
            self.refuse_if_rejected(Some(seen.user.id), &seen.user.email).await?;
        }
        let action = Action::UpdateUser;
        let drafted = self.create_on(actor, action, state, arguments, &seen.user, &details).await?;
        if state == State::Planned {
            return Ok(drafted);
        }
        match self.capture_for(&drafted, seen, object).await {
            Ok(capture) => details.capture = Some(capture),
            Err(failure) => {
                details.failure = Some(failure.clone());
                self.step(&drafted, State::Failed, &details, "operation.failed").await?;
                return Err(failure);
            }
        }
        let captured = self.step(&drafted, state, &details, "operation.captured").await?;
        if state == State::Approved {
            self.carry_out(captured.clone());
        }
        Ok(captured)
    }

    async fn resolve_department_change(
        &self,
        request: &UpdateUser,
        until: Deadline,
    ) -> Result<Option<Named>, Failure> {
        let Some(asked) = &request.department else { return Ok(None) };
        let found = self.directory.resolve_department(asked, until).await?;
        found.map(Some).map_err(|e| name_failure("department", e))
    }

    /// Groups to add are the tenant's; groups to take away are the user's own, if they are any.
    async fn resolve_groups_change(
        &self,
        request: &UpdateUser,
        user: &User,
        until: Deadline,
    ) -> Result<Groups, Failure> {
        let mut groups = Groups::default();
        if !request.add_groups.is_empty() {
            for found in self.directory.resolve_groups(&request.add_groups, until).await? {
                groups.add.push(found.map_err(|e| name_failure("groups", e).at("add_groups"))?);
            }
        }
        let mut others = Vec::new();
        for asked in &request.remove_groups {
            match choose(&user.groups, true, asked) {
                Ok(group) => groups.remove.push(group),
                Err(NameError::Unknown { .. }) => others.push(asked.clone()),
                Err(ambiguous) => return Err(name_failure("groups", ambiguous).at("remove_groups")),
            }
        }
        if !others.is_empty() {
            let found = self.directory.resolve_groups(&others, until).await?;
            for (asked, found) in others.iter().zip(found) {
                match found {
                    Ok(group) => groups.remove.push(group),
                    // Whichever is meant: the user is in none of them.
                    Err(NameError::Ambiguous { .. }) => groups.absent.push(asked.clone()),
                    Err(unknown) => return Err(name_failure("groups", unknown).at("remove_groups")),
                }
            }
        }
        Ok(groups.against(&user.groups))
    }
}

/// The user as read: name and address from the list, the rest by id.
///
/// # Errors
/// `CONFLICT` if writing back what was read could change what the caller did not name: encoded
/// texts (zia-facts §3.2), readings that disagree, a field that could not be read.
fn as_read(seen: &Seen, object: &ById, renames: bool) -> Result<User, Failure> {
    let (row, by_id) = (&seen.user, &object.user);
    let comes_encoded = object.plain_email.is_none() || (is_encoded(&by_id.name) && by_id.name != row.name);
    if comes_encoded {
        return Err(encoded());
    }
    let same = row.name == by_id.name
        && row.comments == by_id.comments
        && row.department == by_id.department
        && super::reconcile::same_groups(&row.groups, &by_id.groups);
    if !same {
        return Err(disagree());
    }
    if is_encoded(&row.name) && !renames {
        return Err(named_by_code());
    }
    if !is_read_whole(&object.raw) {
        return Err(unreadable());
    }
    let (department, groups) = (by_id.department.clone(), by_id.groups.clone());
    Ok(User { department, groups, comments: by_id.comments.clone(), ..row.clone() })
}

fn encoded() -> Failure {
    Failure::new(
        Code::Conflict,
        "ZIA answers this user's name or address encoded when read by id, as on tenants that moved to ZIdentity; a \
         change would write the encoded text as the real one, so nothing was sent",
        "change the user in the ZIA portal or in ZIdentity",
    )
    .at("user")
}

fn named_by_code() -> Failure {
    Failure::new(
        Code::Conflict,
        "the user's name looks like an encoded one, as an earlier write may have left it; it is not written again, so \
         nothing was sent",
        "call again with the right `name` as well",
    )
    .at("name")
}

fn unreadable() -> Failure {
    Failure::new(
        Code::Conflict,
        "a field of this user came in a form that cannot be written back as it is; nothing was sent",
        "change the user in the ZIA portal",
    )
    .at("user")
}

fn check(request: &UpdateUser) -> Result<Checked, Failure> {
    let mut notes = Vec::new();
    let who = user_ref(&request.user)?;
    let named = request.name.is_some() || request.department.is_some() || request.comments.is_some();
    if !named && request.add_groups.is_empty() && request.remove_groups.is_empty() {
        return Err(Failure::new(
            Code::InvalidArgument,
            "nothing to change was named",
            "name at least one of: name, department, add_groups, remove_groups, comments",
        ));
    }
    let name = request.name.as_deref().map(|n| display_name(n, &mut notes)).transpose()?;
    if name.as_deref().is_some_and(is_encoded) {
        return Err(Failure::argument("name", "the name has the shape of one that ZIA encoded"));
    }
    if request.department.as_deref().is_some_and(|d| d.trim().is_empty()) {
        return Err(Failure::argument("department", "a department can be replaced, not taken away"));
    }
    check_count("add_groups", request.add_groups.len())?;
    check_count("remove_groups", request.remove_groups.len())?;
    let comments = request.comments.as_deref().map(|c| comments(c, &mut notes)).transpose()?;
    Ok(Checked { who, name, comments, notes })
}

/// The same request, whatever the order of groups and the case of the address.
fn digest(request: &UpdateUser, checked: &Checked) -> Digest {
    let sorted = |groups: &[String]| {
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        groups
    };
    Digest::of_json(&json!({
        "user": name_of(&checked.who), "name": checked.name, "department": request.department,
        "add_groups": sorted(&request.add_groups), "remove_groups": sorted(&request.remove_groups),
        "comments": checked.comments,
    }))
}

/// Names of groups for a sentence.
fn listed(groups: &[Named]) -> String {
    groups.iter().map(|g| shown(&g.name)).collect::<Vec<_>>().join(", ")
}

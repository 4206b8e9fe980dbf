//! Creating a user.

use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;

use super::{
    Lifecycle,
    begin::Begun,
    details::Details,
    failure::{Code, Failure},
    find::{name_failure, user_candidates},
    policy::{Place, Tier},
    reconcile::same_groups,
    report::{Change, Draft, Subject},
};
use crate::{
    directory::Lookup,
    model::{Action, Actor, Digest, Email, Named, State, User, looks_like_another, unwritable},
    zia::Deadline,
};

/// ZIA's limits (zia-facts §3.1).
const MAX_NAME: usize = 127;
const MAX_COMMENTS: usize = 10_240;
const MAX_GROUPS: usize = 127;

/// Said of an address that needs a person's eye (guardrails B17, T36).
const LOOK_ALIKE: &str = "the address mixes scripts or holds letters that look like others: a person has to confirm that it is meant";

/// A user to be created.
#[derive(Clone, Debug)]
pub struct ProvisionUser {
    /// Display name, 1 to 127 characters.
    pub name: String,
    /// Login address; ZIA keeps it for life.
    pub email: String,
    /// Department, by name or id.
    pub department: Option<String>,
    /// Groups, by name or id; at least one.
    pub groups: Vec<String>,
    /// Comments, at most 10,240 characters.
    pub comments: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// A request whose texts were checked.
struct Checked {
    name: String,
    email: Email,
    comments: Option<String>,
    notes: Vec<String>,
}

impl Lifecycle {
    /// Begins to create a user, or finds that there is nothing to do.
    ///
    /// # Errors
    /// Bad arguments, an existing user that differs, or what ZIA or the store answered.
    pub async fn provision(&self, actor: Actor, request: ProvisionUser) -> Result<Begun, Failure> {
        let this = self.clone();
        self.detached(async move { this.provision_now(&actor, &request).await }).await
    }

    async fn provision_now(&self, actor: &Actor, request: &ProvisionUser) -> Result<Begun, Failure> {
        let (until, policy) = (self.interactive(), &self.settings.policy);
        policy.check_tool(actor, Action::ProvisionUser)?;
        let checked = check(request)?;
        policy.check_address(checked.email.as_str(), self.zia.own_login())?;
        let arguments = digest(request, &checked);
        let _soon = self.shared.activator.starting();
        let _one = self.shared.beginning.lock(format!("provision {}", checked.email.folded())).await;
        if !request.dry_run
            && let Some(open) = self.joinable(actor, Action::ProvisionUser, &arguments).await?
        {
            return Ok(self.asking(actor, &open));
        }
        let draft = self.resolve_draft(request, &checked, until).await?;
        policy.check_place(actor, &Place::of_new(draft.department.as_ref(), &draft.groups))?;
        let mut details = Details { notes: checked.notes, ..Details::default() };
        let lookup = Box::pin(self.look_for_namesake(&checked.email, until)).await?;
        let state = match lookup {
            Lookup::Found(seen) => {
                same_or_refuse(&draft, &seen.user, "nothing was sent")?;
                details.user = Some(Subject::User(seen.user));
                details.note(
                    "a user with this address, name, department and groups exists already; nothing was sent",
                );
                State::AlreadyDone
            }
            Lookup::Several(users) => return Err(several(&users)),
            Lookup::Absent { proven } => {
                if !proven {
                    details.note("ZIA's lists could not prove that the address is free; ZIA itself refuses a duplicate");
                }
                details.changes = Some(creation(&draft));
                details.user = Some(Subject::Draft(draft));
                if looks_like_another(&request.email) {
                    details.note(LOOK_ALIKE);
                    details.least = Tier::Client;
                }
                let first = self.first_state(Action::ProvisionUser, actor, &mut details);
                if request.dry_run { State::Planned } else { first }
            }
        };
        details.initial_password = (state != State::AlreadyDone).then(|| self.initial_password());
        if state == State::Awaiting {
            self.check_open(actor).await?;
            self.refuse_if_rejected(None, request.email.trim()).await?;
        }
        let created = self.create(actor, Action::ProvisionUser, state, arguments, None, &details).await;
        if let (State::Approved, Ok(operation)) = (state, &created) {
            self.carry_out(operation.clone());
        }
        let operation = self.or_joined(actor, Action::ProvisionUser, &arguments, created).await?;
        Ok(self.asking(actor, &operation))
    }

    async fn resolve_draft(
        &self,
        request: &ProvisionUser,
        checked: &Checked,
        until: Deadline,
    ) -> Result<Draft, Failure> {
        let department = match &request.department {
            None => None,
            Some(asked) => {
                let found = self.directory.resolve_department(asked, until).await?;
                Some(found.map_err(|e| name_failure("department", e))?)
            }
        };
        let found = self.directory.resolve_groups(&request.groups, until).await?;
        let mut groups: Vec<Named> = Vec::new();
        for group in found {
            let group = group.map_err(|e| name_failure("groups", e))?;
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let (name, email) = (checked.name.clone(), checked.email.to_string());
        let comments = checked.comments.clone();
        Ok(Draft { name, email, department, groups, comments, temp_auth_email: None })
    }
}

fn check(request: &ProvisionUser) -> Result<Checked, Failure> {
    let mut notes = Vec::new();
    let name = display_name(&request.name, &mut notes)?;
    let email: Email = request
        .email
        .parse()
        .map_err(|e: crate::model::EmailError| Failure::argument("email", e.to_string()))?;
    if request.groups.is_empty() {
        return Err(Failure::argument("groups", "ZIA needs at least one group"));
    }
    check_count("groups", request.groups.len())?;
    let comments =
        request.comments.as_deref().map(|c| comments(c, &mut notes)).transpose()?.filter(|c| !c.is_empty());
    Ok(Checked { name, email, comments, notes })
}

/// A display name as it is written to ZIA.
pub(crate) fn display_name(given: &str, notes: &mut Vec<String>) -> Result<String, Failure> {
    let name = text("name", given, MAX_NAME, notes)?;
    if name.is_empty() { Err(Failure::argument("name", "the name is empty")) } else { Ok(name) }
}

/// Refuses more groups than a user can have.
pub(crate) fn check_count(field: &str, groups: usize) -> Result<(), Failure> {
    if groups <= MAX_GROUPS {
        return Ok(());
    }
    let message = format!("a user has at most {MAX_GROUPS} groups in ZIA, these would be {groups}");
    Err(Failure::new(Code::LimitExceeded, message, "name fewer groups").at(field))
}

/// A text as it is written to ZIA: outer blanks cut, composed, nothing hidden in it.
fn text(field: &str, given: &str, most: usize, notes: &mut Vec<String>) -> Result<String, Failure> {
    let trimmed = given.trim();
    if let Some(bad) = unwritable(trimmed) {
        let message = format!("{field} holds the character U+{:04X}, which is not allowed", u32::from(bad));
        return Err(Failure::argument(field, message));
    }
    let composed: String = trimmed.nfc().collect();
    if composed != trimmed {
        notes.push(format!("{field} was normalised to Unicode NFC"));
    }
    let count = composed.chars().count();
    if count > most {
        return Err(Failure::argument(
            field,
            format!("{field} has at most {most} characters in ZIA, {count} were given"),
        ));
    }
    Ok(composed)
}

/// Words before a password in a text.
const PASSWORD_WORDS: [&str; 6] = ["password", "passwd", "passwort", "kennwort", "pwd", "passcode"];

/// Comments may hold line breaks and tabs.
pub(crate) fn comments(given: &str, notes: &mut Vec<String>) -> Result<String, Failure> {
    let lines: Result<Vec<_>, _> = given
        .replace("\r\n", "\n")
        .split('\n')
        .map(|line| text("comments", &line.replace('\t', " "), MAX_COMMENTS, notes))
        .collect();
    let joined = lines?.join("\n").trim().to_owned();
    if joined.chars().count() > MAX_COMMENTS {
        return Err(Failure::argument(
            "comments",
            format!("comments have at most {MAX_COMMENTS} characters in ZIA"),
        ));
    }
    if reads_like_a_password(&joined) {
        notes.push("comments read as if they held a password, and every administrator can read them: written as asked".into());
    }
    Ok(joined)
}

/// Whether text seems to tell a password (guardrails B20).
fn reads_like_a_password(text: &str) -> bool {
    let text = text.to_lowercase();
    let told = |rest: &str| {
        let rest = rest.trim_start();
        let value = rest.strip_prefix([':', '=']).or_else(|| rest.strip_prefix("is "));
        value.is_some_and(|value| !value.trim_start().is_empty())
    };
    PASSWORD_WORDS
        .iter()
        .any(|word| text.match_indices(word).any(|(at, _)| text.get(at + word.len()..).is_some_and(told)))
}

/// The same request, whatever the order of groups and the case of the address.
fn digest(request: &ProvisionUser, checked: &Checked) -> Digest {
    let mut groups = request.groups.clone();
    groups.sort_unstable();
    Digest::of_json(&json!({
        "name": checked.name, "email": checked.email.folded(), "department": request.department,
        "groups": groups, "comments": checked.comments,
    }))
}

/// Accepts an existing user who is as asked; else says what was done.
pub(crate) fn same_or_refuse(draft: &Draft, user: &User, done: &str) -> Result<(), Failure> {
    let differs = [
        ("name", draft.name != user.name),
        ("department", draft.department.as_ref().map(|d| d.id) != user.department.as_ref().map(|d| d.id)),
        ("groups", !same_groups(&draft.groups, &user.groups)),
    ];
    let fields: Vec<_> = differs.iter().filter(|(_, d)| *d).map(|(f, _)| *f).collect();
    if fields.is_empty() {
        return Ok(());
    }
    let message = format!(
        "a user with this address exists (id {}) and differs in {}; {done}",
        user.id,
        fields.join(", ")
    );
    let candidates = user_candidates(std::slice::from_ref(user));
    Err(Failure::new(Code::AlreadyExists, message, "look at the existing user with find_user")
        .at("email")
        .among(candidates))
}

pub(crate) fn several(users: &[User]) -> Failure {
    let message = format!("{} users have this address; nothing was sent", users.len());
    Failure::new(Code::AlreadyExists, message, "look at them with find_user")
        .at("email")
        .among(user_candidates(users))
}

pub(crate) fn creation(draft: &Draft) -> Vec<Change> {
    let fields = [
        ("name", json!(draft.name)),
        ("email", json!(draft.email)),
        ("department", json!(draft.department)),
        ("groups", json!(draft.groups)),
        ("comments", json!(draft.comments)),
        ("temp_auth_email", json!(draft.temp_auth_email)),
    ];
    let set = fields.into_iter().filter(|(_, to)| !to.is_null());
    set.map(|(field, to)| Change { field: field.into(), from: Value::Null, to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ProvisionUser {
        ProvisionUser {
            name: "Jane Doe".into(),
            email: "jane@example.com".into(),
            department: None,
            groups: vec!["Sales".into(), "Ops".into()],
            comments: None,
            dry_run: false,
        }
    }

    fn field_of(request: &ProvisionUser) -> String {
        check(request).map(|_| String::new()).unwrap_or_else(|f| f.field.unwrap())
    }

    #[test]
    fn names_are_limited_by_characters_not_bytes() {
        let emoji = "😀".repeat(127);
        assert_eq!(field_of(&ProvisionUser { name: emoji, ..request() }), "");
        assert_eq!(field_of(&ProvisionUser { name: "x".repeat(128), ..request() }), "name");
    }

    #[test]
    fn empty_and_hidden_names_are_refused() {
        for name in ["", "   ", "\0", "a\u{202E}b", "a\u{200B}b"] {
            assert_eq!(field_of(&ProvisionUser { name: name.into(), ..request() }), "name", "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_of_comments_panics_the_search_for_passwords(text: String) {
            let spelt = reads_like_a_password(&text);
            proptest::prop_assert!(!spelt || PASSWORD_WORDS.iter().any(|w| text.to_lowercase().contains(w)));
        }

        #[test]
        fn f36_any_text_is_written_clean_or_refused_by_its_field(name: String, email: String, comments: String) {
            let given = ProvisionUser { name, email: format!("{email}@example.com"), comments: Some(comments), ..request() };
            match check(&given) {
                Err(failure) => proptest::prop_assert!(failure.field.is_some()),
                Ok(clean) => {
                    let comments = clean.comments.unwrap_or_default().replace('\n', "");
                    for text in [clean.name.as_str(), clean.email.as_str(), &comments] {
                        proptest::prop_assert_eq!(unwritable(text), None);
                    }
                    proptest::prop_assert!((1..=MAX_NAME).contains(&clean.name.chars().count()));
                    proptest::prop_assert!(clean.email.as_str().chars().count() <= MAX_NAME);
                }
            }
        }
    }

    #[test]
    fn b20_comments_that_read_like_a_password_are_written_with_a_word() {
        let notes =
            |text: &str| check(&ProvisionUser { comments: Some(text.into()), ..request() }).unwrap().notes;
        for told in [
            "password: hunter2",
            "His Passwort = geheim",
            "pwd=x",
            "joined; the PASSWORD is Tiger1",
            "passwords password:y",
        ] {
            assert_eq!(notes(told).len(), 1, "{told}");
        }
        for plain in [
            "password reset on Monday",
            "needs a password",
            "password:",
            "pwd =",
            "knows the passcode istanbul",
        ] {
            assert!(notes(plain).is_empty(), "{plain}");
        }
    }

    #[test]
    fn a_decomposed_name_is_composed_and_said_so() {
        let checked = check(&ProvisionUser { name: "Jose\u{301}".into(), ..request() }).unwrap();
        assert_eq!(checked.name, "José");
        assert_eq!(checked.notes.len(), 1);
    }

    #[test]
    fn too_many_groups_are_refused_not_cut() {
        let many = (0..1_000).map(|n| n.to_string()).collect();
        let failure = check(&ProvisionUser { groups: many, ..request() }).map(|_| ()).unwrap_err();
        assert_eq!(failure.code, Code::LimitExceeded);
    }

    #[test]
    fn the_order_of_groups_does_not_make_another_request() {
        let (a, b) = (request(), ProvisionUser { groups: vec!["Ops".into(), "Sales".into()], ..request() });
        assert_eq!(digest(&a, &check(&a).unwrap()), digest(&b, &check(&b).unwrap()));
        let c = ProvisionUser { name: "Other".into(), ..request() };
        assert_ne!(digest(&a, &check(&a).unwrap()), digest(&c, &check(&c).unwrap()));
    }
}

//! Who may be touched, and which proof a write needs.

mod people;
mod scope;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use super::{
    details::Details,
    failure::{Code, Failure},
};
use crate::model::{Action, Channel, Email, Named, Operation, User};

pub use scope::CallerRule;
pub(crate) use scope::Place;

/// The most users that one operation deletes (contract §3).
const MAX_USERS: u32 = 500;

/// Users above which two people have to decide over HTTP, where the operator named no number.
const TWO_PEOPLE_ABOVE: u32 = 25;

/// What has to happen before a write is carried out, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Nothing: captured, reversible.
    #[default]
    None,
    /// A person answers in the client's own form.
    Client,
    /// A person proves themself with something the agent does not hold.
    OutOfBand,
    /// Two such people.
    TwoPeople,
}

/// The operator's rules.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Lowest proof for `provision_user`.
    pub provision: Tier,
    /// Lowest proof for `update_user`.
    pub update: Tier,
    /// Lowest proof for `restore_user`.
    pub restore: Tier,
    /// Lowest proof for `deprovision_user`.
    pub deprovision: Tier,
    /// Lowest proof for `deprovision_users`.
    pub deprovision_several: Tier,
    /// Lowest proof for publishing other administrators' staged changes.
    pub publish_others: Tier,
    /// Addresses that are never touched; `*` stands for any run of characters.
    pub protected: Vec<String>,
    /// Groups, by name or id, whose members are never touched and into which nobody is put.
    pub protected_groups: Vec<String>,
    /// Departments, by name or id, of which the same is true.
    pub protected_departments: Vec<String>,
    /// What single callers may touch; one without a rule is not limited.
    pub callers: Vec<CallerRule>,
    /// Names that belong to one person each, of callers and approvers.
    pub same_person: Vec<Vec<String>>,
    /// Users of one operation above which two people decide, over any channel.
    pub two_person_threshold: Option<u32>,
    /// The most users that one operation deletes, 1 to 500.
    pub max_users_per_operation: u32,
    /// The most operations that a caller may have waiting, 1 to 20.
    pub max_open: u32,
    /// The most users deleted in 24 hours, by all callers.
    pub max_deletes_per_day: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            provision: Tier::None,
            update: Tier::None,
            restore: Tier::None,
            deprovision: Tier::Client,
            deprovision_several: Tier::OutOfBand,
            publish_others: Tier::Client,
            protected: Vec::new(),
            protected_groups: Vec::new(),
            protected_departments: Vec::new(),
            callers: Vec::new(),
            same_person: Vec::new(),
            two_person_threshold: None,
            max_users_per_operation: MAX_USERS,
            max_open: 20,
            max_deletes_per_day: 500,
        }
    }
}

impl Policy {
    /// The proof that an action needs over a channel, if its circumstances ask for some at least.
    ///
    /// Over HTTP the client's form is never proof: a shared client can answer for its user.
    pub(crate) fn tier(&self, action: Action, channel: Channel, least: Tier) -> Tier {
        let configured = match action {
            Action::ProvisionUser => self.provision,
            Action::UpdateUser => self.update,
            Action::RestoreUser => self.restore,
            Action::DeprovisionUser => self.deprovision,
            Action::DeprovisionUsers => self.deprovision_several,
            Action::Activate => self.publish_others,
        };
        let lowest = configured.max(least);
        if lowest == Tier::Client && channel == Channel::Http { Tier::OutOfBand } else { lowest }
    }

    /// The proof that an operation needs by the rules of now, and by those when it was asked for.
    pub(crate) fn proof_of(&self, operation: &Operation, details: &Details) -> Tier {
        let users = details.asked.iter().filter(|a| a.object.is_some()).count();
        let many = self.needs_two_people(users, operation.actor.channel).then_some(Tier::TwoPeople);
        let least = details.least.max(many.unwrap_or_default());
        self.tier(operation.action, operation.actor.channel, least)
    }

    /// Whether deleting so many users at once takes two people (guardrails T24).
    pub(crate) fn needs_two_people(&self, users: usize, channel: Channel) -> bool {
        let usual = (channel == Channel::Http).then_some(TWO_PEOPLE_ABOVE);
        let above = self.two_person_threshold.or(usual).and_then(|most| usize::try_from(most).ok());
        above.is_some_and(|most| users > most)
    }

    /// Refuses users that this server never deletes or changes.
    ///
    /// # Errors
    /// `PROTECTED` with the rule's name.
    pub(crate) fn check_target(
        &self,
        user: &User,
        kind: Option<&str>,
        own_login: Option<&str>,
    ) -> Result<(), Failure> {
        let of_address = self.address_rule(&user.email, own_login);
        let rule = if let Some(rule) = &of_address {
            rule
        } else if user.admin_user || kind.is_some_and(is_privileged) {
            "administrator: the user is linked to an administrator account"
        } else if !user.editable {
            "non-editable: ZIA marks the user as not editable, as it does for synchronised users"
        } else if let Some(rule) = first_of(&user.groups, &self.protected_groups) {
            &format!("protected-group: the user is in the group `{rule}`")
        } else if let Some(rule) = first_of(&user.department, &self.protected_departments) {
            &format!("protected-department: the user is in the department `{rule}`")
        } else {
            return Ok(());
        };
        Err(protected(&format!("user {} is", user.id), rule).at("user"))
    }

    /// Refuses to make a user of an address that is protected.
    ///
    /// # Errors
    /// `PROTECTED` with the rule's name.
    pub(crate) fn check_address(&self, email: &str, own_login: Option<&str>) -> Result<(), Failure> {
        match self.address_rule(email, own_login) {
            Some(rule) => Err(protected("this address is", &rule).at("email")),
            None => Ok(()),
        }
    }

    /// The rule that protects an address, if one does.
    fn address_rule(&self, email: &str, own_login: Option<&str>) -> Option<String> {
        if own_login.is_some_and(|own| same_address(own, email)) {
            return Some("own-account: this is the account that the server signs in with".into());
        }
        let pattern = self.protected.iter().find(|p| matches(p, email))?;
        Some(format!("protected-address: the address matches `{pattern}`"))
    }
}

fn protected(what: &str, rule: &str) -> Failure {
    Failure::new(
        Code::Protected,
        format!("{what} protected by the rule {rule}; nothing was sent"),
        "a ZIA administrator can do this in the portal",
    )
}

/// The first rule that names one of these departments or groups.
fn first_of<'a>(held: impl IntoIterator<Item = &'a Named> + Clone, rules: &[String]) -> Option<&String> {
    rules.iter().find(|rule| held.clone().into_iter().any(|it| is_one_of(it, std::slice::from_ref(rule))))
}

/// Whether a department or group is named, by its id or its exact name, case aside.
fn is_one_of(it: &Named, rules: &[String]) -> bool {
    let name = folded(&it.name);
    rules.iter().map(|rule| rule.trim()).any(|rule| folded(rule) == name || rule == it.id.to_string())
}

/// A name as names are compared: composed, case and outer blanks aside.
fn folded(name: &str) -> String {
    name.trim().nfc().collect::<String>().to_lowercase()
}

/// Response-side types that mark privileged accounts (zia-facts §3.1).
fn is_privileged(kind: &str) -> bool {
    matches!(kind, "SUPERADMIN" | "ADMIN" | "AUDITOR" | "REPORT_USER")
}

fn same_address(a: &str, b: &str) -> bool {
    a.parse::<Email>().is_ok_and(|a| a.is(b)) || a.to_lowercase() == b.to_lowercase()
}

/// Whether an address matches a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, address: &str) -> bool {
    let (pattern, address) = (pattern.to_lowercase(), address.to_lowercase());
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == address };
    let Some(mut left) = address.strip_prefix(head) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    fn user(email: &str) -> User {
        User {
            id: UserId::new(7).unwrap(),
            name: "Jane".into(),
            email: email.into(),
            department: None,
            groups: vec![],
            comments: None,
            admin_user: false,
            editable: true,
            disabled: false,
        }
    }

    #[test]
    fn administrators_synchronised_users_and_our_own_account_are_protected() {
        let policy = Policy { protected: vec!["breakglass*@example.com".into()], ..Policy::default() };
        let code = |u: &User, kind, own| policy.check_target(u, kind, own).map_err(|f| f.code);
        let jane = user("jane@example.com");
        assert_eq!(code(&jane, None, Some("api@example.com")), Ok(()));
        assert_eq!(code(&User { admin_user: true, ..jane.clone() }, None, None), Err(Code::Protected));
        assert_eq!(code(&User { editable: false, ..jane.clone() }, None, None), Err(Code::Protected));
        assert_eq!(code(&jane, Some("SUPERADMIN"), None), Err(Code::Protected));
        assert_eq!(code(&user("API@example.com"), None, Some("api@Example.com")), Err(Code::Protected));
        assert_eq!(code(&user("BreakGlass-2@example.com"), None, None), Err(Code::Protected));
    }

    #[test]
    fn over_http_the_clients_form_is_no_proof() {
        let policy = Policy::default();
        assert_eq!(policy.tier(Action::DeprovisionUser, Channel::Stdio, Tier::None), Tier::Client);
        assert_eq!(policy.tier(Action::DeprovisionUser, Channel::Http, Tier::None), Tier::OutOfBand);
        assert_eq!(policy.tier(Action::ProvisionUser, Channel::Http, Tier::None), Tier::None);
        assert_eq!(policy.tier(Action::ProvisionUser, Channel::Http, Tier::Client), Tier::OutOfBand);
    }

    #[test]
    fn patterns_match_whole_addresses() {
        for (pattern, address, yes) in [
            ("*@vip.example", "a@vip.example", true),
            ("*@vip.example", "a@vip.example.org", false),
            ("a*b*@x.y", "a1b2@x.y", true),
            ("a*b*@x.y", "a1c2@x.y", false),
            ("a@x.y", "A@X.Y", true),
        ] {
            assert_eq!(matches(pattern, address), yes, "{pattern} {address}");
        }
    }
}

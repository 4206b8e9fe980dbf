//! What the operator's rules let a caller touch, and where a write may put a user.

use super::{Policy, folded, is_one_of, protected};
use crate::{
    lifecycle::failure::{Code, Failure},
    model::{Action, Actor, Named, User, shown},
};

/// The most names that a refusal lists.
const LISTED: usize = 10;

/// The caller of a rule that holds for everyone without a rule of their own.
const ANYONE: &str = "*";

/// What one caller may touch (`[[policy.callers]]`); what is `None` is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerRule {
    /// The caller's name, case aside: `local`, `http`, a token's name or subject; `*` for any other.
    pub caller: String,
    /// Departments, by name or id, whose users they may touch and into which they may put users.
    pub departments: Option<Vec<String>>,
    /// Groups, by name or id, into which they may put users and out of which they may take them.
    pub groups: Option<Vec<String>>,
    /// The writing tools that they may call.
    pub tools: Option<Vec<Action>>,
}

/// Where a write puts a user, or takes them out of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The department that the user comes into.
    department: Option<Named>,
    /// The groups that the user comes into or out of.
    groups: Vec<Named>,
    /// The user is a new one, so having no department is a choice.
    new: bool,
}

impl Place {
    /// Where a new user comes to be.
    pub(crate) fn of_new(department: Option<&Named>, groups: &[Named]) -> Self {
        Self { department: department.cloned(), groups: groups.to_vec(), new: true }
    }

    /// What a change moves: a department that is another one, groups that come and go.
    pub(crate) fn of_change(before: &User, department: Option<&Named>, groups: &[Named]) -> Self {
        let moved = department.filter(|d| before.department.as_ref().is_none_or(|b| b.id != d.id));
        let without = |all: &[Named], others: &[Named]| -> Vec<Named> {
            all.iter().filter(|g| others.iter().all(|o| o.id != g.id)).cloned().collect()
        };
        let groups = [without(groups, &before.groups), without(&before.groups, groups)].concat();
        Self { department: moved.cloned(), groups, new: false }
    }
}

impl Policy {
    /// Refuses a tool that the caller's rule leaves out.
    ///
    /// # Errors
    /// `FORBIDDEN` with the rule's name.
    pub(crate) fn check_tool(&self, actor: &Actor, action: Action) -> Result<(), Failure> {
        let Some(rule) = self.rule_of(actor) else { return Ok(()) };
        match &rule.tools {
            Some(tools) if !tools.contains(&action) => {
                let named: Vec<_> = tools.iter().map(|t| t.as_str().to_owned()).collect();
                Err(rule.refuses(&format!("the tool {}", action.as_str()), "tools", &named))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a user whom the caller's rule leaves out, or whom nobody touches.
    ///
    /// # Errors
    /// `FORBIDDEN` or `PROTECTED`, with the rule's name.
    pub(crate) fn check_user(
        &self,
        actor: &Actor,
        user: &User,
        kind: Option<&str>,
        own_login: Option<&str>,
    ) -> Result<(), Failure> {
        self.check_target(user, kind, own_login)?;
        let Some(rule) = self.rule_of(actor) else { return Ok(()) };
        let refused = |kind: &str, names: &[String]| {
            let message = format!("user {}, who is in none of its {kind}", user.id);
            Err(rule.refuses(&message, kind, names).at("user"))
        };
        match (&rule.departments, &rule.groups) {
            (Some(names), _) if !user.department.as_ref().is_some_and(|d| is_one_of(d, names)) => {
                refused("departments", names)
            }
            (None, Some(names)) if !user.groups.iter().any(|g| is_one_of(g, names)) => {
                refused("groups", names)
            }
            _ => Ok(()),
        }
    }

    /// Refuses a place that the caller's rule leaves out, or where nobody is put.
    ///
    /// # Errors
    /// `FORBIDDEN` or `PROTECTED`, with the rule's name.
    pub(crate) fn check_place(&self, actor: &Actor, place: &Place) -> Result<(), Failure> {
        self.check_protected_place(place)?;
        let Some(rule) = self.rule_of(actor) else { return Ok(()) };
        if let Some(names) = &rule.departments {
            match &place.department {
                Some(to) if !is_one_of(to, names) => {
                    return Err(rule
                        .refuses(&named("the department", to), "departments", names)
                        .at("department"));
                }
                None if place.new => {
                    return Err(rule
                        .refuses("a user without a department", "departments", names)
                        .at("department"));
                }
                _ => {}
            }
        }
        let Some(names) = &rule.groups else { return Ok(()) };
        match place.groups.iter().find(|g| !is_one_of(g, names)) {
            Some(group) => Err(rule.refuses(&named("the group", group), "groups", names).at("groups")),
            None => Ok(()),
        }
    }

    fn check_protected_place(&self, place: &Place) -> Result<(), Failure> {
        if let Some(to) = place.department.as_ref().filter(|d| is_one_of(d, &self.protected_departments)) {
            let rule = format!("protected-department: {} is protected", named("the department", to));
            return Err(protected("a user is not put there, which is", &rule).at("department"));
        }
        match place.groups.iter().find(|g| is_one_of(g, &self.protected_groups)) {
            None => Ok(()),
            Some(group) => {
                let rule = format!("protected-group: {} is protected", named("the group", group));
                Err(protected("nobody comes into this group or out of it, which is", &rule).at("groups"))
            }
        }
    }

    /// The rule of a caller: their own, or the one for everyone else.
    fn rule_of(&self, actor: &Actor) -> Option<&CallerRule> {
        let caller = folded(&actor.caller);
        let own = self.callers.iter().find(|r| folded(&r.caller) == caller);
        own.or_else(|| self.callers.iter().find(|r| r.caller == ANYONE))
    }
}

impl CallerRule {
    fn refuses(&self, what: &str, kind: &str, allowed: &[String]) -> Failure {
        let mut named: Vec<_> = allowed.iter().take(LISTED).map(|n| shown(n)).collect();
        named.extend((allowed.len() > LISTED).then(|| "…".into()));
        let next = match named.as_slice() {
            [] => format!("the rule allows no {kind}; the operator can change it in the settings file"),
            named => format!("the rule allows these {kind}: {}", named.join(", ")),
        };
        let message = format!(
            "the rule policy.callers of `{}` does not allow {what}; nothing was sent",
            shown(&self.caller)
        );
        Failure::new(Code::Forbidden, message, next)
    }
}

/// A department or group in a sentence.
fn named(kind: &str, it: &Named) -> String {
    format!("{kind} \u{201C}{}\u{201D} (id {})", shown(&it.name), it.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, UserId};

    fn of(id: i64, name: &str) -> Named {
        Named { id, name: name.into() }
    }

    fn by(caller: &str) -> Actor {
        Actor::new(caller, "c", Channel::Http)
    }

    fn user(department: &str, groups: &[Named]) -> User {
        User {
            id: UserId::new(7).unwrap(),
            name: "Jane".into(),
            email: "jane@example.com".into(),
            department: Some(of(1, department)),
            groups: groups.to_vec(),
            comments: None,
            admin_user: false,
            editable: true,
            disabled: false,
        }
    }

    fn policy(rules: &[CallerRule]) -> Policy {
        Policy { callers: rules.to_vec(), ..Policy::default() }
    }

    fn texts(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|n| (*n).to_owned()).collect())
    }

    fn code<T>(checked: Result<T, Failure>) -> Option<Code> {
        checked.err().map(|f| f.code)
    }

    #[test]
    fn without_a_rule_a_caller_is_not_limited_and_a_star_limits_the_others() {
        let narrow = CallerRule { caller: "*".into(), departments: texts(&[]), ..CallerRule::default() };
        let free = CallerRule { caller: "Jane-Bot".into(), ..CallerRule::default() };
        let sales = user("Sales", &[]);
        assert_eq!(code(policy(&[]).check_user(&by("x"), &sales, None, None)), None);
        let both = policy(&[narrow, free]);
        assert_eq!(code(both.check_user(&by("x"), &sales, None, None)), Some(Code::Forbidden));
        assert_eq!(code(both.check_user(&by("jane-bot"), &sales, None, None)), None);
    }

    #[test]
    fn a_caller_touches_users_of_its_departments_or_where_none_are_named_of_its_groups() {
        let both = CallerRule {
            caller: "bot".into(),
            departments: texts(&["sales", "22"]),
            groups: texts(&["Berlin"]),
            tools: None,
        };
        let by_group = CallerRule { departments: None, ..both.clone() };
        let check = |rule: &CallerRule, user: &User| {
            code(policy(std::slice::from_ref(rule)).check_user(&by("bot"), user, None, None))
        };
        assert_eq!(check(&both, &user("SALES", &[of(5, "Paris")])), None);
        assert_eq!(check(&both, &user("Finance", &[of(5, "Berlin")])), Some(Code::Forbidden));
        assert_eq!(check(&both, &User { department: Some(of(22, "x")), ..user("", &[]) }), None);
        assert_eq!(check(&both, &User { department: None, ..user("", &[]) }), Some(Code::Forbidden));
        assert_eq!(check(&by_group, &user("Finance", &[of(4, "Paris"), of(5, "berlin")])), None);
        assert_eq!(check(&by_group, &user("Finance", &[of(4, "Paris")])), Some(Code::Forbidden));
        assert_eq!(check(&by_group, &user("Finance", &[])), Some(Code::Forbidden));
    }

    #[test]
    fn a_user_is_put_and_moved_only_where_the_rule_says() {
        let rule = CallerRule {
            caller: "bot".into(),
            departments: texts(&["Sales"]),
            groups: texts(&["Berlin"]),
            tools: None,
        };
        let policy = policy(&[rule]);
        let check = |place: Place| code(policy.check_place(&by("bot"), &place));
        let (sales, berlin, paris) = (of(1, "Sales"), of(5, "Berlin"), of(6, "Paris"));
        assert_eq!(check(Place::of_new(Some(&sales), std::slice::from_ref(&berlin))), None);
        assert_eq!(check(Place::of_new(None, std::slice::from_ref(&berlin))), Some(Code::Forbidden));
        assert_eq!(check(Place::of_new(Some(&of(2, "Ops")), &[])), Some(Code::Forbidden));
        assert_eq!(
            check(Place::of_new(Some(&sales), &[berlin.clone(), paris.clone()])),
            Some(Code::Forbidden)
        );
        let held = user("Sales", std::slice::from_ref(&paris));
        // What stays as it is was put there by somebody else.
        assert_eq!(check(Place::of_change(&held, Some(&sales), &[paris.clone(), berlin.clone()])), None);
        assert_eq!(check(Place::of_change(&held, Some(&sales), &[berlin])), Some(Code::Forbidden));
        assert_eq!(check(Place::of_change(&held, Some(&of(2, "Ops")), &[paris])), Some(Code::Forbidden));
    }

    #[test]
    fn a_tool_that_the_rule_leaves_out_is_refused_by_name() {
        let tools = Some(vec![Action::ProvisionUser]);
        let rule = CallerRule { caller: "bot".into(), tools, ..CallerRule::default() };
        let policy = policy(&[rule]);
        assert_eq!(code(policy.check_tool(&by("bot"), Action::ProvisionUser)), None);
        let refused = policy.check_tool(&by("BOT"), Action::DeprovisionUser).unwrap_err();
        assert_eq!(refused.code, Code::Forbidden);
        assert!(refused.message.contains("policy.callers of `bot`"), "{refused:?}");
        assert!(refused.next.contains("provision_user"), "{refused:?}");
    }

    #[test]
    fn nobody_comes_into_a_protected_group_or_department_or_out_of_it() {
        let policy = Policy {
            protected_groups: vec!["Break-Glass".into()],
            protected_departments: vec!["77".into()],
            ..Policy::default()
        };
        let check = |place: Place| code(policy.check_place(&by("x"), &place));
        let (glass, other) = (of(9, "break-glass"), of(1, "Sales"));
        assert_eq!(check(Place::of_new(None, std::slice::from_ref(&glass))), Some(Code::Protected));
        assert_eq!(check(Place::of_new(Some(&of(77, "Board")), &[])), Some(Code::Protected));
        assert_eq!(check(Place::of_new(Some(&other), std::slice::from_ref(&other))), None);
        let plain = user("Sales", std::slice::from_ref(&other));
        assert_eq!(
            check(Place::of_change(&plain, None, &[other.clone(), glass.clone()])),
            Some(Code::Protected)
        );
        let member = user("Sales", &[other.clone(), glass]);
        assert_eq!(check(Place::of_change(&member, None, &[other])), Some(Code::Protected));
        assert_eq!(code(policy.check_user(&by("x"), &member, None, None)), Some(Code::Protected));
        let boss = User { department: Some(of(77, "Board")), ..plain };
        assert_eq!(code(policy.check_user(&by("x"), &boss, None, None)), Some(Code::Protected));
    }
}

//! The operator's rules: who and what is never touched, and who may touch what (T14, T24).

use zia_mcp::{
    lifecycle::{
        CallerRule, Code, Decided, Decision, DeprovisionUsers, Failure, Outcome, Policy, ProvisionUser,
        RestoreUser, Settings, UpdateUser,
    },
    model::{Action, Actor},
    sandbox::SandboxUser,
};

use super::{
    deleted, leaver, newcomer, plain_at, provisioned,
    update::{of, somebody, updated},
};
use crate::support::{Bench, Plan, local, remote};

async fn under(policy: Policy) -> Bench {
    let settings = Settings { policy, ..Plan::default().settings };
    Bench::with(Plan { settings, ..Plan::default() }).await
}

/// Another server on the same tenant and store, with other rules.
async fn beside(bench: &Bench, policy: Policy) -> Bench {
    let settings = Settings { policy, ..Plan::default().settings };
    bench.beside(Plan { settings, ..Plan::default() }).await
}

fn texts(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|n| (*n).to_owned()).collect())
}

fn several(users: &[&SandboxUser]) -> DeprovisionUsers {
    DeprovisionUsers { users: users.iter().map(|u| u.email.clone()).collect(), reason: None }
}

/// A refusal that names a rule.
fn refused<T: std::fmt::Debug>(asked: Result<T, Failure>, code: Code, rule: &str) {
    let failure = asked.unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.message.contains(rule), "{failure:?}");
    assert!(!failure.message.is_empty() && !failure.next.is_empty());
}

#[tokio::test]
async fn t24_members_of_a_protected_group_are_never_touched_and_nobody_comes_into_it() {
    let plain = Bench::new().await;
    let member = somebody(&plain);
    let group = member.groups[0].clone();
    for rule in [group.name.to_uppercase(), group.id.to_string()] {
        let policy = Policy { protected_groups: vec![rule], ..Policy::default() };
        let bench = under(policy).await;
        let by = local();
        refused(
            bench.lifecycle.deprovision(by.clone(), leaver(&member.email)).await,
            Code::Protected,
            "protected-group",
        );
        let other =
            (0..).map(|at| plain_at(&bench, at)).find(|u| u.groups.iter().all(|g| g.id != group.id)).unwrap();
        let both = bench.lifecycle.deprovision_users(by.clone(), several(&[&other, &member])).await;
        refused(both, Code::Protected, "protected-group");
        let change = UpdateUser { name: Some("New Name".into()), ..of(&member.email) };
        refused(updated(&bench, change).await, Code::Protected, "protected-group");
        let leave = UpdateUser { remove_groups: vec![group.name.clone()], ..of(&member.email) };
        refused(updated(&bench, leave).await, Code::Protected, "protected-group");
        let enter = UpdateUser { add_groups: vec![group.id.to_string()], ..of(&other.email) };
        refused(updated(&bench, enter).await, Code::Protected, "protected-group");
        for dry_run in [false, true] {
            let new =
                ProvisionUser { groups: vec![group.name.clone()], dry_run, ..newcomer("nora@example.com") };
            refused(provisioned(&bench, new).await, Code::Protected, "protected-group");
        }
        assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
        assert_eq!(bench.writes(), 0);
    }
}

#[tokio::test]
async fn t24_users_of_a_protected_department_are_never_touched_and_nobody_comes_into_it() {
    let plain = Bench::new().await;
    let member = somebody(&plain);
    let department = member.department.clone().unwrap();
    let bench =
        under(Policy { protected_departments: vec![department.name.clone()], ..Policy::default() }).await;
    refused(
        bench.lifecycle.deprovision(local(), leaver(&member.email)).await,
        Code::Protected,
        "protected-department",
    );
    let away = UpdateUser { department: Some("Legal".into()), ..of(&member.email) };
    refused(updated(&bench, away).await, Code::Protected, "protected-department");
    let into = Some(department.name.clone());
    let is_out = |u: &SandboxUser| u.department.as_ref().is_none_or(|d| d.id != department.id);
    let other = (0..).map(|at| plain_at(&bench, at)).find(is_out).unwrap();
    let enter = UpdateUser { department: into.clone(), ..of(&other.email) };
    refused(updated(&bench, enter).await, Code::Protected, "protected-department");
    let new = ProvisionUser { department: into, ..newcomer("nora@example.com") };
    refused(provisioned(&bench, new).await, Code::Protected, "protected-department");
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t24_a_deleted_user_is_not_restored_into_what_is_protected() {
    let bench = Bench::new().await;
    let user = somebody(&bench);
    assert_eq!(deleted(&bench, &user.email).await.outcome, Outcome::Done);
    let rule = vec![user.groups[0].name.clone()];
    let strict = beside(&bench, Policy { protected_groups: rule, ..Policy::default() }).await;
    let restore = RestoreUser { capture: user.email.clone() };
    let failure = strict.lifecycle.restore(local(), restore).await.unwrap_err();
    assert_eq!((failure.code, failure.field.as_deref()), (Code::Protected, Some("capture")), "{failure:?}");
    assert!(bench.tenant.user_by_email(&user.email).is_none());
}

/// A caller who may touch one user's department, and put people into two groups.
fn scoped(user: &SandboxUser, caller: &str) -> Policy {
    let department = user.department.clone().unwrap().name;
    let rule = CallerRule {
        caller: caller.into(),
        departments: texts(&[&department]),
        groups: texts(&["Sales Berlin", "Engineering"]),
        tools: None,
    };
    Policy { callers: vec![rule], ..Policy::default() }
}

#[tokio::test]
async fn t14_a_caller_touches_only_users_of_its_departments() {
    let plain = Bench::new().await;
    let own = somebody(&plain);
    let bench = under(scoped(&own, "helpdesk")).await;
    let department = own.department.clone().unwrap();
    let is_out = |u: &SandboxUser| u.department.as_ref().is_none_or(|d| d.id != department.id);
    let other = (0..).map(|at| plain_at(&bench, at)).find(is_out).unwrap();
    let bot = remote("HelpDesk");
    let rule = "policy.callers of `helpdesk`";
    refused(bench.lifecycle.deprovision(bot.clone(), leaver(&other.email)).await, Code::Forbidden, rule);
    refused(
        bench.lifecycle.deprovision_users(bot.clone(), several(&[&own, &other])).await,
        Code::Forbidden,
        rule,
    );
    let rename = |user: &SandboxUser| UpdateUser { name: Some("New Name".into()), ..of(&user.email) };
    refused(bench.lifecycle.update(bot.clone(), rename(&other)).await, Code::Forbidden, rule);
    let away = UpdateUser { department: Some("Legal".into()), ..of(&own.email) };
    if department.name != "Legal" {
        refused(bench.lifecycle.update(bot.clone(), away).await, Code::Forbidden, rule);
    }
    assert_eq!((bench.writes(), bench.store.captures(None, 10).await.unwrap().len()), (0, 0));
    // Its own users it may, and others are not limited by its rule.
    assert!(bench.lifecycle.deprovision(bot.clone(), leaver(&own.email)).await.is_ok());
    assert!(bench.lifecycle.deprovision(remote("other"), leaver(&other.email)).await.is_ok());
    // Reading is not limited.
    let query = super::query(&other.email);
    assert_eq!(bench.lifecycle.find_user(query).await.unwrap().users.len(), 1);
}

#[tokio::test]
async fn t14_a_caller_puts_users_only_where_its_rule_says() {
    let plain = Bench::new().await;
    let own = somebody(&plain);
    let department = own.department.clone().unwrap().name;
    let bench = under(scoped(&own, "local")).await;
    let new = |department: Option<&str>, groups: &[&str]| ProvisionUser {
        department: department.map(str::to_owned),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        ..newcomer("nora@example.com")
    };
    let elsewhere = bench.tenant.departments().into_iter().find(|d| d.name != department).unwrap().name;
    for request in [
        new(None, &["Engineering"]),
        new(Some(&elsewhere), &["Engineering"]),
        new(Some(&department), &["Engineering", "Sales"]),
    ] {
        refused(provisioned(&bench, request).await, Code::Forbidden, "policy.callers of `local`");
    }
    let held = own.groups[0].name.clone();
    for change in [
        UpdateUser { add_groups: vec!["Sales".into()], ..of(&own.email) },
        UpdateUser { add_groups: vec!["Sales Berlin".into()], remove_groups: vec![held], ..of(&own.email) },
    ] {
        refused(updated(&bench, change).await, Code::Forbidden, "policy.callers of `local`");
    }
    assert_eq!(bench.writes(), 0);
    let good = UpdateUser { add_groups: vec!["Sales Berlin".into()], ..of(&own.email) };
    assert_eq!(updated(&bench, good).await.unwrap().outcome, Outcome::Done);
    let request = new(Some(&department), &["Engineering"]);
    assert_eq!(provisioned(&bench, request).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn t14_a_caller_restores_only_whom_it_could_create() {
    let bench = Bench::new().await;
    let user = somebody(&bench);
    assert_eq!(deleted(&bench, &user.email).await.outcome, Outcome::Done);
    let strict = beside(&bench, scoped(&user, "helpdesk")).await;
    let restore = RestoreUser { capture: user.email.clone() };
    let asked = strict.lifecycle.restore(remote("helpdesk"), restore.clone()).await;
    refused(asked, Code::Forbidden, "policy.callers of `helpdesk`");
    assert!(strict.lifecycle.restore(remote("someone"), restore).await.is_ok());
}

#[tokio::test]
async fn t14_a_tool_that_the_rule_leaves_out_is_refused_before_zia_is_asked() {
    let rule =
        CallerRule { caller: "*".into(), tools: Some(vec![Action::ProvisionUser]), ..CallerRule::default() };
    let bench = under(Policy { callers: vec![rule], ..Policy::default() }).await;
    let (by, user): (Actor, _) = (remote("any"), "casey.commented@example.com");
    let rule = "policy.callers of `*`";
    refused(bench.lifecycle.deprovision(by.clone(), leaver(user)).await, Code::Forbidden, rule);
    let all = DeprovisionUsers { users: vec![user.into()], reason: None };
    refused(bench.lifecycle.deprovision_users(by.clone(), all).await, Code::Forbidden, rule);
    refused(bench.lifecycle.update(by.clone(), of(user)).await, Code::Forbidden, rule);
    refused(
        bench.lifecycle.restore(by.clone(), RestoreUser { capture: user.into() }).await,
        Code::Forbidden,
        rule,
    );
    refused(bench.lifecycle.activate(by.clone()).await, Code::Forbidden, rule);
    assert_eq!(bench.tenant.counters().values().sum::<u64>(), 0, "{:?}", bench.tenant.counters());
    assert!(bench.lifecycle.provision(by, newcomer("nora@example.com")).await.is_ok());
}

#[tokio::test]
async fn t24_a_threshold_that_was_set_holds_over_every_channel() {
    let yes = |by: &str| Decision { approve: true, by: by.into(), subject: None, channel: "code".into() };
    for (threshold, users, over, two) in [
        (None, 26, local(), false),
        (None, 26, remote("bot"), true),
        (None, 25, remote("bot"), false),
        (Some(2), 3, local(), true),
        (Some(3), 3, local(), false),
        (Some(30), 26, remote("bot"), false),
    ] {
        let bench = under(Policy { two_person_threshold: threshold, ..Policy::default() }).await;
        bench.enrolled(&["Olga", "Max"]).await;
        let users: Vec<_> = (0..users).map(|at| plain_at(&bench, at)).collect();
        let request = several(&users.iter().collect::<Vec<_>>());
        let begun = bench.lifecycle.deprovision_users(over, request).await.unwrap();
        let first = bench.lifecycle.decide(&begun.operation, yes("Olga")).await.unwrap();
        assert_eq!(first == Decided::OneOfTwo, two, "{threshold:?} {}", users.len());
    }
}

#[tokio::test]
async fn t24_an_operation_holds_no_more_users_than_the_operator_says() {
    let bench = under(Policy { max_users_per_operation: 2, ..Policy::default() }).await;
    let users: Vec<_> = (0..3).map(|at| plain_at(&bench, at)).collect();
    let asked = bench.lifecycle.deprovision_users(local(), several(&users.iter().collect::<Vec<_>>())).await;
    refused(asked, Code::LimitExceeded, "at most 2 users");
    assert!(bench.lifecycle.deprovision_users(local(), several(&[&users[0], &users[1]])).await.is_ok());
}

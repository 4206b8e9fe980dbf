//! What a tenant starts with, and how fast.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use zia_mcp::sandbox::{Endpoint, Fault, SandboxOptions, SandboxTenant, SandboxUser};

use super::lab::{Lab, options};

#[tokio::test]
async fn a_seed_makes_the_same_tenant_again() {
    let started = async |seed| {
        let lab = Lab::start(SandboxOptions { users: 500, seed, ..options() }).await;
        lab.tenant.users()
    };
    let (one, again, other) = (started(1).await, started(1).await, started(2).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert_eq!(one.len(), 500);
}

#[tokio::test]
async fn the_awkward_users_are_always_there() {
    let lab = Lab::start(SandboxOptions { users: 0, ..options() }).await;
    let user = |number: u64| lab.tenant.user(165_000_000 + number).unwrap();
    assert_eq!(lab.tenant.users().len(), 24);
    assert_eq!(user(1).email, lab.tenant.settings().username);
    assert!(user(1).admin_user && user(2).admin_user);
    assert_eq!(user(3).name, "山田 太郎");
    assert!(user(4).name.contains("e\u{308}"), "not composed");
    assert!(user(6).name.contains('🦜'));
    assert_eq!(user(7).name, user(8).name);
    assert!(user(9).non_editable && user(10).disabled && user(11).department.is_none());
    assert_eq!(user(12).groups.len(), 5);
    assert!(user(13).comments.is_some());
    assert_eq!((user(14).name.len(), user(14).name.ends_with('=')), (44, true));
    assert!(user(16).name.contains('\u{1b}') && user(16).name.contains('\u{202e}'));
    assert_eq!(user(18).email, "\u{430}lex.payne@example.com");
    assert_ne!(user(17).email, user(18).email);
    assert_eq!(user(20).name, user(7).email);
    assert!(user(23).email.contains(&user(22).email));
    assert_eq!(user(24).name.chars().count(), 127);
}

#[tokio::test]
async fn ordinary_users_are_a_plausible_mixture() {
    let lab = Lab::start(SandboxOptions { users: 4000, ..options() }).await;
    let users = lab.tenant.users();
    let count = |is: fn(&SandboxUser) -> bool| users.iter().filter(|user| is(user)).count();
    assert!((3200..3500).contains(&count(|user| user.department.is_some())));
    assert!((200..400).contains(&count(|user| user.comments.is_some())));
    assert!((40..120).contains(&count(|user| user.disabled)));
    assert!((5..50).contains(&count(|user| user.admin_user)));
    assert!((15..70).contains(&count(|user| user.non_editable)));
    let mut emails: Vec<_> = users.iter().map(|user| user.email.to_lowercase()).collect();
    emails.sort();
    emails.dedup();
    assert_eq!(emails.len(), 4000);
}

#[tokio::test]
async fn two_hundred_thousand_users_are_soon_there_and_paged() {
    let since = Instant::now();
    let lab = Lab::signed_in_with(SandboxOptions { users: 200_000, ..options() }).await;
    let page = lab.get("/users?pageSize=10000&page=20").await;
    let rows: Value = page.json();
    assert_eq!(rows.as_array().unwrap().len(), 10_000);
    assert_eq!(lab.get("/users?pageSize=20000&page=21").await.text, "[]", "pages are at most 10,000");
    assert_eq!(lab.get("/users?name=no-such-person").await.text, "[]");
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}, in a debug build", since.elapsed());
}

#[tokio::test]
async fn only_loopback_is_served() {
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    assert!(SandboxTenant::start(SandboxOptions { listen, ..options() }).await.is_err());
}

#[tokio::test]
async fn a_tenant_that_is_shut_down_leaves_its_port() {
    let lab = Lab::signed_in().await;
    let listen = lab.tenant.address();
    lab.tenant.faults().switch_on(Fault::Hang { applied: false });
    #[allow(clippy::disallowed_methods)] // raw on purpose
    let hanging = tokio::spawn(lab.client().get(format!("{}/api/v1/users", lab.tenant.base_url())).send());
    lab.tenant.arrived(Endpoint::ListUsers, 1).await;
    tokio::time::timeout(Duration::from_secs(5), lab.tenant.shutdown()).await.unwrap();
    assert!(hanging.await.unwrap().is_err(), "the open call is broken off");
    SandboxTenant::start(SandboxOptions { listen, ..options() }).await.unwrap();
}

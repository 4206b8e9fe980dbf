//! The index of users: filled page by page, kept fresh, and what it spares.

mod changes;
mod filling;

use std::time::Duration;

use tokio::task::JoinHandle;
use zia_mcp::{
    lifecycle::{FindUser, IndexSettings, Match, Settings, Source},
    sandbox::{Endpoint, Fault},
};

use super::{deleted, found, ids, newcomer, plain_at, provisioned, query, until};
use crate::support::{Bench, Plan, killed, local};

/// A tenant of so many users that gives at most 100 of them a page, and a background without pauses.
fn paged(users: usize) -> Plan {
    let plan = Plan::of_users(users);
    let tick = Duration::from_millis(20);
    let index =
        IndexSettings { lists_an_hour: 10_000, pause: Duration::ZERO, tick, ..IndexSettings::default() };
    Plan { settings: Settings { index, ..plan.settings }, ..plan }
}

async fn bench(users: usize) -> Bench {
    let bench = Bench::with(paged(users)).await;
    bench.tenant.faults().switch_on(Fault::PageSizeCap { rows: 100 }.on(Endpoint::ListUsers));
    bench
}

/// The background of a server; ends when it is dropped.
struct Filler(JoinHandle<()>);

impl Drop for Filler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn filler(bench: &Bench) -> Filler {
    Filler(tokio::spawn(bench.lifecycle.clone().keep_index()))
}

async fn is_complete(bench: &Bench) -> bool {
    bench.lifecycle.tenant_status(&local()).await.unwrap().index.complete
}

/// Lets the background read the whole list, once.
async fn filled(bench: &Bench) {
    let _filler = filler(bench);
    until("the index is complete", async || is_complete(bench).await).await;
}

/// Lets a day pass, and the background read the whole list again.
async fn swept_again(bench: &Bench) {
    bench.pass(Duration::from_hours(25));
    let before = as_of(bench).await;
    let _filler = filler(bench);
    until("the list is read again", async || as_of(bench).await > before).await;
    // Who is missing is looked up after it, and then old changes are forgotten.
    let calls = || bench.tenant.calls(Endpoint::GetUser);
    let mut last = u64::MAX;
    until("nobody is looked up any more", async || {
        let before = std::mem::replace(&mut last, calls());
        tokio::time::sleep(Duration::from_millis(150)).await;
        before == calls()
    })
    .await;
}

async fn as_of(bench: &Bench) -> Option<jiff::Timestamp> {
    bench.lifecycle.tenant_status(&local()).await.unwrap().index.as_of
}

/// How often each page of the whole list was asked for.
fn pages_asked(bench: &Bench) -> Vec<(u32, usize)> {
    let journal = bench.tenant.journal();
    let of = |query: &str| query.split('&').find_map(|p| p.strip_prefix("page=")?.parse::<u32>().ok());
    let mut counts = std::collections::BTreeMap::new();
    for page in journal.iter().filter(|e| e.endpoint == Endpoint::ListUsers).filter_map(|e| of(&e.query)) {
        *counts.entry(page).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

#[tokio::test]
async fn with_a_warm_index_nothing_that_is_looked_for_costs_a_call() {
    let bench = bench(333).await;
    filled(&bench).await;
    let user = plain_at(&bench, 200);
    bench.tenant.clear_journal();
    let part = user.email.split('@').next().unwrap().to_owned();
    for asked in [user.email.clone(), user.email.to_uppercase(), user.id.to_string()] {
        let found = found(&bench, &asked).await;
        assert_eq!((ids(&found), found.matched, found.source), (vec![user.id], Match::Exact, Source::Index));
        assert!(found.complete);
    }
    assert!(ids(&found(&bench, &part).await).contains(&user.id));
    for asked in ["nobody@example.com", "999999999", "no such name"] {
        let nobody = found(&bench, asked).await;
        assert_eq!((nobody.matched, nobody.complete, nobody.source), (Match::None, true, Source::Index));
        assert_eq!(Some(nobody.as_of), as_of(&bench).await);
    }
    assert_eq!(bench.tenant.calls(Endpoint::ListUsers) + bench.tenant.calls(Endpoint::GetUser), 0);
    let fresh = bench.lifecycle.find_user(FindUser { fresh: true, ..query(&user.email) }).await.unwrap();
    assert_eq!((fresh.source, ids(&fresh)), (Source::Live, vec![user.id]));
    assert!(bench.tenant.calls(Endpoint::ListUsers) > 0);
}

#[tokio::test]
async fn the_index_outlives_its_process_and_serves_another_one() {
    let bench = bench(333).await;
    filled(&bench).await;
    let next = bench.beside(paged(333)).await;
    bench.tenant.clear_journal();
    let user = plain_at(&bench, 100);
    assert_eq!(ids(&found(&next, &user.email).await), [user.id]);
    assert!(ids(&found(&next, &user.name).await).contains(&user.id));
    assert!(bench.tenant.journal().is_empty());
    // What one process writes, the other finds, by parts of the name, too.
    provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    bench.tenant.clear_journal();
    assert_eq!(found(&next, "nora newc").await.users.len(), 1);
    assert_eq!(found(&next, "nora.new@example.com").await.users.len(), 1);
    deleted(&bench, "nora.new@example.com").await;
    bench.tenant.clear_journal();
    assert_eq!(found(&next, "nora newc").await.users.len(), 0);
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn an_index_that_nobody_filled_for_two_days_asks_zia_again() {
    let bench = bench(83).await;
    filled(&bench).await;
    let user = plain_at(&bench, 3);
    bench.pass(Duration::from_hours(47));
    assert_eq!(found(&bench, "nobody@example.com").await.source, Source::Index);
    bench.pass(Duration::from_hours(2));
    assert_eq!(found(&bench, "nobody@example.com").await.source, Source::Live);
    bench.pass(Duration::from_hours(49));
    assert_eq!(found(&bench, "alex").await.source, Source::Live);
    // The row of one user answers whatever its age, and says how old it is.
    let seen_at = found(&bench, &user.email).await.as_of;
    bench.pass(Duration::from_hours(100));
    let old = found(&bench, &user.email).await;
    assert_eq!((old.source, ids(&old), old.as_of), (Source::Index, vec![user.id], seen_at));
}

#[tokio::test]
async fn a_row_that_was_moved_to_another_user_opens_for_neither() {
    let bench = bench(83).await;
    filled(&bench).await;
    let (one, two) = (plain_at(&bench, 1), plain_at(&bench, 2));
    bench
        .raw_sql(
            "UPDATE index_users SET sealed = (SELECT o.sealed FROM index_users o WHERE o.place <> index_users.place \
             ORDER BY o.place LIMIT 1) WHERE place <> (SELECT MIN(place) FROM index_users)",
        )
        .await;
    for user in [one, two] {
        let found = found(&bench, &user.email).await;
        assert_eq!((found.source, ids(&found)), (Source::Live, vec![user.id]));
    }
}

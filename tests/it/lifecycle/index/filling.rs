//! Filling, and what comes in between.

use zia_mcp::{
    lifecycle::ProvisionUser,
    model::{Per, Window},
    zia::Limits,
};

use super::*;

#[tokio::test]
async fn f35_many_pages_are_read_once_each_and_the_index_is_whole() {
    let bench = bench(2_345).await;
    filled(&bench).await;
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!((status.index.users, status.index.complete), (2_345, true));
    let once: Vec<_> = (1..=24).map(|page| (page, 1)).collect();
    assert_eq!(pages_asked(&bench), once);
}

#[tokio::test]
async fn a_small_tenant_costs_one_list_and_a_look_behind_it() {
    let bench = Bench::with(paged(83)).await;
    filled(&bench).await;
    assert_eq!(pages_asked(&bench), [(1, 1), (2, 1)]);
}

#[tokio::test]
async fn f35_an_index_is_whole_whatever_the_tenant_caps_its_pages_at() {
    for (cap, users) in [(25, 333), (99, 333), (130, 333), (83, 166), (100, 100), (7, 45)] {
        let bench = Bench::with(paged(users)).await;
        bench.tenant.faults().switch_on(Fault::PageSizeCap { rows: cap }.on(Endpoint::ListUsers));
        filled(&bench).await;
        assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, users as u64, "{cap}");
        let last = bench.tenant.users().into_iter().next_back().unwrap();
        assert_eq!(ids(&found(&bench, &last.email).await), [last.id], "{cap}");
    }
}

#[tokio::test]
async fn f35_a_cap_that_came_after_the_first_sweep_hides_nobody_from_the_next_one() {
    let bench = Bench::with(paged(333)).await;
    filled(&bench).await;
    bench.tenant.faults().switch_on(Fault::PageSizeCap { rows: 25 }.on(Endpoint::ListUsers));
    let email = "zz.last@example.com";
    let body = serde_json::json!({"name": "Zz Last", "email": email, "groups": []});
    let id = bench.tenant.other_admin().create_user(&body, false).unwrap().id;
    swept_again(&bench).await;
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!((status.index.users, status.index.complete), (334, true));
    let last = found(&bench, email).await;
    assert_eq!((ids(&last), last.source), (vec![id], Source::Index));
}

#[tokio::test]
async fn what_a_sweep_learned_of_page_lengths_spares_the_next_process_a_list() {
    let bench = Bench::with(paged(333)).await;
    filled(&bench).await;
    let gone = plain_at(&bench, 3);
    deleted(&bench, &gone.email).await;
    let next = bench.beside(paged(333)).await;
    bench.tenant.clear_journal();
    let fresh = FindUser { fresh: true, ..query("nobody@example.com") };
    let nobody = next.lifecycle.find_user(fresh).await.unwrap();
    assert_eq!((nobody.matched, nobody.complete), (Match::None, true));
    assert_eq!(pages_asked(&bench), [(1, 1)]);
}

#[tokio::test]
async fn f35_a_page_that_fails_three_times_is_asked_for_until_it_comes_and_the_others_once() {
    let bench = bench(1_234).await;
    // The client itself asks more than once each time.
    let fails = Fault::ServerError { status: 503, applied: false };
    bench.tenant.faults().switch_on(fails.on(Endpoint::ListUsers).after(6).times(9));
    filled(&bench).await;
    let asked = pages_asked(&bench);
    assert_eq!(asked.iter().map(|(page, _)| *page).collect::<Vec<_>>(), (1..=13).collect::<Vec<_>>());
    assert!(asked.iter().all(|(page, times)| *times == if *page == 7 { 10 } else { 1 }), "{asked:?}");
    assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, 1_234);
}

#[tokio::test]
async fn f35_a_server_that_is_killed_goes_on_at_the_page_where_it_was() {
    let bench = bench(2_345).await;
    let doomed = bench.beside(paged(2_345)).await;
    bench.tenant.faults().switch_on(Fault::Delay { ms: 15 }.on(Endpoint::ListUsers));
    let calls = || bench.tenant.calls(Endpoint::ListUsers);
    killed(
        async move {
            let doomed = doomed;
            doomed.lifecycle.clone().keep_index().await;
        },
        until("some pages are read", async || calls() >= 8),
    )
    .await;
    let after = calls();
    assert!((8..20).contains(&after), "{after}");
    assert!(!is_complete(&bench).await);
    bench.tenant.faults().switch_off("delay");
    filled(&bench).await;
    assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, 2_345);
    // The page that was being read when the server died, and no other, may have come twice.
    let twice = pages_asked(&bench).into_iter().filter(|(_, times)| *times > 1).count();
    assert!(twice <= 1 && calls() <= 25, "{:?}", pages_asked(&bench));
}

#[tokio::test]
async fn f35_users_who_come_while_the_list_is_read_are_there_once() {
    let bench = bench(1_000).await;
    bench.tenant.faults().switch_on(Fault::Delay { ms: 10 }.on(Endpoint::ListUsers));
    let filling = filler(&bench);
    until("some pages are read", async || bench.tenant.calls(Endpoint::ListUsers) >= 3).await;
    for n in 0..20 {
        // Names at the beginning of the order shift every page that comes.
        let name = format!("Aaa {n}");
        let request = ProvisionUser { name, ..newcomer(&format!("aaa.{n}@example.com")) };
        provisioned(&bench, request).await.unwrap();
    }
    until("the index is complete", async || is_complete(&bench).await).await;
    drop(filling);
    let mut there: Vec<_> = bench.tenant.users().iter().map(|u| u.id).collect();
    there.sort_unstable();
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!(status.index.users, there.len() as u64);
    for n in 0..20 {
        assert_eq!(found(&bench, &format!("aaa.{n}@example.com")).await.source, Source::Index);
    }
}

#[tokio::test]
async fn f35_rows_that_come_again_are_told_as_a_list_that_shifted() {
    let bench = bench(333).await;
    bench.tenant.faults().switch_on(Fault::PageShift { rows: 5 }.on(Endpoint::ListUsers));
    filled(&bench).await;
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!((status.index.users, status.index.complete), (333, true));
    assert!(status.warnings.iter().any(|w| w.contains("came or went")), "{:?}", status.warnings);
}

#[tokio::test]
async fn of_two_processes_on_a_store_one_reads_the_list_and_the_other_takes_over_when_it_dies() {
    let bench = bench(1_234).await;
    let other = bench.beside(paged(1_234)).await;
    let (one, two) = (filler(&bench), filler(&other));
    until("the index is complete", async || is_complete(&bench).await).await;
    assert!(pages_asked(&bench).iter().all(|(_, times)| *times == 1), "{:?}", pages_asked(&bench));
    drop((one, two));
    other.tenant.clear_journal();
    // The first one ends without a word; its turn does not have to lapse.
    let before = as_of(&other).await;
    drop(bench);
    other.pass(Duration::from_hours(25));
    let _two = filler(&other);
    until("the list is read again", async || as_of(&other).await > before).await;
}

/// A tenant of which ten lists an hour are allowed, half of them to the background.
fn ten_lists_an_hour() -> Plan {
    let mut limits = Limits::documented();
    for (limit, per) in [(1_000, Per::Second), (1_000, Per::Minute), (10, Per::Hour)] {
        limits = limits.with("GET /users", Window { limit, per }).unwrap();
    }
    Plan { limits: limits.with_background(50), counted: true, ..paged(1_234) }
}

#[tokio::test]
async fn the_background_keeps_to_its_share_of_the_lists_and_goes_on_an_hour_later() {
    let bench = Bench::with(ten_lists_an_hour()).await;
    bench.tenant.faults().switch_on(Fault::PageSizeCap { rows: 100 }.on(Endpoint::ListUsers));
    // The session ends with every hour, and a list that meets that is asked for once more.
    let answered = || {
        let journal = bench.tenant.journal();
        journal.iter().filter(|e| e.endpoint == Endpoint::ListUsers && e.status == Some(200)).count()
    };
    for hour in 1..=2 {
        // A server that begins anew knows what the one before it used.
        let server = bench.beside(ten_lists_an_hour()).await;
        let _filler = filler(&server);
        let due = 5 * hour;
        until("an hour's share is used", async || answered() == due).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(answered(), due);
        assert!(!is_complete(&server).await);
        let status = server.lifecycle.tenant_status(&local()).await.unwrap();
        assert!(status.warnings.iter().any(|w| w.contains("is being filled")), "{:?}", status.warnings);
        bench.pass(Duration::from_secs(3_700));
    }
    let server = bench.beside(ten_lists_an_hour()).await;
    let _filler = filler(&server);
    until("the index is complete", async || is_complete(&bench).await).await;
    assert_eq!(answered(), 13);
}

#[tokio::test]
async fn a_tenant_that_gives_the_same_page_again_is_not_asked_without_end() {
    let bench = Bench::with(paged(60)).await;
    let users = bench.tenant.users();
    let rows: Vec<_> = (0..50)
        .map(|n| serde_json::json!({"id": users[n].id, "name": users[n].name, "email": users[n].email, "groups": []}))
        .collect();
    let body = serde_json::Value::from(rows).to_string();
    let fault =
        Fault::AnswerWith { status: 200, content_type: "application/json".into(), body, applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::ListUsers));
    let _filler = filler(&bench);
    until("the list is read", async || bench.tenant.calls(Endpoint::ListUsers) >= 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.tenant.calls(Endpoint::ListUsers), 2);
    assert!(!is_complete(&bench).await);
}

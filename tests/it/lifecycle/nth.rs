//! A store that fails at its n-th call, for every n (I1, I2, I4, I5, I6, I10, I11, F7, F8).
//!
//! Each call of the store fails in its turn: before anything was done, at the commit, or after a
//! commit whose answer is lost. Then the store is mended, the server goes on or another one takes
//! over, everything comes to rest, and what is on record is held against the tenant's own journal.

mod oracle;
mod plot;
mod work;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot;
use zia_mcp::{
    lifecycle::{Failure, Outcome, Pace, Report, Settings},
    store::{Mishap, Step},
};

use super::until;
use crate::support::{Bench, Plan, killed};
use oracle::Mark;
use plot::{Planned, Plot};
use work::{Tool, Work};

/// Runs that go on side by side; most of each is waiting.
const ABREAST: usize = 8;

/// Longer than an approved operation may take until its task runs.
const STARTED: Duration = Duration::from_secs(6);

type Answer = Result<Report, Failure>;

fn quick() -> Plan {
    let moments = |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect();
    let pace = Pace {
        looks: moments(&[0, 20, 40]),
        sparing_looks: moments(&[0, 20]),
        rounds: moments(&[20, 40, 80, 160]),
        probe: Duration::from_millis(20),
        turn: Duration::from_millis(20),
    };
    let plan = Plan::default();
    Plan { settings: Settings { pace, ..plan.settings }, ..plan }
}

/// Runs that nothing befalls, side by side: how often the store is called in each at the least.
///
/// How often one looks, and in how many rounds, is as the time falls.
async fn undisturbed(tool: Tool, step: Step) -> usize {
    let runs = (0..ABREAST / 2).map(|_| one_undisturbed(tool, step));
    futures::future::join_all(runs).await.into_iter().min().unwrap()
}

async fn one_undisturbed(tool: Tool, step: Step) -> usize {
    let bench = Bench::with(quick()).await;
    let work = Work::prepare(tool, &bench).await;
    let (planned, trouble) = Planned::new(Plot::never());
    let server = bench.beside(Plan { trouble, ..quick() }).await;
    planned.begin();
    let answer = work.ask(&server.lifecycle).await;
    assert!(answer.as_ref().is_ok_and(|r| r.outcome == Outcome::Done), "{tool:?} {answer:?}");
    planned.count(step)
}

/// Every n, and whether the server lives on or ends after its answer.
async fn every_nth(tool: Tool, step: Step, how: Mishap) {
    let calls = undisturbed(tool, step).await;
    assert!(calls > 3, "{tool:?} {step:?}");
    let plots = (1..=calls).flat_map(|nth| {
        let plot = Plot { step, how, nth, lasting: false };
        [(plot, false), (Plot { lasting: true, ..plot }, nth % 2 == 0)]
    });
    // Caught, so that all that fail are told.
    let runs = futures::stream::iter(plots)
        .map(|(plot, ends)| AssertUnwindSafe(run(tool, plot, ends)).catch_unwind());
    let ended: Vec<_> = runs.buffer_unordered(ABREAST).collect().await;
    let failed = ended.iter().filter(|run| run.is_err()).count();
    assert_eq!(failed, 0, "{tool:?} {step:?} {how:?}: so many of {} runs failed", ended.len());
    let struck = ended.iter().flatten().filter(|struck| **struck).count();
    // Some of the last readings, and how often one looks whether it has ended, are as the time falls.
    assert!(struck + 4.max(calls / 5) >= calls * 2, "{tool:?} {step:?}: {struck} of {}", calls * 2);
}

/// One run; tells whether its trouble came about.
async fn run(tool: Tool, plot: Plot, ends: bool) -> bool {
    let bench = Bench::with(quick()).await;
    let work = Work::prepare(tool, &bench).await;
    let mark = Mark::of(&bench).await;
    let (planned, trouble) = Planned::new(plot);
    let server = bench.beside(Plan { trouble, ..quick() }).await;
    planned.begin();
    let (answer, next) = if ends {
        ending(&work, &bench, server, &planned).await
    } else {
        living(&work, server, &planned).await
    };
    let case = format!("{tool:?} {plot:?} ends={ends}: {answer:?}");
    mark.check_answer(&bench, &work, &answer, &case);
    planned.mend();
    bench.pass(STARTED);
    at_rest(&bench, &next, &mark, &case).await;
    mark.check_claims(&bench, &work, &case).await;
    // Whoever asks again gets what they want, whatever came before.
    let again = looked_after(&work, &next).await;
    assert!(matches!(&again, Ok(report) if Work::is_done_by_now(report)), "{case}\nagain: {again:?}");
    at_rest(&bench, &next, &mark, &case).await;
    mark.check_end(&bench, &work, &case).await;
    planned.struck()
}

/// The server goes on and looks after what it left behind, as it does every ten seconds.
async fn living(work: &Work, server: Bench, planned: &Planned) -> (Answer, Bench) {
    let asking = work.ask(&server.lifecycle);
    let looking_after = async {
        loop {
            tokio::time::sleep(Duration::from_millis(30)).await;
            if planned.struck() {
                let _ = server.lifecycle.recover().await;
                planned.mend();
            }
        }
    };
    let answer = tokio::select! {
        answer = asking => answer,
        never = looking_after => never,
    };
    (answer, server)
}

/// Asks while the server looks after what it left behind: on a slow machine the store may be late by itself.
async fn looked_after(work: &Work, server: &Bench) -> Answer {
    let looking_after = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let _ = server.lifecycle.recover().await;
        }
    };
    tokio::select! {
        answer = work.ask(&server.lifecycle) => answer,
        never = looking_after => never,
    }
}

/// The server is killed soon after its trouble, or right after its answer, and another one comes.
async fn ending(work: &Work, bench: &Bench, server: Bench, planned: &Arc<Planned>) -> (Answer, Bench) {
    let (tell, told) = oneshot::channel();
    let (mut answer, work, plot) = (None, work.clone(), planned.clone());
    killed(
        async move {
            // All of it: a store left outside would still be alive.
            let server = server;
            let _ = tell.send(work.ask_until_struck(&server.lifecycle, &plot).await);
            std::future::pending::<()>().await;
        },
        async { answer = told.await.ok() },
    )
    .await;
    planned.mend();
    (answer.unwrap(), bench.beside(quick()).await)
}

/// Waits until nothing is under way (I11).
async fn at_rest(bench: &Bench, next: &Bench, mark: &Mark, case: &str) {
    until(&format!("at rest: {case}"), async || {
        next.lifecycle.recover().await.unwrap();
        mark.is_at_rest(bench).await
    })
    .await;
}

macro_rules! every_nth {
    ($($name:ident: $work:ident, $step:ident, $how:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            every_nth(Tool::$work, Step::$step, Mishap::$how).await;
        })*
    };
}

every_nth! {
    t26_provision_whichever_transaction_does_not_begin: Provision, Begin, NotDone;
    t26_provision_whichever_commit_fails: Provision, Commit, NotDone;
    provision_whichever_commit_is_not_heard_of: Provision, Commit, DoneUnheard;
    provision_whichever_reading_fails: Provision, Read, NotDone;
    t26_update_whichever_transaction_does_not_begin: Update, Begin, NotDone;
    t26_update_whichever_commit_fails: Update, Commit, NotDone;
    update_whichever_commit_is_not_heard_of: Update, Commit, DoneUnheard;
    update_whichever_reading_fails: Update, Read, NotDone;
    t26_deprovision_whichever_transaction_does_not_begin: Deprovision, Begin, NotDone;
    t26_deprovision_whichever_commit_fails: Deprovision, Commit, NotDone;
    deprovision_whichever_commit_is_not_heard_of: Deprovision, Commit, DoneUnheard;
    deprovision_whichever_reading_fails: Deprovision, Read, NotDone;
    t26_several_whichever_transaction_does_not_begin: Several, Begin, NotDone;
    t26_several_whichever_commit_fails: Several, Commit, NotDone;
    several_whichever_commit_is_not_heard_of: Several, Commit, DoneUnheard;
    several_whichever_reading_fails: Several, Read, NotDone;
    t26_restore_whichever_transaction_does_not_begin: Restore, Begin, NotDone;
    t26_restore_whichever_commit_fails: Restore, Commit, NotDone;
    restore_whichever_commit_is_not_heard_of: Restore, Commit, DoneUnheard;
    restore_whichever_reading_fails: Restore, Read, NotDone;
    t26_activate_whichever_transaction_does_not_begin: Activate, Begin, NotDone;
    t26_activate_whichever_commit_fails: Activate, Commit, NotDone;
    activate_whichever_commit_is_not_heard_of: Activate, Commit, DoneUnheard;
    activate_whichever_reading_fails: Activate, Read, NotDone;
}

//! Broken off at every step: by a store that fails, and by SIGKILL.

use std::{
    fs,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use futures::StreamExt as _;
use zia_mcp::store::{Mishap, OldKeys, Step, Store, Trouble};

use crate::place::is_on_postgres;

use super::{Held, Home, fill, key_path, keys_in_file, person, rekeyed, sealed};

/// Fails the n-th call from the moment that it is armed; remembers all.
fn failing(nth: usize, how: Mishap) -> (Trouble, Arc<AtomicBool>, Arc<Mutex<Vec<Step>>>) {
    let (armed, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Step>>>::default());
    let trouble = Trouble::planned({
        let (armed, seen) = (armed.clone(), seen.clone());
        move |step| {
            if !armed.load(Ordering::SeqCst) {
                return None;
            }
            let mut seen = seen.lock().unwrap();
            seen.push(step);
            (seen.len() == nth).then_some(how)
        }
    });
    (trouble, armed, seen)
}

/// A change of the key in which the n-th call fails; tells whether it ended well, and the calls.
async fn attempt(home: &Home, nth: usize, how: Mishap) -> (bool, Vec<Step>) {
    let (trouble, armed, seen) = failing(nth, how);
    let store = Store::open_with(&home.settings(), home.clock(), trouble).await.unwrap();
    armed.store(true, Ordering::SeqCst);
    let ended = store.rekey(OldKeys::Drop, &person()).await.is_ok();
    let seen = seen.lock().unwrap().clone();
    (ended, seen)
}

/// Whatever happened before, another run ends well and nothing is lost.
async fn ends_well(home: &Home, held: &Held) {
    held.is_there(&home.open().await).await;
    let done = rekeyed(&home.open().await).await;
    assert_eq!((done.unopened, done.dropped), (0, true));
    assert_eq!(keys_in_file(home), std::slice::from_ref(&done.key));
    assert!(sealed(home).await.iter().all(|(id, _)| *id == done.key));
    held.is_there(&home.open().await).await;
    let names = fs::read_dir(home.settings().state_dir).unwrap().map(|f| f.unwrap().file_name());
    let drafts: Vec<_> = names.filter(|n| n.to_string_lossy().ends_with(".new")).collect();
    assert!(drafts.is_empty(), "{drafts:?} hold keys");
}

#[tokio::test]
async fn broken_off_at_any_call_of_the_store_everything_opens_and_another_run_ends_well() {
    let home = Home::new();
    let held = fill(&home, &home.open().await, 1..8).await;
    let (ended, calls) = attempt(&home, usize::MAX, Mishap::NotDone).await;
    assert!(ended && calls.len() > 10, "{calls:?}");
    assert_eq!(calls.iter().filter(|s| **s == Step::KeyFile).count(), 2);
    ends_well(&home, &held).await;
    let hows = [Mishap::NotDone, Mishap::DoneUnheard];
    let cases = hows.into_iter().flat_map(|how| (1..=calls.len()).map(move |nth| (nth, how)));
    let broken_off = async |(nth, how)| {
        let home = Home::new();
        let held = fill(&home, &home.open().await, 1..8).await;
        let (ended, seen) = attempt(&home, nth, how).await;
        assert!(!ended, "{how:?} {nth} {seen:?}");
        ends_well(&home, &held).await;
    };
    futures::stream::iter(cases).for_each_concurrent(if is_on_postgres() { 1 } else { 8 }, broken_off).await;
}

#[tokio::test]
async fn broken_off_again_and_again_it_ends_well() {
    let home = Home::new();
    let held = fill(&home, &home.open().await, 1..20).await;
    for nth in (1..12).chain((1..12).rev()) {
        attempt(&home, nth, if nth % 2 == 0 { Mishap::NotDone } else { Mishap::DoneUnheard }).await;
        held.is_there(&home.open().await).await;
        assert!(keys_in_file(&home).len() <= 2, "each run goes on with the key that is there");
    }
    ends_well(&home, &held).await;
}

fn program(home: &Home) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
    command
        .args(["store", "rekey"])
        .env_clear()
        .env("ZIA_MCP_STATE_DIR", home.settings().state_dir)
        .envs(home.tmp.env());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn killed_at_some_instants_nothing_is_lost_and_another_run_ends_well() {
    let home = Home::new();
    // Each value is a round trip there.
    let held = fill(&home, &home.open().await, if is_on_postgres() { 1..60 } else { 1..240 }).await;
    let start = Instant::now();
    let whole = program(&home).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let (took, mut cut, mut old) = (start.elapsed(), 0, Vec::new());
    for part in 1..=12 {
        let before = keys_in_file(&home);
        let mut child = program(&home).spawn().unwrap();
        std::thread::sleep(took.mul_f64(f64::from(part) / 12.0));
        child.kill().unwrap();
        cut += usize::from(!child.wait().unwrap().success());
        assert!((1..=2).contains(&keys_in_file(&home).len()));
        old.extend(before);
        // Every second time it is broken off once more before it may end.
        if part % 2 == 0 {
            held.is_there(&home.open().await).await;
        }
    }
    assert!(cut > 3, "{cut} of 12 were killed in time; a whole one takes {took:?}");
    let last = program(&home).output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    ends_well(&home, &held).await;
    assert!(!old.iter().any(|key| keys_in_file(&home).contains(key)));
}

#[tokio::test]
async fn the_command_refuses_a_missing_or_a_wrong_key_and_tells_what_it_did() {
    let home = Home::new();
    let none = program(&home).output().unwrap();
    assert_eq!(none.status.code(), Some(69));
    assert!(!home.settings().state_dir.join("store.db").exists(), "a store was made");
    let held = fill(&home, &home.open().await, 1..4).await;
    let (key, away) = (key_path(&home), home.tmp.path().join("away"));
    fs::rename(&key, &away).unwrap();
    let missing = program(&home).output().unwrap();
    let told = String::from_utf8(missing.stderr).unwrap();
    assert_eq!((missing.status.code(), key.exists()), (Some(78), false), "{told}");
    assert!(told.contains("put the store's own key file back"), "{told}");
    let other = Home::new();
    other.open().await;
    fs::copy(key_path(&other), &key).unwrap();
    assert_eq!(program(&home).output().unwrap().status.code(), Some(78));
    fs::rename(&away, &key).unwrap();
    let done = program(&home).output().unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && printed.contains("the old keys are gone from"), "{printed}");
    assert!(printed.contains("back ") && printed.contains("18 values were sealed anew"), "{printed}");
    held.is_there(&home.open().await).await;
}

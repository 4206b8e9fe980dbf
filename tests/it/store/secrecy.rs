//! Nothing a person could read lies on the disk (T27, I7).

use std::{fs, path::Path};

use jiff::SignedDuration;
use serde_json::json;
use zia_mcp::{
    model::{Action, Actor, Channel, Digest, Named, State, Write},
    store::{
        Approval, By, IndexRow, NameKind, NameList, NewCapture, NewOperation, SendOutcome, Sighting, Store,
    },
};

use crate::place::is_of_files_alone;

use super::{Home, TENANT, entry, user};

/// Words that stand for personal data; each is unlike anything in a schema.
const WORDS: [&str; 7] =
    ["Quixanna", "Vandermolen", "qvandermolen", "zwiebelfisch", "Olgarina", "ClientName77", "caller-cyrene"];

async fn fill(home: &Home, store: &Store, n: i64) {
    let email = format!("qvandermolen{n}@zwiebelfisch.example");
    let arguments = json!({"user": email});
    let details = json!({
        "user": {"id": n, "name": "Quixanna Vandermolen", "email": email, "comments": "zwiebelfisch"},
        "reason": "Vandermolen left",
    });
    let new = NewOperation {
        tenant: TENANT.into(),
        action: Action::DeprovisionUser,
        actor: Actor::new("caller-cyrene", "ClientName77", Channel::Http),
        state: State::Awaiting,
        own: false,
        alone: false,
        arguments: Digest::of_json(&arguments),
        subject: Some(user(n)),
        users: Vec::new(),
        expires_at: home.now() + SignedDuration::from_mins(15),
        details: details.clone(),
    };
    let op = store.create_operation(new, entry()).await.unwrap();
    let raw = details.to_string();
    let new = NewCapture {
        tenant: TENANT,
        operation: op.id.clone(),
        user_id: user(n),
        email: &email,
        raw: raw.as_bytes(),
    };
    store.capture(new, entry()).await.unwrap();
    let approval = Approval { by: "Olgarina".into(), channel: "code".into(), digest: Digest::of(b"seen") };
    let op = store.approve(&op, approval, details.clone(), false, entry()).await.unwrap();
    let (op, permit) =
        store.begin_send(&op, Write::DeleteUser(user(n)), details.clone(), entry()).await.unwrap();
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    store.advance(&op, State::Verified, details.clone(), entry()).await.unwrap();
    let row = details["user"].to_string();
    let rows = [IndexRow { id: user(n), email: &email, row: &row, listed: n % 2 == 0 }];
    let (began, differs) = (home.now(), |_: &str, _: &str, _: bool| vec!["name"]);
    let sighting = Sighting { tenant: TENANT, rows: &rows, began, by: By::Elsewhere, all: true, differs };
    assert_eq!(store.note_users(&sighting).await.unwrap().new, 1);
    let items = vec![Named { id: n, name: "Quixanna Vandermolen".into() }];
    let list = NameList { items, as_of: began, complete: true };
    store.keep_names(TENANT, NameKind::Group, &list).await.unwrap();
    store.burn_nonce(&email, home.now() + SignedDuration::from_mins(1)).await.unwrap();
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn search(home: &Home, needles: &[Vec<u8>]) -> usize {
    search_in(&home.settings().state_dir, needles)
}

fn search_in(folder: &Path, needles: &[Vec<u8>]) -> usize {
    let mut size = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            size += search_in(&path, needles);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        size += bytes.len();
        for needle in needles {
            assert!(!holds(&bytes, needle), "{} holds {needle:02x?}", path.display());
        }
    }
    size
}

#[tokio::test]
async fn no_file_of_the_store_holds_a_name_an_address_or_a_comment() {
    if is_of_files_alone("what is in the file") {
        return;
    }
    let home = Home::new();
    let store = home.open().await;
    for n in 1..=50 {
        fill(&home, &store, n).await;
    }
    let mut needles: Vec<_> = WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
    // What could be guessed at without the key.
    for n in [1, 25, 50] {
        let email = format!("qvandermolen{n}@zwiebelfisch.example");
        needles.push(Digest::of(email.as_bytes()).as_bytes().to_vec());
        needles.push(Digest::of_json(&json!({"user": email})).as_bytes().to_vec());
    }
    let with_log = search(&home, &needles);
    let log = fs::metadata(home.settings().state_dir.join("store.db-wal")).unwrap();
    assert!(log.len() > 0 && with_log > 100_000, "the search saw the data");
    store.close().await;
    search(&home, &needles);
    assert!(holds(&fs::read(home.settings().state_dir.join("store.db")).unwrap(), TENANT.as_bytes()));
}

#[tokio::test]
async fn debug_forms_and_errors_hold_no_key() {
    let home = Home::new();
    let store = home.open().await;
    let key = fs::read_to_string(home.settings().state_dir.join("key")).unwrap();
    let shown = format!("{store:?} {:?}", home.settings());
    for word in key.split_whitespace().filter(|word| word.len() > 20) {
        assert!(!shown.contains(word));
    }
    let path = home.settings().state_dir.join("key");
    fs::write(&path, key.replace("wrap", "warp")).unwrap();
    let error = home.try_open().await.unwrap_err();
    let shown = format!("{error:?} {error}");
    for word in key.split_whitespace().filter(|word| word.len() > 15) {
        assert!(!shown.contains(word));
    }
}

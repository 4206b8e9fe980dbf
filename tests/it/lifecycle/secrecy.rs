//! After a thousand deletes nobody can be read off the disk (T27, I7).

use std::{collections::BTreeSet, fs, path::Path};

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use zia_mcp::{
    lifecycle::{
        Decision, DeprovisionUsers, INTERACTIVE, Outcome, Policy, ProvisionUser, RestoreUser, Settings,
    },
    sandbox::SandboxUser,
};

use super::{
    FIRST_ID, deleted, newcomer, provisioned,
    update::{of, updated},
};
use crate::{
    place::{Place, is_on_postgres},
    support::{Bench, Plan, local},
};

/// Fewer bytes may stand in ciphertext by chance.
const LEAST: usize = 6;

/// Users deleted one by one; the others are deleted as two operations.
const SINGLY: usize = 10;
const TOGETHER: usize = 495;

/// A tenant of which a thousand users may be deleted in a day.
async fn large() -> Bench {
    let policy = Policy { max_deletes_per_day: 2_000, ..Policy::default() };
    let plan = Plan::of_users(1_150);
    Bench::with(Plan { settings: Settings { policy, ..plan.settings }, ..plan }).await
}

async fn delete_all(bench: &Bench, users: &[SandboxUser]) {
    let users = users.iter().map(|u| u.email.clone()).collect();
    let request = DeprovisionUsers { users, reason: Some("the Quixotic site closes".into()) };
    let id = bench.lifecycle.deprovision_users(local(), request).await.unwrap().operation;
    bench.enrolled(&["Olgarina Approver"]).await;
    let yes =
        Decision { approve: true, by: "Olgarina Approver".into(), subject: None, channel: "code".into() };
    bench.lifecycle.decide(&id, yes).await.unwrap();
    let report = bench.lifecycle.wait(&id, INTERACTIVE).await.unwrap();
    let first = report.items.as_ref().and_then(|items| items.first());
    assert_eq!(report.outcome, Outcome::Done, "{:?} {first:?} {:?}", report.counts, report.notes);
}

/// Creates, changes and restores some users.
async fn others(bench: &Bench, gone: &SandboxUser, kept: &SandboxUser) {
    let comments = Some("knows Zwiebelfisch by heart".into());
    let new = ProvisionUser {
        name: "Quixanna Vandermolen".into(),
        comments: comments.clone(),
        ..newcomer("quixanna.vandermolen@example.com")
    };
    assert_eq!(provisioned(bench, new).await.unwrap().outcome, Outcome::Done);
    let change = zia_mcp::lifecycle::UpdateUser { comments, ..of(&kept.email) };
    assert_eq!(updated(bench, change).await.unwrap().outcome, Outcome::Done);
    let restore = RestoreUser { capture: gone.email.clone() };
    let begun = bench.lifecycle.restore(local(), restore).await.unwrap();
    assert_eq!(bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
}

/// Every name, address and comment of some users, and what else was said of them.
fn words(users: &[SandboxUser]) -> BTreeSet<String> {
    let of_one = |u: &SandboxUser| {
        let local_part = u.email.split('@').next().unwrap_or_default().to_owned();
        [Some(u.name.clone()), Some(u.email.clone()), Some(local_part), u.comments.clone()]
    };
    let all = users.iter().flat_map(of_one).flatten();
    let said = [
        "leaves on Friday",
        "Quixotic",
        "Olgarina",
        "Quixanna",
        "Vandermolen",
        "quixanna.vandermolen",
        "Zwiebelfisch",
    ];
    all.chain(said.map(str::to_owned)).filter(|word| word.len() >= LEAST).collect()
}

/// A word as it may stand in a file: as it is, as UTF-16, in hexadecimal, within base64.
fn forms(word: &str) -> Vec<Vec<u8>> {
    let bytes = word.as_bytes();
    let utf16 = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut forms = vec![bytes.to_vec(), utf16, hex.into_bytes()];
    // Without the digits that depend on what stands before and after.
    forms.extend((0..3).map(|before| {
        let text = STANDARD_NO_PAD.encode([&vec![0; before], bytes].concat()).into_bytes();
        text[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6].to_vec()
    }));
    forms
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
        }
    }
    found
}

/// What a store keeps: the files of its directory, and its database where that is not one of them.
async fn kept(place: &Place) -> Vec<(String, Vec<u8>)> {
    let mut all = files(&place.state());
    if place.url().is_some() {
        all.push(("database".to_owned(), place.dump().await));
    }
    all
}

/// Which words stand in the files of a state directory, and in which of them.
struct Search {
    words: Vec<String>,
    machine: AhoCorasick,
}

impl Search {
    fn of(words: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        let mut patterns = Vec::new();
        for word in words {
            for form in forms(&word) {
                all.push(word.clone());
                patterns.push(form);
            }
        }
        let machine = AhoCorasick::builder().ascii_case_insensitive(true).build(patterns).unwrap();
        Self { words: all, machine }
    }

    fn found<'a>(&'a self, files: &'a [(String, Vec<u8>)]) -> BTreeSet<(&'a str, &'a str)> {
        let mut found = BTreeSet::new();
        for (name, bytes) in files {
            let hits = self.machine.find_overlapping_iter(bytes);
            found.extend(hits.map(|hit| (self.words[hit.pattern().as_usize()].as_str(), name.as_str())));
        }
        found
    }
}

#[test]
fn the_search_finds_a_word_in_every_form() {
    let search = Search::of(["jane.doe@example.com".to_owned(), "Zoë Ωmega".to_owned()]);
    for word in ["jane.doe@example.com", "Zoë Ωmega"] {
        for pad in ["", "x", "xy", "xyz"] {
            let text = format!("{pad}{word}{pad}");
            let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let hex = text.bytes().map(|b| format!("{b:02X}")).collect::<String>();
            let base64 = STANDARD_NO_PAD.encode(&text);
            for bytes in [text.into_bytes(), utf16, hex.into_bytes(), base64.into_bytes()] {
                let found = search.found(&[("file".to_owned(), bytes.clone())]).len();
                assert_eq!(found, 1, "{word} {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}

#[tokio::test]
async fn t27_after_a_thousand_deletes_no_file_holds_a_name_an_address_or_a_comment() {
    let bench = large().await;
    let before = bench.tenant.users();
    let fit = |u: &&SandboxUser| !u.admin_user && !u.non_editable && u.id > FIRST_ID + 30;
    let plain: Vec<_> = before.iter().filter(fit).cloned().collect();
    for user in &plain[..SINGLY] {
        assert_eq!(deleted(&bench, &user.email).await.outcome, Outcome::Done);
    }
    delete_all(&bench, &plain[SINGLY..SINGLY + TOGETHER]).await;
    delete_all(&bench, &plain[SINGLY + TOGETHER..SINGLY + 2 * TOGETHER]).await;
    assert_eq!(bench.tenant.users().len(), before.len() - 1_000);
    others(&bench, &plain[0], plain.last().unwrap()).await;

    // What a store holds before it has seen anybody names nobody.
    let fresh = Bench::new().await;
    let empty = kept(&fresh.dir).await;
    let all = words(&before);
    let ordinary: BTreeSet<_> =
        Search::of(all.clone()).found(&empty).into_iter().map(|(w, _)| w.to_owned()).collect();
    assert!(all.len() > 3_000 && ordinary.len() < 5, "{ordinary:?}");
    // The tenant's name stands in clear: a search that does not find it finds nothing.
    let tenant = bench.store.audit_tenants().await.unwrap().remove(0);
    let search = Search::of(all.into_iter().filter(|w| !ordinary.contains(w)).chain([tenant.clone()]));
    let open = kept(&bench.dir).await;
    let size = |named: &str| open.iter().find(|(name, _)| name == named).map(|(_, bytes)| bytes.len());
    let data = if is_on_postgres() { "database" } else { "store.db" };
    assert!(is_on_postgres() || size("store.db-wal") > Some(100_000));
    assert!(open.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 1_000_000);
    bench.store.checkpoint().await.unwrap();
    bench.store.close().await;
    for files in [open, kept(&bench.dir).await] {
        let found = search.found(&files);
        assert!(found.contains(&(tenant.as_str(), data)), "the search sees the data");
        let others: Vec<_> = found.iter().filter(|(word, _)| *word != tenant).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

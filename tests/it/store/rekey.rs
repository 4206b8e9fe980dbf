//! Changing the key, with servers running and broken off anywhere (F46).

mod broken_off;
mod running;

use std::{fs, path::PathBuf};

use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use zia_mcp::{
    model::{Action, Actor, CaptureId, Channel, Digest, Named, OperationId, State},
    store::{
        Approval, By, IndexRow, NameKind, NameList, NewCapture, OldKeys, Rekeyed, Sighting, Store,
        StoreError, verify_chain,
    },
};

use super::{Home, TENANT, details, entry, user};

fn person() -> Actor {
    Actor::new("local", "zia-mcp store", Channel::Stdio)
}

/// What a store holds, so that it can be looked for again.
#[derive(Default)]
struct Held {
    operations: Vec<OperationId>,
    captures: Vec<CaptureId>,
    purged: Vec<CaptureId>,
    passwords: Vec<(OperationId, String)>,
    indexed: Vec<(i64, String)>,
}

fn raw(n: i64) -> Vec<u8> {
    format!("{{\"id\":{n},\"name\":\"Jane {n}\"}}").into_bytes()
}

fn password(n: i64) -> String {
    format!("First-pa55word-{n}")
}

/// A create whose password is kept.
async fn password_kept(home: &Home, store: &Store, n: i64) -> OperationId {
    let new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    let op = store.create_operation(new, entry()).await.unwrap();
    store.keep_password(&op, password(n).into()).await.unwrap();
    op.id
}

/// Operations with captures and approvals; every third is declined and purged.
async fn fill(home: &Home, store: &Store, users: std::ops::Range<i64>) -> Held {
    let mut held = Held::default();
    match store.enrol("Olga").await {
        Ok(_) | Err(StoreError::Conflict) => {}
        Err(error) => panic!("{error}"),
    }
    for n in users {
        let new = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(n)));
        let op = store.create_operation(new, entry()).await.unwrap();
        let (operation, email, raw) = (op.id.clone(), format!("user{n}@example.com"), raw(n));
        let new = NewCapture { tenant: TENANT, operation, user_id: user(n), email: &email, raw: &raw };
        let capture = store.capture(new, entry()).await.unwrap().id;
        if n % 3 == 0 {
            store.advance(&op, State::Declined, details(), entry()).await.unwrap();
            store.purge(std::slice::from_ref(&capture), "id", None).await.unwrap();
            held.purged.push(capture);
        } else {
            let approval =
                Approval { by: "Olga".into(), channel: "code".into(), digest: Digest::of(b"seen") };
            store.approve(&op, approval, details(), false, entry()).await.unwrap();
            held.captures.push(capture);
        }
        held.operations.push(op.id);
        let raw = String::from_utf8(raw).unwrap();
        let rows = [IndexRow { id: user(n), email: &email, row: &raw, listed: true }];
        let differs = |_: &str, _: &str, _: bool| Vec::new();
        let sighting = Sighting {
            tenant: TENANT,
            rows: &rows,
            began: home.now(),
            by: By::Elsewhere,
            all: true,
            differs,
        };
        store.note_users(&sighting).await.unwrap();
        let items = vec![Named { id: 1, name: "Sales".into() }];
        let list = NameList { items, as_of: home.now(), complete: true };
        store.keep_names(TENANT, NameKind::Group, &list).await.unwrap();
        held.indexed.push((n, raw));
        held.passwords.push((password_kept(home, store, n).await, password(n)));
    }
    held
}

impl Held {
    /// Opens everything, and finds what was purged still purged.
    async fn is_there(&self, store: &Store) {
        for id in &self.operations {
            let operation = store.operation(id).await.unwrap().unwrap();
            assert_eq!(operation.details, details());
            if operation.state == State::Approved {
                assert_eq!(store.approval(id).await.unwrap().unwrap().by, "Olga");
            }
        }
        assert_eq!(store.approvers().await.unwrap()[0].name, "Olga");
        for id in &self.captures {
            let (info, held) = store.open_capture(id).await.unwrap().unwrap();
            assert_eq!(*held, raw(info.user_id.get()));
        }
        for (id, password) in &self.passwords {
            let op = store.operation(id).await.unwrap().unwrap();
            let kept = store.keep_password(&op, "another".into()).await.unwrap();
            assert_eq!(kept.expose_secret(), password);
        }
        for id in &self.purged {
            assert!(matches!(store.open_capture(id).await, Err(StoreError::Purged { .. })));
        }
        for (n, raw) in &self.indexed {
            assert_eq!(store.indexed(TENANT, user(*n)).await.unwrap().unwrap().row, *raw);
        }
        assert_eq!(store.kept_names(TENANT, NameKind::Group).await.unwrap().unwrap().items.len(), 1);
        let records = store.audit_records(TENANT, 1, 10_000).await.unwrap();
        assert_eq!(verify_chain(None, &records), Ok(()));
    }
}

fn key_path(home: &Home) -> PathBuf {
    home.settings().state_dir.join("key")
}

/// The ids of the wrapping keys in the key file, which is whole.
fn keys_in_file(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(key_path(home)).unwrap();
    assert!(text.starts_with("zia-mcp key file 1\n") && text.contains("\nroot ") && text.ends_with('\n'));
    text.lines().filter_map(|l| l.strip_prefix("wrap ")?.split(' ').next()).map(str::to_owned).collect()
}

/// Every value of every table that looks sealed, with the id of its key; two columns are random.
async fn sealed(home: &Home) -> Vec<(String, Vec<u8>)> {
    let options = SqliteConnectOptions::new().filename(home.settings().state_dir.join("store.db"));
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND c.type = 'BYTEA' \
         AND c.name NOT IN ('body', 'signature')",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let mut found = Vec::new();
    for (table, column) in columns {
        let sql = format!(
            "SELECT {column} FROM {table} WHERE length({column}) > 32 AND substr({column}, 1, 1) = x'01'"
        );
        let values: Vec<Vec<u8>> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
        let id = |value: &Vec<u8>| value[1..9].iter().map(|b| format!("{b:02x}")).collect::<String>();
        found.extend(values.into_iter().map(|value| (id(&value), value)));
    }
    db.close().await.unwrap();
    found
}

async fn rekeyed(store: &Store) -> Rekeyed {
    store.rekey(OldKeys::Drop, &person()).await.unwrap()
}

#[tokio::test]
async fn everything_opens_with_the_new_key_and_nothing_with_the_old_one() {
    let home = Home::new();
    let store = home.open().await;
    let held = fill(&home, &store, 1..31).await;
    let (old_file, old_keys, old_values) =
        (fs::read(key_path(&home)).unwrap(), keys_in_file(&home), sealed(&home).await);
    assert_eq!(old_values.len(), 30 + 20 + 20 + 30 + 30 + 30 + 1 + 1 + 1); // with a list of groups, the approver and the canary
    let done = rekeyed(&store).await;
    assert_eq!((done.resumed, done.values, done.unopened, done.dropped), (false, 162, 0, true));
    assert!(done.log_cleared);
    assert_eq!(keys_in_file(&home), std::slice::from_ref(&done.key));
    assert!(!old_keys.contains(&done.key));
    let new_values = sealed(&home).await;
    assert_eq!(new_values.len(), old_values.len());
    assert!(new_values.iter().all(|(id, _)| *id == done.key), "a sealed column was forgotten");
    held.is_there(&store).await;
    store.close().await;
    for (_, value) in &old_values {
        assert!(!on_disk(&home, &value[9..]), "what the old key sealed is still on the disk");
    }
    held.is_there(&home.open().await).await;
    fs::write(key_path(&home), old_file).unwrap();
    assert_eq!(home.try_open().await.unwrap_err(), StoreError::WrongKey);
}

/// Whether any file of the database holds these bytes.
fn on_disk(home: &Home, needle: &[u8]) -> bool {
    let files = fs::read_dir(home.settings().state_dir).unwrap().map(|f| f.unwrap().path());
    let of_database = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with("store.db");
    files.filter(of_database).any(|p| fs::read(p).unwrap().windows(needle.len()).any(|w| w == needle))
}

#[tokio::test]
async fn digests_and_derived_keys_stay_and_the_change_is_on_record() {
    let home = Home::new();
    let store = home.open().await;
    let held = fill(&home, &store, 1..4).await;
    let (digest, derived) = (store.email_digest("user1@example.com"), store.derived_key("cursor"));
    let done = rekeyed(&store).await;
    let next = home.open().await;
    assert_eq!((next.email_digest("USER1@example.com"), next.derived_key("cursor")), (digest, derived));
    assert_eq!(next.captures_of_email(TENANT, "user1@example.com").await.unwrap().len(), 1);
    held.is_there(&next).await;
    let records = next.audit_records(TENANT, 1, 1_000).await.unwrap();
    let fields = |r: &zia_mcp::store::AuditRecord| {
        serde_json::from_str::<serde_json::Value>(&r.body).unwrap()["fields"].clone()
    };
    let of_rekey: Vec<_> = records.iter().filter(|r| r.event == "store.rekeyed").map(fields).collect();
    assert_eq!(of_rekey.len(), 2, "{of_rekey:?}");
    assert_eq!((&of_rekey[0]["phase"], &of_rekey[1]["phase"]), (&"begun".into(), &"ended".into()));
    assert_eq!((&of_rekey[1]["key"], &of_rekey[1]["values"]), (&done.key.into(), &done.values.into()));
}

#[tokio::test]
async fn a_second_change_makes_another_key() {
    let home = Home::new();
    let store = home.open().await;
    let held = fill(&home, &store, 1..7).await;
    let (one, two) = (rekeyed(&store).await, rekeyed(&store).await);
    assert_ne!(one.key, two.key);
    assert_eq!(keys_in_file(&home), [two.key]);
    held.is_there(&home.open().await).await;
}

#[tokio::test]
async fn stores_that_share_a_key_file_are_rekeyed_one_after_the_other() {
    let (home, other) = (Home::new(), Home::new());
    let shared = home.tmp.path().join("shared");
    let open = async |home: &Home| {
        let settings = zia_mcp::store::Settings { key_file: Some(shared.clone()), ..home.settings() };
        Store::open(&settings, home.clock()).await.unwrap()
    };
    let (one, two) = (open(&home).await, open(&other).await);
    let (here, there) = (fill(&home, &one, 1..7).await, fill(&other, &two, 1..7).await);
    let first = one.rekey(OldKeys::Keep, &person()).await.unwrap();
    assert_eq!((first.resumed, first.dropped), (false, false));
    there.is_there(&open(&other).await).await;
    let second = two.rekey(OldKeys::Keep, &person()).await.unwrap();
    assert_eq!((second.resumed, &second.key), (true, &first.key), "both under one new key");
    let last = one.rekey(OldKeys::Drop, &person()).await.unwrap();
    assert_eq!((last.key, last.values, last.dropped), (first.key, 0, true));
    here.is_there(&open(&home).await).await;
    there.is_there(&open(&other).await).await;
}

#[tokio::test]
async fn without_its_key_or_with_another_stores_nothing_is_changed_and_none_is_made() {
    let home = Home::new();
    let store = home.open().await;
    let held = fill(&home, &store, 1..7).await;
    let (own, before) = (fs::read(key_path(&home)).unwrap(), sealed(&home).await);
    fs::remove_file(key_path(&home)).unwrap();
    assert_eq!(store.rekey(OldKeys::Drop, &person()).await.unwrap_err(), StoreError::WrongKey);
    assert!(!key_path(&home).exists());
    let other = Home::new();
    other.open().await;
    let foreign = fs::read(key_path(&other)).unwrap();
    super::secret_file(&key_path(&home), &foreign);
    assert_eq!(store.rekey(OldKeys::Drop, &person()).await.unwrap_err(), StoreError::WrongKey);
    assert_eq!(fs::read(key_path(&home)).unwrap(), foreign);
    assert_eq!(sealed(&home).await, before);
    fs::write(key_path(&home), own).unwrap();
    held.is_there(&home.open().await).await;
    rekeyed(&store).await;
}

#[tokio::test]
async fn a_value_that_does_not_open_is_left_and_the_old_key_stays_for_it() {
    let home = Home::new();
    let store = home.open().await;
    let held = fill(&home, &store, 1..7).await;
    let old = keys_in_file(&home);
    home.raw_sql(
        "UPDATE approvals SET sealed = CAST(substr(sealed, 1, 9) || zeroblob(60) AS BLOB) WHERE rowid = 1",
    )
    .await;
    let done = rekeyed(&store).await;
    assert_eq!((done.unopened, done.dropped), (1, false));
    assert_eq!(keys_in_file(&home), [old[0].clone(), done.key.clone()]);
    // The same again, with no third key.
    let again = rekeyed(&store).await;
    assert_eq!((again.unopened, again.values, &again.key), (1, 0, &done.key));
    let last = store.rekey(OldKeys::DropAll, &person()).await.unwrap();
    assert_eq!((last.dropped, keys_in_file(&home)), (true, vec![done.key.clone()]));
    // It stands in nobody's way any more.
    let next = rekeyed(&store).await;
    assert!(!next.resumed && next.unopened == 0 && next.key != done.key, "{next:?}");
    for id in &held.captures {
        home.open().await.open_capture(id).await.unwrap().unwrap();
    }
}

//! A store that is damaged: never repaired, never made anew, never a wrong answer (F4).

use std::{fs, path::Path};

use zia_mcp::{
    model::Operation,
    store::{Store, StoreError, Which},
};

use crate::place::is_of_files_alone;

use super::{Home, RAW, TENANT};

/// Bytes changed, one at a time, over the whole file.
const OFFSETS: usize = 1_000;

async fn sound() -> (Home, Operation) {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    store.checkpoint().await.unwrap();
    store.close().await;
    (home, op)
}

/// What a reader of the store finds: everything as it was, or an error.
async fn read(store: &Store, op: &Operation) -> Result<(), StoreError> {
    let found = store.operation(&op.id).await?.expect("the operation is there");
    assert_eq!((&found.details, found.subject, &found.actor), (&op.details, op.subject, &op.actor));
    let listed = store.operations(None, Which::Recent, 10).await?;
    assert!(listed.len() == 1 && listed[0].details == op.details);
    let kept = store.captures_of_email(TENANT, "jane@example.com").await?;
    let (_, raw) = store.open_capture(&kept[0].id).await?.expect("the capture is there");
    assert_eq!(raw.as_slice(), RAW);
    Ok(())
}

/// The database file of a copy of the state directory, with some change made to it.
fn copy(from: &Path, to: &Home, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let dir = to.settings().state_dir;
    fs::create_dir_all(&dir).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["store.db", "key", "checkpoints"] {
        let mut bytes = fs::read(from.join(name)).unwrap();
        if name == "store.db" {
            change(&mut bytes);
        }
        fs::write(dir.join(name), bytes).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::read(dir.join("store.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_a_changed_byte_anywhere_is_an_error_or_changes_nothing_that_is_read() {
    if is_of_files_alone("bytes of the file") {
        return;
    }
    let (home, op) = sound().await;
    let from = home.settings().state_dir;
    let size = fs::metadata(from.join("store.db")).unwrap().len() as usize;
    let (mut refused, mut damaged) = (0, 0);
    for n in 0..OFFSETS {
        let at = n * size / OFFSETS;
        let spoilt = Home::new();
        copy(&from, &spoilt, |bytes| bytes[at] ^= 0x55);
        match spoilt.try_open().await {
            Err(StoreError::NewerSchema) => panic!("byte {at} made the schema newer"),
            Err(_) => refused += 1,
            Ok(store) => {
                damaged += usize::from(read(&store, &op).await.is_err());
                store.close().await;
            }
        }
        assert!(spoilt.settings().state_dir.join("key").exists());
    }
    assert!(refused > 0 && damaged > 0, "{refused} {damaged}");
}

#[tokio::test]
async fn f4_a_database_that_was_cut_off_is_refused_or_tells_its_damage() {
    if is_of_files_alone("bytes of the file") {
        return;
    }
    let (home, op) = sound().await;
    let from = home.settings().state_dir;
    let size = fs::metadata(from.join("store.db")).unwrap().len() as usize;
    for part in 1..40 {
        let spoilt = Home::new();
        let kept = size * part / 40;
        let before = copy(&from, &spoilt, |bytes| bytes.truncate(kept));
        match spoilt.try_open().await {
            Err(error) => {
                assert!(!matches!(error, StoreError::Insecure { .. }), "{error}");
                let after = fs::read(spoilt.settings().state_dir.join("store.db")).unwrap();
                assert_eq!(after, before, "a damaged database was rewritten");
            }
            // Nothing of it was in the part that is gone.
            Ok(store) => assert!(read(&store, &op).await.is_ok(), "{kept} of {size} bytes"),
        }
    }
}

#[tokio::test]
async fn f4_an_empty_database_beside_a_key_is_not_filled_anew_without_a_word() {
    if is_of_files_alone("bytes of the file") {
        return;
    }
    let (home, _) = sound().await;
    let spoilt = Home::new();
    copy(&home.settings().state_dir, &spoilt, Vec::clear);
    let opened = spoilt.try_open().await;
    assert!(opened.is_err(), "a store that lost everything is taken for a new one");
}

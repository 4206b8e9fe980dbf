//! The state directory, the key file, and what is refused (T35, F46).

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::Path,
};

use zia_mcp::store::{Settings, Store, StoreError};

use crate::place::is_of_files_alone;

use super::{Home, entry};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn insecure(result: Result<Store, StoreError>) -> String {
    match result {
        Err(error @ StoreError::Insecure { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_first_start_makes_everything_private() {
    if is_of_files_alone("the mode of the file") {
        return;
    }
    let home = Home::new();
    let store = home.open().await;
    store.health().await.unwrap();
    let dir = home.settings().state_dir;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn t35_anything_that_others_can_enter_is_refused_with_the_command_that_mends_it() {
    if is_of_files_alone("the mode of the file") {
        return;
    }
    let home = Home::new();
    home.open().await.close().await;
    let dir = home.settings().state_dir;
    for (path, good) in [(dir.clone(), 0o700), (dir.join("key"), 0o600), (dir.join("store.db"), 0o600)] {
        for bits in [0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o055] {
            chmod(&path, good | bits);
            let message = insecure(home.try_open().await);
            let command = format!("chmod {good:o} {}", path.display());
            assert!(message.contains(&command), "{message}");
        }
        chmod(&path, good);
        home.open().await.close().await;
    }
}

#[tokio::test]
async fn t35_a_symbolic_link_is_refused() {
    if is_of_files_alone("the file is replaced") {
        return;
    }
    let home = Home::new();
    home.open().await.close().await;
    let dir = home.settings().state_dir;
    for path in [dir.clone(), dir.join("key"), dir.join("store.db")] {
        let real = home.tmp.path().join("real");
        fs::rename(&path, &real).unwrap();
        symlink(&real, &path).unwrap();
        assert!(insecure(home.try_open().await).contains("symbolic link"), "{}", path.display());
        fs::remove_file(&path).unwrap();
        fs::rename(&real, &path).unwrap();
    }
    let link = home.tmp.path().join("link");
    symlink(&dir, &link).unwrap();
    let with_slash = Settings { state_dir: format!("{}/", link.display()).into(), ..home.settings() };
    insecure(Store::open(&with_slash, home.clock()).await);
}

#[tokio::test]
async fn t35_what_belongs_to_another_user_is_refused() {
    let home = Home::new();
    home.open().await.close().await;
    let dir = home.settings().state_dir;
    for path in [dir.join("key"), dir.join("store.db"), dir.clone()] {
        if chown(&path, Some(65_534), None).is_err() {
            println!("passed over: only root can give files away");
            return;
        }
        assert!(insecure(home.try_open().await).contains("another user"), "{}", path.display());
        chown(&path, Some(0), None).unwrap();
    }
}

#[tokio::test]
async fn t35_something_else_in_the_place_of_a_file_is_refused() {
    let home = Home::new();
    fs::write(home.settings().state_dir, "").unwrap();
    insecure(home.try_open().await);
    fs::remove_file(home.settings().state_dir).unwrap();
    home.open().await.close().await;
    let key = home.settings().state_dir.join("key");
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    insecure(home.try_open().await);
}

#[tokio::test]
async fn f46_a_missing_key_beside_data_is_never_replaced() {
    let home = Home::new();
    home.open().await.close().await;
    let key = home.settings().state_dir.join("key");
    let text = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert_eq!(home.try_open().await.unwrap_err(), StoreError::WrongKey);
    assert!(!key.exists());
    fs::write(&key, text).unwrap();
    chmod(&key, 0o600);
    home.open().await;
}

#[tokio::test]
async fn f46_another_stores_key_is_refused_whole_or_in_part() {
    let (home, other) = (Home::new(), Home::new());
    home.open().await.close().await;
    other.open().await.close().await;
    let key = home.settings().state_dir.join("key");
    let own = fs::read_to_string(&key).unwrap();
    let foreign = fs::read_to_string(other.settings().state_dir.join("key")).unwrap();
    let (own_head, own_wrap) = own.split_once("\nwrap").unwrap();
    let (foreign_head, foreign_wrap) = foreign.split_once("\nwrap").unwrap();
    let mixed = [format!("{own_head}\nwrap{foreign_wrap}"), format!("{foreign_head}\nwrap{own_wrap}")];
    for text in [foreign.as_str(), &mixed[0], &mixed[1], "", "zia-mcp key file 2\n", &own[..own.len() - 9]] {
        fs::write(&key, text).unwrap();
        assert_eq!(home.try_open().await.unwrap_err(), StoreError::WrongKey, "{text:.20}");
    }
    fs::write(&key, own).unwrap();
    home.open().await;
}

#[tokio::test]
async fn a_damaged_canary_is_refused() {
    let home = Home::new();
    home.open().await.close().await;
    home.raw_sql("UPDATE meta SET value = zeroblob(49) WHERE name = 'canary'").await;
    assert_eq!(home.try_open().await.unwrap_err(), StoreError::WrongKey);
}

#[tokio::test]
async fn a_key_file_elsewhere_is_made_there_and_derives_the_same_keys_again() {
    let home = Home::new();
    let key_file = home.tmp.path().join("elsewhere.key");
    let settings = Settings { key_file: Some(key_file.clone()), ..home.settings() };
    let first = Store::open(&settings, home.clock()).await.unwrap();
    assert_eq!(mode(&key_file), 0o600);
    assert!(!settings.state_dir.join("key").exists());
    let second = Store::open(&settings, home.clock()).await.unwrap();
    assert_eq!(first.derived_key("a"), second.derived_key("a"));
    assert_ne!(first.derived_key("a"), first.derived_key("b"));
    assert_eq!(first.email_digest("Jane@Example.com"), second.email_digest("jane@example.COM"));
    assert_ne!(
        first.email_digest("jane@example.com"),
        Home::new().open().await.email_digest("jane@example.com")
    );
}

#[tokio::test]
async fn f11_a_newer_schema_is_refused_and_left_alone() {
    let home = Home::new();
    let store = home.open().await;
    store.audit(super::TENANT, None, None, entry()).await.unwrap();
    store.close().await;
    home.raw_sql("INSERT INTO schema_version (version) VALUES (1000)").await;
    assert_eq!(home.try_open().await.unwrap_err(), StoreError::NewerSchema);
    home.raw_sql("DELETE FROM schema_version WHERE version = 1000").await;
    assert_eq!(home.open().await.audit_records(super::TENANT, 1, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_interrupted_first_start_is_finished_by_the_next() {
    let home = Home::new();
    home.open().await.close().await;
    let db = home.settings().state_dir.join("store.db");
    // The key was made, the database only touched.
    fs::write(&db, "").unwrap();
    home.open().await.health().await.unwrap();
}

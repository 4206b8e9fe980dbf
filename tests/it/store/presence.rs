//! Processes that run are told from those that ended.

use crate::store::Home;

#[tokio::test]
async fn a_process_is_present_until_it_ends() {
    let home = Home::new();
    let (ours, theirs) = (home.try_open().await.unwrap(), home.try_open().await.unwrap());
    let name = theirs.presence().unwrap();
    assert_eq!(theirs.presence().as_ref(), Some(&name), "a process has one name");
    assert_ne!(ours.presence().as_ref(), Some(&name));
    assert!(ours.is_present(&name) && theirs.is_present(&name));
    drop(theirs);
    assert!(!ours.is_present(&name));
}

#[tokio::test]
async fn a_name_that_is_no_name_is_nobody() {
    let store = Home::new().try_open().await.unwrap();
    for name in ["", "../store.db", "0123456789abcdef0123456789abcdef", "/etc/passwd"] {
        assert!(!store.is_present(name), "{name}");
    }
}

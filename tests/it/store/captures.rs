//! Captures: whole, bound to their row, found again.

use zia_mcp::{
    model::{CaptureId, Digest, OperationId},
    store::{NewCapture, StoreError},
};

use super::{Home, RAW, TENANT, capture, entry, user};

#[tokio::test]
async fn a_capture_gives_back_every_byte() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let odd: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for raw in [RAW, b"", b"\xff\xfe not text \0", &odd] {
        let info = capture(&store, &op, raw).await;
        assert_eq!((info.digest, info.bytes), (Some(Digest::of(raw)), raw.len() as u64));
        let (read, bytes) = store.open_capture(&info.id).await.unwrap().unwrap();
        assert_eq!((&read, bytes.as_slice()), (&info, raw));
    }
    assert!(store.open_capture(&CaptureId::random()).await.unwrap().is_none());
}

#[tokio::test]
async fn captures_are_listed_newest_first_by_tenant_and_address() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let later = capture(&store, &op, b"later").await;
    let all = store.captures(Some(TENANT), 10).await.unwrap();
    assert_eq!((all.len(), &all[0]), (2, &later));
    assert_eq!(store.captures(None, 1).await.unwrap(), [later]);
    assert!(store.captures(Some("another"), 10).await.unwrap().is_empty());
    assert_eq!(store.captures_of_email(TENANT, "JANE@example.com").await.unwrap(), all);
    assert!(store.captures_of_email(TENANT, "jane@example.org").await.unwrap().is_empty());
    assert!(store.captures_of_email("another", "jane@example.com").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_capture_needs_an_operation_of_its_tenant() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    for (tenant, operation) in [("another", op.id.clone()), (TENANT, OperationId::random())] {
        let new = NewCapture { tenant, operation, user_id: user(42), email: "a@b.example", raw: RAW };
        assert_eq!(store.capture(new, entry()).await.unwrap_err(), StoreError::NotFound);
    }
    assert_eq!(store.captures(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn changed_bytes_anywhere_in_a_capture_are_found() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let id = capture(&store, &op, RAW).await.id;
    for sql in [
        // Four, since one may be zero as it is.
        "UPDATE captures SET body = substr(body, 1, 20) || zeroblob(4) || substr(body, 25)",
        "UPDATE captures SET body = substr(body, 1, length(body) - 1)",
        "UPDATE captures SET body = x''",
        "UPDATE captures SET data_key = substr(data_key, 1, 30) || zeroblob(4) || substr(data_key, 35)",
        "UPDATE captures SET data_key = x'02' || substr(data_key, 2)",
        "UPDATE captures SET data_key = x''",
        "UPDATE captures SET tenant = 'another'",
        "UPDATE captures SET user_id = 43",
    ] {
        home.raw_sql("CREATE TABLE kept AS SELECT * FROM captures").await;
        home.raw_sql(sql).await;
        assert_eq!(store.open_capture(&id).await.unwrap_err(), StoreError::Corrupt, "{sql}");
        home.raw_sql("DELETE FROM captures; INSERT INTO captures SELECT * FROM kept; DROP TABLE kept").await;
        assert!(store.open_capture(&id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_ciphertext_that_was_moved_to_another_row_does_not_open() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let id = capture(&store, &op, RAW).await.id;
    home.raw_sql(
        "UPDATE captures SET body = (SELECT c.body FROM captures c WHERE c.ordinal = 1), \
         data_key = (SELECT c.data_key FROM captures c WHERE c.ordinal = 1) WHERE ordinal = 2",
    )
    .await;
    assert_eq!(store.open_capture(&id).await.unwrap_err(), StoreError::Corrupt);
}

#[tokio::test]
async fn operation_details_open_in_their_own_row_and_version_only() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    home.raw_sql("CREATE TABLE kept AS SELECT sealed FROM operations").await;
    let op = store
        .advance(&op, zia_mcp::model::State::Awaiting, serde_json::json!({"n": 2}), entry())
        .await
        .unwrap();
    home.raw_sql("UPDATE operations SET sealed = (SELECT sealed FROM kept)").await;
    assert_eq!(store.operation(&op.id).await.unwrap_err(), StoreError::Corrupt);
}

//! The schema's versions, and the proof that the key fits.

use std::time::Duration;

use sqlx::query_scalar;
use tokio::time::Instant;

use super::{
    StoreError,
    engine::{
        Engine, Tx,
        postgres::{self, LOCKED},
    },
    keys::KeyId,
    vault::{Place, Vault, sealed_by},
};

/// Every step of the schema, oldest first; a step is never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_base.sql"),
    include_str!("migrations/0002_workers.sql"),
    include_str!("migrations/0003_checkpoints.sql"),
    include_str!("migrations/0004_purge.sql"),
    include_str!("migrations/0005_subjects.sql"),
    include_str!("migrations/0006_approvers.sql"),
    include_str!("migrations/0007_passwords.sql"),
    include_str!("migrations/0008_history.sql"),
    include_str!("migrations/0009_restored.sql"),
    include_str!("migrations/0010_budget.sql"),
    include_str!("migrations/0011_index.sql"),
    include_str!("migrations/0012_waves.sql"),
    include_str!("migrations/0013_audit_trigger.sql"),
];

/// What the canary says.
const CANARY: &[u8] = b"the key fits";

/// A step that says this of itself takes nothing from versions that do not know it: those may go on
/// beside it, so that replicas are brought up to date one by one (F11).
const ROLLING: &str = "-- rolling";

/// A step that says this of itself does nothing in the embedded database.
const SERVER_ALONE: &str = "-- postgresql";

/// How long all steps together may take on a server, another process's before ours included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to get the lock while another process migrates.
const AGAIN: Duration = Duration::from_millis(250);

/// Brings a server's schema up to date, after whoever does so at this moment.
pub(super) async fn migrate_in_turn(engine: &Engine, vault: &Vault) -> Result<(), StoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let done = tokio::time::timeout(left, migrate(engine, vault)).await;
        match done.unwrap_or_else(|_| Err(StoreError::unavailable("the schema took too long to change"))) {
            Err(error) if error == postgres::of_code(LOCKED) && Instant::now() + AGAIN < deadline => {
                tokio::time::sleep(AGAIN).await
            }
            done => return done,
        }
    }
}

/// Brings the schema up to date and proves the key, in one transaction (F11, F46).
pub(super) async fn migrate(engine: &Engine, vault: &Vault) -> Result<(), StoreError> {
    let mut tx = engine.begin().await?;
    let done = prepared(engine, &mut tx).await?;
    if done > MIGRATIONS.len() {
        require_kinship(&mut tx, done).await?;
    }
    for (step, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        if engine.server().is_some() || !sql.contains(SERVER_ALONE) {
            sqlx::raw_sql(*sql).execute(&mut *tx).await?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(step).execute(&mut *tx).await?;
    }
    if done < MIGRATIONS.len() {
        note_oldest(&mut tx).await?;
    }
    prove_key(&mut tx, vault).await?;
    engine.commit(tx).await
}

/// The steps done so far; a role that only serves need not be able to make tables.
async fn prepared(engine: &Engine, tx: &mut Tx) -> Result<usize, StoreError> {
    if engine.server().is_some() {
        let there: Option<String> =
            query_scalar("SELECT CAST(to_regclass('schema_version') AS TEXT)").fetch_one(&mut **tx).await?;
        if there.is_some() && version(tx).await? >= MIGRATIONS.len() {
            return version(tx).await;
        }
        // A large table takes its time.
        sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut **tx).await?;
    }
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY NOT NULL)")
        .execute(&mut **tx)
        .await?;
    version(tx).await
}

/// Writes down the oldest version of the program that may go on with the schema as it is.
async fn note_oldest(tx: &mut Tx) -> Result<(), StoreError> {
    let rolling = MIGRATIONS.iter().rev().take_while(|sql| sql.contains(ROLLING)).count();
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('oldest', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(kinship(MIGRATIONS.len(), MIGRATIONS.len() - rolling))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Refuses a schema that a newer version made and that this one cannot go on with.
async fn require_kinship(tx: &mut Tx, done: usize) -> Result<(), StoreError> {
    let kept: Option<Vec<u8>> =
        query_scalar("SELECT value FROM meta WHERE name = 'oldest'").fetch_optional(&mut **tx).await?;
    let is_kin = (0..=MIGRATIONS.len()).any(|oldest| kept.as_ref() == Some(&kinship(done, oldest)));
    if is_kin { Ok(()) } else { Err(StoreError::NewerSchema) }
}

/// What says of a schema which version of it is the oldest that may go on.
fn kinship(version: usize, oldest: usize) -> Vec<u8> {
    format!("{version} {oldest}").into_bytes()
}

/// Proves the key and the schema of a store that is only read.
pub(super) async fn prove(engine: &Engine, vault: &Vault) -> Result<(), StoreError> {
    let mut tx = engine.snapshot().await?;
    let done = version(&mut tx).await?;
    if done > MIGRATIONS.len() {
        require_kinship(&mut tx, done).await?;
    }
    if opens_canary(&mut tx, vault).await? { Ok(()) } else { Err(StoreError::WrongKey) }
}

/// Whether the store is new enough to hold checkpoints.
pub(super) async fn has_checkpoints(tx: &mut Tx) -> Result<bool, StoreError> {
    let steps = MIGRATIONS.iter().take(version(tx).await?);
    Ok(steps.into_iter().any(|sql| sql.contains("CREATE TABLE checkpoints")))
}

async fn version(tx: &mut Tx) -> Result<usize, StoreError> {
    let version: i64 =
        query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_version").fetch_one(&mut **tx).await?;
    usize::try_from(version).map_err(|_| StoreError::Corrupt)
}

/// Opens the canary, or plants it in a new store.
async fn prove_key(tx: &mut Tx, vault: &Vault) -> Result<(), StoreError> {
    if !opens_canary(tx, vault).await? {
        let row = row_of_canary(vault);
        sqlx::query("INSERT INTO meta (name, value) VALUES ('canary', $1)")
            .bind(vault.seal(place_of_canary(&row), CANARY)?)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Whether there is a canary; it must open.
async fn opens_canary(tx: &mut Tx, vault: &Vault) -> Result<bool, StoreError> {
    let row = row_of_canary(vault);
    let kept: Option<Vec<u8>> =
        query_scalar("SELECT value FROM meta WHERE name = 'canary'").fetch_optional(&mut **tx).await?;
    let Some(sealed) = kept else { return Ok(false) };
    match vault.open(place_of_canary(&row), &sealed) {
        Ok(plain) if *plain == CANARY => Ok(true),
        Ok(_) | Err(StoreError::Corrupt) => Err(StoreError::WrongKey),
        Err(other) => Err(other),
    }
}

/// The key with which everything is sealed from now on: the one that sealed the canary.
pub(super) async fn sealing_key(tx: &mut Tx) -> Result<KeyId, StoreError> {
    let kept: Option<Vec<u8>> =
        query_scalar("SELECT value FROM meta WHERE name = 'canary'").fetch_optional(&mut **tx).await?;
    sealed_by(&kept.ok_or(StoreError::Corrupt)?)
}

/// Seals the canary anew, and with it everything that is sealed from now on.
pub(super) async fn change_sealing_key(tx: &mut Tx, vault: &Vault, id: KeyId) -> Result<(), StoreError> {
    let row = row_of_canary(vault);
    sqlx::query("UPDATE meta SET value = $1 WHERE name = 'canary'")
        .bind(vault.seal_by(id, place_of_canary(&row), CANARY)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Sealed with a wrapping key and placed by the root key, so that it proves both.
fn row_of_canary(vault: &Vault) -> String {
    vault.digest("canary", b"").to_string()
}

fn place_of_canary(row: &str) -> Place<'_> {
    Place { purpose: "canary", tenant: "", row, version: 0 }
}

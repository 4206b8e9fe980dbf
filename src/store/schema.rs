//! The schema's versions, and the proof that the key fits.

use sqlx::query_scalar;

use super::{
    StoreError,
    engine::{Engine, Tx},
    vault::{Place, Vault},
};

/// Every step of the schema, oldest first; a step is never changed once released.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_base.sql"), include_str!("migrations/0002_purge.sql")];

/// What the canary says.
const CANARY: &[u8] = b"the key fits";

/// Brings the schema up to date and proves the key, in one transaction (F11, F46).
pub(super) async fn migrate(engine: &Engine, vault: &Vault) -> Result<(), StoreError> {
    let mut tx = engine.begin().await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY NOT NULL)")
        .execute(&mut *tx)
        .await?;
    let version: i64 =
        query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_version").fetch_one(&mut *tx).await?;
    let done = usize::try_from(version).map_err(|_| StoreError::Corrupt)?;
    if done > MIGRATIONS.len() {
        return Err(StoreError::NewerSchema);
    }
    for (step, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        sqlx::raw_sql(*sql).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(step).execute(&mut *tx).await?;
    }
    prove_key(&mut tx, vault).await?;
    engine.commit(tx).await
}

/// Opens the canary, or plants it in a new store.
async fn prove_key(tx: &mut Tx, vault: &Vault) -> Result<(), StoreError> {
    // Sealed with a wrapping key and placed by the root key, so that it proves both.
    let row = vault.digest("canary", b"").to_string();
    let place = Place { purpose: "canary", tenant: "", row: &row, version: 0 };
    let kept: Option<Vec<u8>> =
        query_scalar("SELECT value FROM meta WHERE name = 'canary'").fetch_optional(&mut **tx).await?;
    match kept {
        Some(sealed) => match vault.open(place, &sealed) {
            Ok(plain) if *plain == CANARY => Ok(()),
            _ => Err(StoreError::WrongKey),
        },
        None => {
            sqlx::query("INSERT INTO meta (name, value) VALUES ('canary', $1)")
                .bind(vault.seal(place, CANARY)?)
                .execute(&mut **tx)
                .await?;
            Ok(())
        }
    }
}

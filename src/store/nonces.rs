//! Nonces that work once.

use jiff::Timestamp;

use super::{Store, StoreError, engine::bounded};

impl Store {
    /// Uses a nonce up; true the first time only, and never past its expiry.
    ///
    /// # Errors
    /// `Unavailable`; the nonce may be used up then.
    pub async fn burn_nonce(&self, nonce: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
        let now = self.now();
        // An expired one may have been pruned, so that it would look new.
        if expires_at <= now {
            return Ok(false);
        }
        bounded(async {
            let mut tx = self.begin().await?;
            let burnt =
                sqlx::query("INSERT INTO nonces (nonce, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(self.0.vault.digest("nonce", nonce.as_bytes()).as_bytes().to_vec())
                    .bind(expires_at.as_microsecond())
                    .execute(&mut *tx)
                    .await?;
            if burnt.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query("DELETE FROM nonces WHERE expires_at <= $1")
                .bind(now.as_microsecond())
                .execute(&mut *tx)
                .await?;
            self.0.engine.commit(tx).await?;
            Ok(true)
        })
        .await
    }
}

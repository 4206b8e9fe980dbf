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

    /// Whether a nonce was used up, and would not have expired yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_burnt(&self, nonce: &str) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM nonces WHERE nonce = $1")
            .bind(self.0.vault.digest("nonce", nonce.as_bytes()).as_bytes().to_vec());
        bounded(async { Ok(query.fetch_one(self.0.engine.reader()).await? > 0) }).await
    }
}

//! How many operations stand where, for those who watch the server.

use jiff::Timestamp;

use super::{Store, StoreError, engine::bounded, time};
use crate::model::{Action, State};

/// Operations of one tenant that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many there are of each action in each state.
    pub open: Vec<(Action, State, u64)>,
    /// Since when the oldest write is verified that is not active yet.
    pub unactivated_since: Option<Timestamp>,
}

impl Store {
    /// Counts the operations of a tenant that have not ended.
    ///
    /// `verified` is the event by which the audit trail knows when a write was verified. Only open
    /// operations are looked at, by their own index, however many have ended.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn figures(&self, tenant: &str, verified: &str) -> Result<Figures, StoreError> {
        const COUNTS: &str = "SELECT o.action, o.state, COUNT(*) FROM operations o \
             WHERE o.tenant = $1 AND o.ended = 0 GROUP BY o.action, o.state";
        const OLDEST: &str = "SELECT MIN(COALESCE((SELECT MIN(a.at) FROM audit a \
             WHERE a.operation = o.id AND a.event = $2), o.updated_at)) FROM operations o \
             WHERE o.tenant = $1 AND o.ended = 0 AND o.action <> 'activate' \
             AND o.state IN ('verified', 'activating', 'not_active')";
        bounded(async {
            let counts: Vec<(String, String, i64)> =
                sqlx::query_as(COUNTS).bind(tenant).fetch_all(self.0.engine.reader()).await?;
            let oldest: Option<i64> = sqlx::query_scalar(OLDEST)
                .bind(tenant)
                .bind(verified)
                .fetch_one(self.0.engine.reader())
                .await?;
            let open = counts.into_iter().map(count).collect::<Result<_, _>>()?;
            Ok(Figures { open, unactivated_since: oldest.map(time).transpose()? })
        })
        .await
    }
}

fn count((action, state, count): (String, String, i64)) -> Result<(Action, State, u64), StoreError> {
    let (action, state) = (action.parse(), state.parse());
    let count = u64::try_from(count).map_err(|_| StoreError::Corrupt)?;
    Ok((action.map_err(|()| StoreError::Corrupt)?, state.map_err(|()| StoreError::Corrupt)?, count))
}

//! Finding operations again.

use jiff::Timestamp;

use super::{
    Store, StoreError,
    engine::{Tx, bounded},
    operations::{Row, columns},
};
use crate::model::{Action, Digest, Operation, OperationId, UserId};

/// Which operations to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that still go on or wait for a person.
    Open,
    /// Verified, while `ACTIVE` was not read since: verified, activating or not active.
    Unactivated,
    /// All.
    Recent,
}

/// One user, as a record of a deletion is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectKey {
    /// By ZIA id.
    Id(UserId),
    /// By address, case aside.
    Email(String),
}

/// States in which a write is known to have been done.
macro_rules! applied {
    () => {
        "('verified', 'activating', 'not_active', 'done')"
    };
}

impl Store {
    /// One operation.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be unsealed; `Unavailable`.
    pub async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM operations o WHERE o.id = $1");
        self.one(sqlx::query_as(SQL).bind(id.as_str())).await
    }

    /// The newest operation of this caller with equal arguments that has neither ended nor lapsed.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn joinable(
        &self,
        tenant: &str,
        caller: &str,
        action: Action,
        arguments: &Digest,
    ) -> Result<Option<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND o.arguments = $2 AND o.caller = $3 AND o.action = $4 \
             AND o.ended = 0 AND o.state <> 'not_active' AND (o.expires_at > $5 OR o.state <> 'awaiting') \
             ORDER BY o.ordinal DESC LIMIT 1"
        );
        let query = sqlx::query_as(SQL)
            .bind(tenant)
            .bind(self.arguments_key(arguments))
            .bind(self.caller_key(caller))
            .bind(action.as_str())
            .bind(self.now().as_microsecond());
        self.one(query).await
    }

    /// Refuses an operation that [`Store::joinable`] would find another one for.
    pub(super) async fn refuse_if_joinable(&self, tx: &mut Tx, op: &Operation) -> Result<(), StoreError> {
        let open: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM operations WHERE tenant = $1 AND arguments = $2 AND caller = $3 AND action = $4 \
             AND ended = 0 AND state <> 'not_active' AND (expires_at > $5 OR state <> 'awaiting')",
        )
        .bind(op.tenant.as_str())
        .bind(self.arguments_key(&op.arguments))
        .bind(self.caller_key(&op.actor.caller))
        .bind(op.action.as_str())
        .bind(self.now().as_microsecond())
        .fetch_one(&mut **tx)
        .await?;
        if open == 0 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// The newest open operation on a user.
    ///
    /// One that waits for activation only (`NotActive`) does not count; an `Unknown` one does.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn open_for_subject(
        &self,
        tenant: &str,
        subject: UserId,
    ) -> Result<Option<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND o.ended = 0 AND o.state <> 'not_active' \
             AND (o.subject = $2 OR o.id IN (SELECT s.operation FROM subjects s \
             WHERE s.tenant = $1 AND s.subject = $2 AND s.ended = 0)) ORDER BY o.ordinal DESC LIMIT 1"
        );
        self.one(sqlx::query_as(SQL).bind(tenant).bind(subject.get())).await
    }

    /// Operations on a user that were declined since a time, newest first, at most 20.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn declined_since(
        &self,
        tenant: &str,
        (subject, email): (Option<UserId>, &str),
        since: Timestamp,
    ) -> Result<Vec<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND o.state = 'declined' AND o.updated_at > $2 \
             AND (o.subject = $3 OR o.email = $4 OR o.id IN (SELECT s.operation FROM subjects s \
             WHERE s.tenant = $1 AND (s.subject = $3 OR s.email = $4))) ORDER BY o.ordinal DESC LIMIT 20"
        );
        bounded(async {
            let query = sqlx::query_as(SQL)
                .bind(tenant)
                .bind(since.as_microsecond())
                .bind(subject.map(UserId::get))
                .bind(self.email_digest(email).as_bytes().to_vec());
            self.with_owners(query.fetch_all(self.0.engine.reader()).await?).await
        })
        .await
    }

    /// Whether something was approved that nobody has taken on yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_unclaimed(&self, tenant: &str) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM operations WHERE tenant = $1 AND ended = 0 AND state = 'approved' \
             AND lease_owner IS NULL",
        )
        .bind(tenant);
        bounded(async { Ok(query.fetch_one(self.0.engine.reader()).await? > 0) }).await
    }

    /// Operations of one tenant or all, newest first, at most `limit`.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn operations(
        &self,
        tenant: Option<&str>,
        which: Which,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        const OPEN: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = COALESCE($1, o.tenant) AND o.ended = 0 \
             AND o.state <> 'not_active' ORDER BY o.ordinal DESC LIMIT $2"
        );
        const UNACTIVATED: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = COALESCE($1, o.tenant) AND o.ended = 0 \
             AND o.state IN ('verified', 'activating', 'not_active') ORDER BY o.ordinal DESC LIMIT $2"
        );
        const RECENT: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = COALESCE($1, o.tenant) ORDER BY o.ordinal DESC LIMIT $2"
        );
        let sql = match which {
            Which::Open => OPEN,
            Which::Unactivated => UNACTIVATED,
            Which::Recent => RECENT,
        };
        bounded(async {
            let query = sqlx::query_as(sql).bind(tenant).bind(i64::from(limit));
            self.with_owners(query.fetch_all(self.0.engine.reader()).await?).await
        })
        .await
    }

    /// Operations of all tenants, newest first; those older than `before`, if it is given.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn operations_before(
        &self,
        before: Option<&OperationId>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.ordinal < COALESCE((SELECT b.ordinal FROM operations b WHERE b.id = $1), \
             $2) ORDER BY o.ordinal DESC LIMIT $3"
        );
        bounded(async {
            let query = sqlx::query_as(SQL)
                .bind(before.map(OperationId::as_str))
                .bind(i64::MAX)
                .bind(i64::from(limit));
            self.with_owners(query.fetch_all(self.0.engine.reader()).await?).await
        })
        .await
    }

    /// How many undecided operations of a caller have not lapsed.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_awaiting(&self, tenant: &str, caller: &str) -> Result<u32, StoreError> {
        let count = sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM operations WHERE tenant = $1 AND caller = $2 AND ended = 0 \
             AND state = 'awaiting' AND expires_at > $3",
        )
        .bind(tenant)
        .bind(self.caller_key(caller))
        .bind(self.now().as_microsecond());
        bounded(async {
            let count = count.fetch_one(self.0.engine.reader()).await?;
            u32::try_from(count).map_err(|_| StoreError::Corrupt)
        })
        .await
    }

    /// The operation by which this server deleted a user, unless it made the user again since, anew or from a capture.
    ///
    /// An address is looked for in the operations' details and in their captures.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn deleted_by_us(
        &self,
        tenant: &str,
        who: &SubjectKey,
    ) -> Result<Option<Operation>, StoreError> {
        const BY_ID: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND ((o.action = 'deprovision_user' AND o.state IN ",
            applied!(),
            " AND o.subject = $2) OR o.id IN (SELECT s.operation FROM subjects s WHERE s.tenant = $1 \
             AND s.subject = $2 AND s.deleted = 1)) AND NOT EXISTS (SELECT 1 FROM operations p WHERE p.tenant = $1 \
             AND p.action IN ('provision_user', 'restore_user') AND p.state IN ",
            applied!(),
            " AND p.subject = $2 AND p.ordinal > o.ordinal) ORDER BY o.ordinal DESC LIMIT 1"
        );
        const BY_EMAIL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND ((o.action = 'deprovision_user' AND o.state IN ",
            applied!(),
            " AND (o.email = $2 OR o.id IN \
             (SELECT c.operation FROM captures c WHERE c.tenant = $1 AND c.email = $2))) \
             OR o.id IN (SELECT s.operation FROM subjects s WHERE s.tenant = $1 AND s.email = $2 \
             AND s.deleted = 1)) AND NOT EXISTS (SELECT 1 FROM operations p WHERE p.tenant = $1 \
             AND p.action IN ('provision_user', 'restore_user') AND p.state IN ",
            applied!(),
            " AND p.email = $2 AND p.ordinal > o.ordinal) ORDER BY o.ordinal DESC LIMIT 1"
        );
        match who {
            SubjectKey::Id(id) => self.one(sqlx::query_as(BY_ID).bind(tenant).bind(id.get())).await,
            SubjectKey::Email(email) => {
                let digest = self.email_digest(email).as_bytes().to_vec();
                self.one(sqlx::query_as(BY_EMAIL).bind(tenant).bind(digest)).await
            }
        }
    }

    async fn one(&self, query: RowQuery<'_>) -> Result<Option<Operation>, StoreError> {
        bounded(async {
            let row = query.fetch_optional(self.0.engine.reader()).await?;
            Ok(self.with_owners(row.into_iter().collect()).await?.pop())
        })
        .await
    }

    /// Unseals rows, and looks whether those who carry them out still run, on other hosts too.
    async fn with_owners(&self, rows: Vec<Row>) -> Result<Vec<Operation>, StoreError> {
        let found = rows.into_iter().map(|row| self.read(row)).collect::<Result<Vec<_>, _>>()?;
        if found.iter().any(|o| o.owner.is_some() && !o.state.is_ended()) {
            self.look_around().await?;
        }
        Ok(found)
    }
}

type RowQuery<'q> = sqlx::query::QueryAs<'q, super::engine::Db, Row, super::engine::Arguments>;

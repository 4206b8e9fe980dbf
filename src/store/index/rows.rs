//! Rows of users: sealed, opened, looked up.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::FromRow;

use super::{CHUNK, note::IndexRow, sql, text};
use crate::{
    model::{Email, UserId},
    store::{Store, StoreError, engine::bounded, time, vault::Place},
};

/// Bytes of a keyed digest that are kept; enough to tell millions apart.
const DIGEST_BYTES: usize = 16;

/// The row is ZIA's own list row.
const LISTED: u8 = 1;

/// The row is packed.
const PACKED: u8 = 2;

/// One user, as last seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Indexed {
    /// ZIA id.
    pub id: UserId,
    /// The row, as ZIA sent it; or, if it is not listed, in the form of one.
    pub row: String,
    /// Whether it is ZIA's own list row, and not put together from another answer.
    pub listed: bool,
    /// When that was read from ZIA.
    pub seen_at: Timestamp,
    /// Grows with every row that is written.
    pub seq: i64,
}

/// The row is personal data, which no debug form shows.
impl std::fmt::Debug for Indexed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexed")
            .field("id", &self.id.get())
            .field("seen_at", &self.seen_at)
            .finish_non_exhaustive()
    }
}

#[derive(FromRow)]
pub(super) struct Sealed {
    pub(super) place: String,
    pub(super) id: i64,
    pub(super) seq: i64,
    pub(super) seen_at: i64,
    pub(super) sealed: Vec<u8>,
}

/// The columns of [`Sealed`].
macro_rules! columns {
    () => {
        "SELECT u.place, u.id, u.seq, u.seen_at, u.sealed FROM index_users u "
    };
}
pub(super) use columns;

/// Where a user's row is kept.
pub(super) fn place_of(number: i64, id: UserId) -> String {
    format!("{number}.{id}")
}

impl Store {
    /// The user with this id, as last seen.
    ///
    /// # Errors
    /// `Corrupt` if it does not open; `Unavailable`.
    pub async fn indexed(&self, tenant: &str, id: UserId) -> Result<Option<Indexed>, StoreError> {
        const SQL: &str = concat!(
            columns!(),
            "JOIN index_tenants t ON u.place = CAST(t.number AS TEXT) || '.' || $2 WHERE t.tenant = $1"
        );
        let query = sqlx::query_as(SQL).bind(tenant).bind(id.to_string());
        bounded(async {
            let row: Option<Sealed> = query.fetch_optional(self.0.engine.reader()).await?;
            row.map(|row| self.open_indexed(tenant, row)).transpose()
        })
        .await
    }

    /// The users with this address, case aside, as last seen.
    ///
    /// # Errors
    /// `Corrupt` if one does not open; `Unavailable`.
    pub async fn indexed_by_email(&self, tenant: &str, email: &Email) -> Result<Vec<Indexed>, StoreError> {
        const SQL: &str = concat!(
            columns!(),
            "JOIN index_tenants t ON t.number = u.tenant WHERE t.tenant = $1 AND u.email = $2 ORDER BY u.id LIMIT 100"
        );
        let query = sqlx::query_as(SQL).bind(tenant).bind(self.index_email(email.as_str()));
        bounded(async {
            let rows: Vec<Sealed> = query.fetch_all(self.0.engine.reader()).await?;
            rows.into_iter().map(|row| self.open_indexed(tenant, row)).collect()
        })
        .await
    }

    /// Whether there is a user without an address.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn indexed_without_email(&self, tenant: &str) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT u.id FROM index_users u JOIN index_tenants t ON t.number = u.tenant \
                           WHERE t.tenant = $1 AND u.email = $2 LIMIT 1";
        let query = sqlx::query_scalar::<_, i64>(SQL).bind(tenant).bind(self.index_email(""));
        bounded(async { Ok(query.fetch_optional(self.0.engine.reader()).await?.is_some()) }).await
    }

    /// Those of some users that are known, in no order; at most 200 are looked for.
    ///
    /// # Errors
    /// `Corrupt` if one does not open; `Unavailable`.
    pub async fn indexed_among(&self, tenant: &str, ids: &[UserId]) -> Result<Vec<Indexed>, StoreError> {
        let Some(about) = self.about(tenant).await? else { return Ok(Vec::new()) };
        let places: Vec<_> = ids.iter().take(CHUNK).map(|id| place_of(about.number, *id)).collect();
        let count = places.len();
        let sql = sql::among(concat!(columns!(), "WHERE u.place IN"), 0, count);
        let query = places.iter().fold(sqlx::query_as(sql), |query, place| query.bind(place.clone()));
        bounded(async {
            let rows: Vec<Sealed> = query.persistent(false).fetch_all(self.0.engine.reader()).await?;
            rows.into_iter().map(|row| self.open_indexed(tenant, row)).collect()
        })
        .await
    }

    /// Rows that were written after another one, in that order; at most `most`.
    ///
    /// A row that does not open is left out: its user is found again when ZIA's list is read.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn indexed_after(
        &self,
        tenant: &str,
        seq: i64,
        most: u32,
    ) -> Result<(Vec<Indexed>, i64), StoreError> {
        const SQL: &str = concat!(
            columns!(),
            "JOIN index_tenants t ON t.number = u.tenant WHERE t.tenant = $1 AND u.seq > $2 ORDER BY u.seq LIMIT $3"
        );
        let query = sqlx::query_as(SQL).bind(tenant).bind(seq).bind(i64::from(most));
        bounded(async {
            let rows: Vec<Sealed> = query.fetch_all(self.0.engine.reader()).await?;
            let last = rows.last().map_or(seq, |row| row.seq);
            Ok((rows.into_iter().filter_map(|row| self.open_indexed(tenant, row).ok()).collect(), last))
        })
        .await
    }

    /// Users who were not seen since a time, longest first; at most `most`.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn unseen_since(
        &self,
        tenant: &str,
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT u.id FROM index_users u JOIN index_tenants t ON t.number = u.tenant \
             WHERE t.tenant = $1 AND u.seen_at < $2 ORDER BY u.seen_at LIMIT $3",
        )
        .bind(tenant)
        .bind(since.as_microsecond())
        .bind(i64::from(most));
        bounded(async {
            let ids = query.fetch_all(self.0.engine.reader()).await?;
            ids.into_iter().map(|id| UserId::new(id).ok_or(StoreError::Corrupt)).collect()
        })
        .await
    }

    /// The beginning of the keyed digest of an address.
    pub(super) fn index_email(&self, email: &str) -> Vec<u8> {
        cut(self.email_digest(email).as_bytes())
    }

    /// The beginning of the keyed digest of a row; tells whether it changed.
    pub(super) fn index_mark(&self, row: &IndexRow<'_>) -> Vec<u8> {
        cut(self.0.vault.digest("index.row", row.row.as_bytes()).as_bytes())
    }

    /// Seals a row for its place.
    pub(super) fn seal_indexed(
        &self,
        tenant: &str,
        place: &str,
        row: &IndexRow<'_>,
    ) -> Result<Vec<u8>, StoreError> {
        let (flags, body) = if text::can_be_packed(row.row) {
            (PACKED, text::packed(row.row))
        } else {
            (0, row.row.as_bytes().to_vec())
        };
        let flags = if row.listed { flags | LISTED } else { flags };
        let plain = zeroize::Zeroizing::new([&[flags], body.as_slice()].concat());
        self.0.vault.seal(sealed_place(tenant, place), &plain)
    }

    pub(super) fn open_indexed(&self, tenant: &str, row: Sealed) -> Result<Indexed, StoreError> {
        let plain = self.0.vault.open(sealed_place(tenant, &row.place), &row.sealed)?;
        let (flags, body) = plain.split_first().ok_or(StoreError::Corrupt)?;
        let text =
            if flags & PACKED != 0 { text::unpacked(body) } else { String::from_utf8(body.to_vec()).ok() };
        let id = UserId::new(row.id).ok_or(StoreError::Corrupt)?;
        let listed = flags & LISTED != 0;
        // The place is sealed with the row, and so is whose it is.
        if row.place.rsplit_once('.').is_none_or(|(_, of)| of != id.to_string()) {
            return Err(StoreError::Corrupt);
        }
        let row_text = text.ok_or(StoreError::Corrupt)?;
        Ok(Indexed { id, row: row_text, listed, seen_at: time(row.seen_at)?, seq: row.seq })
    }
}

/// Places and what was kept there, by id.
pub(super) type Opened = HashMap<i64, Indexed>;

fn sealed_place<'a>(tenant: &'a str, row: &'a str) -> Place<'a> {
    Place { purpose: "index.user", tenant, row, version: 0 }
}

fn cut(digest: &[u8; 32]) -> Vec<u8> {
    digest.iter().take(DIGEST_BYTES).copied().collect()
}

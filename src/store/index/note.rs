//! Noting users as they were seen, and what changed about them.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{
    About, CHUNK,
    changes::{ChangeKind, NewChange},
    rows::{Opened, Sealed, columns, place_of},
    sql,
};
use crate::{
    model::UserId,
    store::{
        Store, StoreError,
        engine::{Tx, bounded},
    },
};

/// A user to be noted.
#[derive(Clone, Copy)]
pub struct IndexRow<'a> {
    /// ZIA id.
    pub id: UserId,
    /// The address; kept as a keyed digest beside the sealed row.
    pub email: &'a str,
    /// The row.
    pub row: &'a str,
    /// Whether it is ZIA's own list row.
    pub listed: bool,
}

/// Whose doing a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Ours: a write that was verified.
    Us(ChangeKind),
    /// Somebody else's.
    Elsewhere,
}

/// Users as they were seen at one time.
#[derive(Clone, Copy)]
pub struct Sighting<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The users.
    pub rows: &'a [IndexRow<'a>],
    /// When the reading began.
    pub began: Timestamp,
    /// Whose doing it is if something is new.
    pub by: By,
    /// Whether it is noted of rows that are as they were, too, that they were seen.
    pub all: bool,
    /// Names the fields in which two rows differ; the flag says that both are ZIA's list rows.
    pub differs: fn(old: &str, new: &str, listed: bool) -> Vec<&'static str>,
}

/// What noting came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Rows that were not there.
    pub new: u64,
    /// Changes that were noted.
    pub changes: u64,
}

/// A row with its digests.
struct Row<'a> {
    row: IndexRow<'a>,
    email: Vec<u8>,
    mark: Vec<u8>,
}

impl Row<'_> {
    fn place(&self, about: &About) -> String {
        place_of(about.number, self.row.id)
    }
}

/// What becomes of the rows of one chunk.
#[derive(Default)]
struct Sorted<'r> {
    fresh: Vec<&'r Row<'r>>,
    changed: Vec<&'r Row<'r>>,
    as_before: Vec<String>,
}

impl Store {
    /// Notes users as they were seen; what was seen later stays.
    ///
    /// Somebody else's changes are noted once a whole list was read, which is what they are
    /// compared with. A user whom an operation is writing is left to that operation.
    ///
    /// # Errors
    /// `Unavailable`: some may have been noted then.
    pub async fn note_users(&self, sighting: &Sighting<'_>) -> Result<Noted, StoreError> {
        let mut noted = Noted::default();
        for rows in sighting.rows.chunks(CHUNK) {
            // Before the transaction, which keeps others from writing.
            let mut rows: Vec<_> = rows.iter().map(|row| self.told_apart(row)).collect();
            if !sighting.all {
                rows = bounded(self.news(sighting.tenant, rows)).await?;
            }
            if rows.is_empty() {
                continue;
            }
            let some = bounded(self.note_some(sighting, &rows)).await?;
            noted = Noted { new: noted.new + some.new, changes: noted.changes + some.changes };
        }
        Ok(noted)
    }

    /// The rows that are new or not as they were; nothing is written to find that out.
    async fn news<'a>(&self, tenant: &str, mut rows: Vec<Row<'a>>) -> Result<Vec<Row<'a>>, StoreError> {
        let Some(about) = self.about(tenant).await? else { return Ok(rows) };
        let known = marks(&mut self.0.engine.snapshot().await?, &about, &rows).await?;
        rows.retain(|row| {
            let known = known.get(&row.place(&about));
            known.is_none_or(|(mark, _)| *mark != row.mark)
        });
        Ok(rows)
    }

    fn told_apart<'a>(&self, row: &IndexRow<'a>) -> Row<'a> {
        Row { row: *row, email: self.index_email(row.email), mark: self.index_mark(row) }
    }

    async fn note_some(&self, sighting: &Sighting<'_>, rows: &[Row<'_>]) -> Result<Noted, StoreError> {
        let mut tx = self.begin().await?;
        let about = self.touched(&mut tx, sighting.tenant).await?;
        let sorted = self.sort(&mut tx, &about, sighting, rows).await?;
        let old = self.old_rows(&mut tx, &about, sighting.tenant, &sorted.changed).await?;
        let changes = changes_of(&about, sighting, &sorted, &old);
        let written: Vec<_> = sorted.fresh.iter().chain(&sorted.changed).copied().collect();
        self.put_rows(&mut tx, &about, sighting, &written).await?;
        see_again(&mut tx, sighting.began, &sorted.as_before).await?;
        let seen_at = match sighting.by {
            By::Us(_) => self.now(),
            By::Elsewhere => sighting.began,
        };
        self.log_changes(&mut tx, &about, &changes, seen_at).await?;
        let new = sorted.fresh.len() as u64;
        count(&mut tx, &about, written.len(), new).await?;
        self.0.engine.commit(tx).await?;
        Ok(Noted { new, changes: changes.len() as u64 })
    }

    async fn sort<'r>(
        &self,
        tx: &mut Tx,
        about: &About,
        sighting: &Sighting<'_>,
        rows: &'r [Row<'_>],
    ) -> Result<Sorted<'r>, StoreError> {
        let known = marks(tx, about, rows).await?;
        let held = match sighting.by {
            By::Us(_) => Held::default(),
            By::Elsewhere => self.held(tx, about, sighting).await?,
        };
        let (mut sorted, mut twice) = (Sorted::default(), HashSet::new());
        let began = sighting.began.as_microsecond();
        for row in rows {
            let (place, id) = (row.place(about), row.row.id);
            if !twice.insert(id) || held.ids.contains(&id.get()) {
                continue;
            }
            match known.get(&place) {
                Some((_, seen_at)) if *seen_at > began => {}
                Some((mark, _)) if *mark == row.mark => sorted.as_before.push(place),
                Some(_) => sorted.changed.push(row),
                None if held.emails.contains(&row.email) => {}
                None => sorted.fresh.push(row),
            }
        }
        Ok(sorted)
    }

    /// Users who were deleted since the reading began, or whom an operation is writing.
    async fn held(&self, tx: &mut Tx, about: &About, sighting: &Sighting<'_>) -> Result<Held, StoreError> {
        let gone: Vec<i64> = sqlx::query_scalar(
            "SELECT user_id FROM index_changes WHERE tenant = $1 AND seen_at >= $2 AND kind = $3",
        )
        .bind(about.number)
        .bind(sighting.began.as_microsecond())
        .bind(ChangeKind::Deleted.code())
        .fetch_all(&mut **tx)
        .await?;
        let mut held = being_written(tx, sighting.tenant).await?;
        held.ids.extend(gone);
        Ok(held)
    }

    async fn old_rows(
        &self,
        tx: &mut Tx,
        about: &About,
        tenant: &str,
        changed: &[&Row<'_>],
    ) -> Result<Opened, StoreError> {
        if changed.is_empty() {
            return Ok(Opened::new());
        }
        let statement = sql::among(concat!(columns!(), "WHERE u.place IN"), 0, changed.len());
        let query = changed.iter().fold(sqlx::query_as(statement), |query, row| query.bind(row.place(about)));
        let rows: Vec<Sealed> = query.persistent(false).fetch_all(&mut **tx).await?;
        // One that does not open is written anew.
        let opened = rows.into_iter().filter_map(|row| self.open_indexed(tenant, row).ok());
        Ok(opened.map(|old| (old.id.get(), old)).collect())
    }

    async fn put_rows(
        &self,
        tx: &mut Tx,
        about: &About,
        sighting: &Sighting<'_>,
        written: &[&Row<'_>],
    ) -> Result<(), StoreError> {
        if written.is_empty() {
            return Ok(());
        }
        let statement = sql::rows(
            "INSERT INTO index_users (place, tenant, id, email, mark, seq, seen_at, sealed)",
            8,
            written.len(),
            "ON CONFLICT (place) DO UPDATE SET email = excluded.email, mark = excluded.mark, seq = excluded.seq, \
             seen_at = excluded.seen_at, sealed = excluded.sealed",
        );
        let mut query = sqlx::query(statement).persistent(written.len() == CHUNK);
        for (seq, row) in (about.seq + 1..).zip(written) {
            let place = row.place(about);
            let sealed = self.seal_indexed(sighting.tenant, &place, &row.row)?;
            query = query
                .bind(place)
                .bind(about.number)
                .bind(row.row.id.get())
                .bind(row.email.clone())
                .bind(row.mark.clone())
                .bind(seq)
                .bind(sighting.began.as_microsecond())
                .bind(sealed);
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }

    /// Forgets a user who is gone; true if a change was noted.
    ///
    /// With [`By::Elsewhere`], one whom an operation is writing is left to that operation.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_indexed(&self, tenant: &str, id: UserId, by: By) -> Result<bool, StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let about = self.touched(&mut tx, tenant).await?;
            if by == By::Elsewhere && being_written(&mut tx, tenant).await?.ids.contains(&id.get()) {
                return Ok(false);
            }
            let gone = sqlx::query("DELETE FROM index_users WHERE place = $1")
                .bind(place_of(about.number, id))
                .execute(&mut *tx)
                .await?
                .rows_affected();
            // Of a user whom a whole list did not show, somebody else's deletion was noted before.
            let news = gone > 0 || about.swept_at.is_none();
            let noted = news && (by != By::Elsewhere || about.swept_at.is_some());
            let change =
                NewChange { id, kind: ChangeKind::Deleted, fields: String::new(), ours: by != By::Elsewhere };
            let changes = if noted { vec![change] } else { Vec::new() };
            self.log_changes(&mut tx, &about, &changes, self.now()).await?;
            sqlx::query("UPDATE index_tenants SET users = users - $1 WHERE number = $2")
                .bind(i64::try_from(gone).unwrap_or_default())
                .bind(about.number)
                .execute(&mut *tx)
                .await?;
            self.0.engine.commit(tx).await?;
            Ok(noted)
        })
        .await
    }
}

/// Users who are none of a reading's business.
#[derive(Default)]
struct Held {
    ids: HashSet<i64>,
    /// Beginnings of digests.
    emails: HashSet<Vec<u8>>,
}

/// Users whom an operation is writing.
async fn being_written(tx: &mut Tx, tenant: &str) -> Result<Held, StoreError> {
    let single: Vec<(Option<i64>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT subject, email FROM operations WHERE tenant = $1 AND ended = 0 \
         AND state IN ('sending', 'acked', 'unknown')",
    )
    .bind(tenant)
    .fetch_all(&mut **tx)
    .await?;
    let several: Vec<i64> = sqlx::query_scalar(
        "SELECT s.subject FROM subjects s JOIN operations o ON o.id = s.operation WHERE s.tenant = $1 \
         AND s.ended = 0 AND o.ended = 0 AND o.state IN ('sending', 'acked', 'unknown')",
    )
    .bind(tenant)
    .fetch_all(&mut **tx)
    .await?;
    let mut held = Held { ids: several.into_iter().collect(), emails: HashSet::new() };
    for (id, email) in single {
        match (id, email) {
            (Some(id), _) => drop(held.ids.insert(id)),
            (None, Some(mut email)) => {
                email.truncate(16);
                held.emails.insert(email);
            }
            (None, None) => {}
        }
    }
    Ok(held)
}

/// What is known of some users, by place: the mark of the row, and when it was seen.
async fn marks(
    tx: &mut Tx,
    about: &About,
    rows: &[Row<'_>],
) -> Result<HashMap<String, (Vec<u8>, i64)>, StoreError> {
    let statement = sql::among("SELECT place, mark, seen_at FROM index_users WHERE place IN", 0, rows.len());
    let query = rows.iter().fold(sqlx::query_as(statement), |query, row| query.bind(row.place(about)));
    let known: Vec<(String, Vec<u8>, i64)> =
        query.persistent(rows.len() == CHUNK).fetch_all(&mut **tx).await?;
    Ok(known.into_iter().map(|(place, mark, seen_at)| (place, (mark, seen_at))).collect())
}

fn changes_of(about: &About, sighting: &Sighting<'_>, sorted: &Sorted<'_>, old: &Opened) -> Vec<NewChange> {
    if sighting.by == By::Elsewhere && about.swept_at.is_none() {
        return Vec::new();
    }
    let ours = sighting.by != By::Elsewhere;
    let new = sorted.fresh.iter().map(|row| {
        // A write of ours to a user who was not known says itself what it was.
        let kind = if let By::Us(kind) = sighting.by { kind } else { ChangeKind::Created };
        NewChange { id: row.row.id, kind, fields: String::new(), ours }
    });
    let changed = sorted.changed.iter().filter_map(|row| {
        let row = &row.row;
        let old = old.get(&row.id.get())?;
        let fields = (sighting.differs)(&old.row, row.row, old.listed && row.listed);
        (!fields.is_empty()).then(|| NewChange {
            id: row.id,
            kind: ChangeKind::Updated,
            fields: fields.join(","),
            ours,
        })
    });
    new.chain(changed).collect()
}

/// Rows that are as they were are seen once more.
async fn see_again(tx: &mut Tx, at: Timestamp, places: &[String]) -> Result<(), StoreError> {
    if places.is_empty() {
        return Ok(());
    }
    let statement = sql::among("UPDATE index_users SET seen_at = $1 WHERE place IN", 1, places.len());
    let query = sqlx::query(statement).bind(at.as_microsecond());
    let query = places.iter().fold(query, |query, place| query.bind(place.clone()));
    query.persistent(places.len() == CHUNK).execute(&mut **tx).await?;
    Ok(())
}

async fn count(tx: &mut Tx, about: &About, written: usize, new: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE index_tenants SET seq = seq + $1, users = users + $2 WHERE number = $3")
        .bind(i64::try_from(written).unwrap_or_default())
        .bind(i64::try_from(new).unwrap_or_default())
        .bind(about.number)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

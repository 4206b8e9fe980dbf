//! Groups and departments, as last listed.

use jiff::Timestamp;

use crate::{
    model::Named,
    store::{Store, StoreError, engine::bounded, time, vault::Place},
};

/// Names that are sealed together.
const PART: usize = 1_000;

/// Which list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// Groups.
    Group,
    /// Departments.
    Department,
}

impl NameKind {
    fn code(self) -> i64 {
        match self {
            Self::Group => 1,
            Self::Department => 2,
        }
    }
}

/// All groups or departments, as last listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameList {
    /// Every one, in the tenant's order.
    pub items: Vec<Named>,
    /// When the reading began.
    pub as_of: Timestamp,
    /// Whether the list was read to its end.
    pub complete: bool,
}

impl Store {
    /// Keeps a list in the place of the one before.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keep_names(&self, tenant: &str, kind: NameKind, list: &NameList) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let about = self.touched(&mut tx, tenant).await?;
            sqlx::query("DELETE FROM index_names WHERE tenant = $1 AND kind = $2")
                .bind(about.number)
                .bind(kind.code())
                .execute(&mut *tx)
                .await?;
            // A list without entries is one, too.
            let parts = list.items.chunks(PART).chain(list.items.is_empty().then_some(&[][..]));
            for (part, items) in (0_i64..).zip(parts) {
                let place = format!("{}.{}.{part}", about.number, kind.code());
                let plain = serde_json::to_vec(items).map_err(|_| StoreError::Corrupt)?;
                sqlx::query(
                    "INSERT INTO index_names (place, tenant, kind, part, as_of, complete, sealed) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(&place)
                .bind(about.number)
                .bind(kind.code())
                .bind(part)
                .bind(list.as_of.as_microsecond())
                .bind(i64::from(list.complete))
                .bind(self.0.vault.seal(sealed_place(tenant, &place), &plain)?)
                .execute(&mut *tx)
                .await?;
            }
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// The list as it was kept last.
    ///
    /// # Errors
    /// `Corrupt` if it does not open; `Unavailable`.
    pub async fn kept_names(&self, tenant: &str, kind: NameKind) -> Result<Option<NameList>, StoreError> {
        let query = sqlx::query_as::<_, (String, i64, i64, Vec<u8>)>(
            "SELECT n.place, n.as_of, n.complete, n.sealed FROM index_names n \
             JOIN index_tenants t ON t.number = n.tenant WHERE t.tenant = $1 AND n.kind = $2 ORDER BY n.part",
        )
        .bind(tenant)
        .bind(kind.code());
        bounded(async {
            let mut list: Option<NameList> = None;
            for (place, as_of, complete, sealed) in query.fetch_all(self.0.engine.reader()).await? {
                let plain = self.0.vault.open(sealed_place(tenant, &place), &sealed)?;
                let items: Vec<Named> = serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt)?;
                let empty = NameList { items: Vec::new(), as_of: time(as_of)?, complete: complete != 0 };
                list.get_or_insert(empty).items.extend(items);
            }
            Ok(list)
        })
        .await
    }
}

fn sealed_place<'a>(tenant: &'a str, row: &'a str) -> Place<'a> {
    Place { purpose: "index.names", tenant, row, version: 0 }
}

//! Names to ids: users, groups and departments of the tenant.
//!
//! ZIA lists carry no total, ignore parameters they do not know, match names by parts and allow 40
//! user lists an hour. This room turns them into answers that say how sure they are.

mod index;
mod names;
mod pages;
mod search;
mod users;

use std::sync::Arc;

pub use index::IndexState;
pub(crate) use names::choose;
pub use names::{Listing, NameError};
pub use search::{Search, Searched};
pub use users::{ById, Everyone, Known, Lookup, Seen};
pub(crate) use users::{is_encoded, to_user};

use crate::{model::Clock, zia::Zia};

/// What the server knows of the tenant's users, groups and departments. A cheap handle.
#[derive(Clone, Debug)]
pub struct Directory {
    zia: Zia,
    clock: Clock,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    users: index::Index,
    facts: users::FilterFacts,
    groups: names::Names,
    departments: names::Names,
    /// One listing at a time: the budget is 40 an hour, and a second caller can use the first's rows.
    listing: tokio::sync::Mutex<()>,
}

impl Directory {
    /// An empty directory over a tenant.
    pub fn new(zia: Zia, clock: Clock) -> Self {
        let shared = Shared {
            users: index::Index::default(),
            facts: users::FilterFacts::default(),
            groups: names::Names::default(),
            departments: names::Names::default(),
            listing: tokio::sync::Mutex::new(()),
        };
        Self { zia, clock, shared: Arc::new(shared) }
    }

    /// How complete the index of users is.
    pub async fn index_state(&self) -> IndexState {
        self.shared.users.state()
    }
}

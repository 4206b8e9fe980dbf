//! Names to ids: users, groups and departments of the tenant.
//!
//! ZIA lists carry no total, ignore parameters they do not know, match names by parts and allow 40
//! user lists an hour. This room turns them into answers that say how sure they are, keeps what they
//! showed in the store's index, and reads the whole list from time to time to see what changed.

mod choose;
mod fields;
mod filler;
mod haystack;
mod index;
mod names;
mod pages;
mod rows;
mod search;
mod users;

use std::sync::Arc;

pub use choose::NameError;
pub(crate) use choose::choose;
pub use index::{IndexSettings, Known, Remembered};
pub use names::Listing;
pub use search::{Search, Searched};
pub use users::{ById, Everyone, Lookup, Seen};
pub(crate) use users::{MAX_PAGES, is_encoded, to_user};

use crate::{model::Clock, store::Store, zia::Zia};

/// What the server knows of the tenant's users, groups and departments. A cheap handle.
#[derive(Clone, Debug)]
pub struct Directory {
    zia: Zia,
    store: Store,
    clock: Clock,
    settings: IndexSettings,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    facts: users::FilterFacts,
    groups: names::Names,
    departments: names::Names,
    haystack: tokio::sync::Mutex<haystack::Haystack>,
    /// When the last whole list that this process read was begun; plain, since no await happens under it.
    listed: std::sync::Mutex<Option<jiff::Timestamp>>,
    /// The number of the last change of a user.
    changed: tokio::sync::watch::Sender<i64>,
    /// One listing at a time: the budget is 40 an hour, and a second caller can use the first's rows.
    listing: tokio::sync::Mutex<()>,
}

impl Directory {
    /// The directory of a tenant, over what the store knows of it.
    pub fn new(zia: Zia, store: Store, settings: IndexSettings, clock: Clock) -> Self {
        let shared = Shared {
            facts: users::FilterFacts::default(),
            groups: names::Names::default(),
            departments: names::Names::default(),
            haystack: tokio::sync::Mutex::default(),
            listed: std::sync::Mutex::default(),
            changed: tokio::sync::watch::channel(0).0,
            listing: tokio::sync::Mutex::new(()),
        };
        Self { zia, store, clock, settings, shared: Arc::new(shared) }
    }
}

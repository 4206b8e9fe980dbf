//! One lock per key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// Locks by name; a lock that nobody holds or waits for is forgotten.
#[derive(Default)]
pub(crate) struct KeyedLocks {
    /// Plain, since no await happens under it.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Keys hold addresses, which no debug form shows.
impl std::fmt::Debug for KeyedLocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedLocks")
    }
}

impl KeyedLocks {
    /// Waits for the key's lock.
    pub(crate) async fn lock(&self, key: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, l| Arc::strong_count(l) > 1);
            Arc::clone(locks.entry(key).or_default())
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_excludes_and_another_does_not() {
        let locks = KeyedLocks::default();
        let held = locks.lock("a".into()).await;
        let _other = locks.lock("b".into()).await;
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), locks.lock("a".into())).await;
        assert!(again.is_err());
        drop(held);
        let _now = locks.lock("a".into()).await;
        assert!(locks.locks.lock().unwrap().len() <= 2);
    }
}

//! What each caller takes of the look-ups in ZIA that all share (guardrails B27).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    FindUser, FoundUsers, Lifecycle,
    failure::{Code, Failure},
};
use crate::{
    model::{Actor, Channel, reserve},
    zia::{BudgetLine, Planned},
};

/// How long a look-up counts.
const HOUR: Duration = Duration::from_secs(3600);

/// Of the calls that readers may make, such a part is left to callers who took less than others.
const LEFT_TO_OTHERS: u32 = 4;

/// When each caller had ZIA asked, within the last hour; plain, since no await happens under it.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Shares {
    /// Counts a look-up of a caller; where calls are scarce, not one of whoever had most of them.
    fn take(&self, caller: &str, is_scarce: bool, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for taken in all.values_mut() {
            while taken.front().is_some_and(|at| now.duration_since(*at) >= HOUR) {
                taken.pop_front();
            }
        }
        all.retain(|_, taken| !taken.is_empty());
        let own = all.get(caller).map_or(0, VecDeque::len);
        let total: usize = all.values().map(VecDeque::len).sum();
        if is_scarce && own * 2 > total {
            return false;
        }
        all.entry(caller.to_owned()).or_default().push_back(now);
        true
    }
}

/// Whether little is left of a window, besides what finishing keeps of an hour.
fn is_scarce(line: &BudgetLine) -> bool {
    let kept = match line.per {
        "hour" => reserve(line.limit),
        "minute" => 0,
        // A second is soon over.
        _ => return false,
    };
    line.remaining.saturating_sub(kept) * LEFT_TO_OTHERS <= line.limit - kept
}

impl Lifecycle {
    /// Finds users for a caller, who shares the look-ups in ZIA with others.
    ///
    /// # Errors
    /// As [`Lifecycle::find_user`]; `RATE_LIMITED` for a fresh look-up when little is left, and this
    /// caller had most of what was used.
    pub async fn find_user_for(&self, actor: &Actor, find: FindUser) -> Result<FoundUsers, Failure> {
        if find.fresh && self.has_several_callers(actor) {
            self.take_share(actor).await?;
        }
        self.find_user(find).await
    }

    /// The token of the environment may be there beside named ones.
    fn has_several_callers(&self, actor: &Actor) -> bool {
        let authority = &self.settings.authority;
        actor.channel == Channel::Http && (authority.issuer.is_some() || !authority.tokens.is_empty())
    }

    async fn take_share(&self, actor: &Actor) -> Result<(), Failure> {
        let lines = self.zia.budget_of(Planned::ListUsers).await;
        let scarce = lines.into_iter().filter(is_scarce).max_by_key(|line| line.resets_at);
        if self.shared.shares.take(&actor.caller, scarce.is_some(), Instant::now()) {
            return Ok(());
        }
        let failure = Failure::new(
            Code::RateLimited,
            "what is left of the tenant's look-ups is kept for other callers: this one had most of them",
            "leave `fresh` out to search the index, or call again at `retry_at`",
        );
        Err(scarce.into_iter().fold(failure, |failure, line| failure.retry_at(line.resets_at)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn line(per: &'static str, limit: u32, remaining: u32) -> BudgetLine {
        BudgetLine { endpoint: "GET /users", per, limit, remaining, resets_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn scarce_is_a_quarter_of_what_readers_may_use() {
        assert!(!is_scarce(&line("second", 1, 0)));
        assert!(!is_scarce(&line("minute", 10, 3)) && is_scarce(&line("minute", 10, 2)));
        assert!(!is_scarce(&line("hour", 40, 17)) && is_scarce(&line("hour", 40, 16)));
        assert!(is_scarce(&line("hour", 40, 0)));
    }

    #[test]
    fn b27_who_had_most_leaves_the_rest_to_others() {
        let (shares, now) = (Shares::default(), Instant::now());
        assert!((0..8).all(|_| shares.take("looping", false, now)), "as long as there is enough");
        assert!(!shares.take("looping", true, now));
        assert!((0..9).all(|_| shares.take("other", true, now)), "until they have had most");
        assert!(!shares.take("other", true, now));
        assert!(shares.take("third", true, now));
        assert!(shares.take("looping", true, now + HOUR), "an hour later all is forgotten");
    }
}

//! Finding many users with few calls.

use std::collections::HashMap;

use super::{
    Asked, Code, Failure,
    plan::{Left, Line, Plan, lists_are_cheaper},
    twice,
};
use crate::{
    directory::{ById, Lookup, MAX_PAGES, Seen},
    lifecycle::{
        Lifecycle,
        before_image::BeforeImage,
        subject::{disagree, not_found, several},
    },
    model::{Digest, UserId, UserRef},
    store::SubjectKey,
    zia::Deadline,
};

/// Users up to which each is looked up by itself: a list of the whole tenant costs as much.
const FEW: usize = 3;

/// The most users that are read by id while the caller waits: ZIA answers two a second.
const READ_AT_ONCE: usize = 60;

/// How often each is read, the look-up included: to capture, before the send, and after.
const ROUNDS: u64 = 3;

/// A user to be deleted.
pub(crate) struct Target {
    /// Where the user is in the call's list.
    pub(super) position: usize,
    pub(super) seen: Seen,
    /// Digest of the documented fields, as read by id or, for many, in the list.
    pub(super) object: Digest,
    pub(super) by_id: Option<ById>,
}

impl Target {
    /// The user as ZIA shows it; for many, its row stands for the answer by id.
    pub(super) fn before_image(&self) -> Vec<u8> {
        let row = &*self.seen.row;
        BeforeImage { row, by_id: self.by_id.as_ref().map_or(row, |found| &found.raw) }.to_bytes()
    }
}

/// What a look-up of one user came to.
enum Found {
    /// There, with the digest of the row if a whole list was read.
    Here(Box<Seen>, Option<Digest>),
    Gone {
        proven: bool,
    },
    Ambiguous(Failure),
}

impl Lifecycle {
    /// Finds the users of a call: those to be deleted, what is to be told of the others, and
    /// whether lists stand for answers by id.
    pub(super) async fn find_all(
        &self,
        asked: &[String],
        refs: &[UserRef],
        until: Deadline,
    ) -> Result<(Vec<Asked>, Vec<Target>, bool), Failure> {
        let (found, whole) = Box::pin(self.look_all_up(refs, until)).await?;
        let here = found.iter().filter(|f| matches!(f, Found::Here(..))).count();
        let (pages, reads) = (u64::from(self.directory.pages().await), here as u64 * ROUNDS);
        let by_list = whole && lists_are_cheaper(pages * (ROUNDS - 1), reads, self.left().await);
        let (mut told, mut targets) = (Vec::new(), Vec::<Target>::new());
        for (position, (text, (one, found))) in asked.iter().zip(refs.iter().zip(found)).enumerate() {
            told.push(match found {
                Found::Here(seen, row) => {
                    if let Some(same) = targets.iter().find(|t| t.seen.user.id == seen.user.id) {
                        return Err(twice(asked, same.position, position));
                    }
                    let target = self.target(position, *seen, row.filter(|_| by_list), until).await?;
                    targets.push(target);
                    Asked::to_delete(text)
                }
                Found::Gone { proven } => self.gone(text, one, proven).await?,
                Found::Ambiguous(failure) => Asked::refused(text, failure),
            });
        }
        Ok((told, targets, by_list))
    }

    async fn look_all_up(&self, refs: &[UserRef], until: Deadline) -> Result<(Vec<Found>, bool), Failure> {
        if refs.len() > FEW && !self.is_cheaper_by_id(refs).await {
            let everyone = Box::pin(self.directory.everyone(until)).await?;
            if everyone.complete {
                return Ok((pick_all(refs, everyone.users), true));
            }
        }
        Ok((self.look_up_each(refs, until).await?, false))
    }

    /// Reads users one by one; of a call that fails, the same call once more reads only the others.
    async fn look_up_each(&self, refs: &[UserRef], until: Deadline) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::with_capacity(refs.len());
        for one in refs {
            let now = self.clock.now();
            if let Some((at, seen)) = self.shared.gathered.take(one, now) {
                found.push((at, Found::Here(Box::new(seen), None)));
                continue;
            }
            let one = match Box::pin(self.look_up_live(one, until)).await {
                Ok(Lookup::Found(seen)) => Found::Here(seen, None),
                Ok(Lookup::Several(users)) => Found::Ambiguous(several(&users)),
                Ok(Lookup::Absent { proven }) => Found::Gone { proven },
                Err(error) => {
                    let read = found.len();
                    let here = refs.iter().zip(found).filter_map(|(who, (at, one))| match one {
                        Found::Here(seen, _) => Some((who.clone(), at, *seen)),
                        _ => None,
                    });
                    self.shared.gathered.keep(here, now);
                    return Err(stopped_at(read, refs.len(), error.into()));
                }
            };
            found.push((now, one));
        }
        Ok(found.into_iter().map(|(_, one)| one).collect())
    }

    /// Whether users are better read by id: all are in the index, which says where to look.
    async fn is_cheaper_by_id(&self, refs: &[UserRef]) -> bool {
        let pages = self.directory.pages().await;
        let (lists, reads) = (u64::from(pages) * ROUNDS, refs.len() as u64 * ROUNDS);
        let long = pages > MAX_PAGES;
        if !long && (refs.len() > READ_AT_ONCE || lists_are_cheaper(lists, reads, self.left().await)) {
            return false;
        }
        for one in refs {
            if self.directory.known(one).await.is_none() {
                return long;
            }
        }
        true
    }

    async fn left(&self) -> Left {
        Left::of(&self.lines().await)
    }

    async fn lines(&self) -> Vec<Line> {
        let now = self.clock.now();
        self.zia.budget().await.iter().map(|line| Line::of(line, now)).collect()
    }

    /// What a delete of so many users will cost, and until when, in words.
    pub(super) async fn plan_of(&self, users: usize, by_list: bool) -> String {
        let pages = if by_list { Some(self.directory.pages().await) } else { None };
        Plan::new(users, pages).in_words(&self.lines().await, self.clock.now())
    }

    async fn target(
        &self,
        position: usize,
        mut seen: Seen,
        row: Option<Digest>,
        until: Deadline,
    ) -> Result<Target, Failure> {
        if let Some(object) = row {
            return Ok(Target { position, seen, object, by_id: None });
        }
        let read = self.object_of(&mut seen, until).await?;
        if read.user.id != seen.user.id {
            return Err(disagree());
        }
        Ok(Target { position, seen, object: read.object, by_id: Some(read) })
    }

    /// A user who is not there: already deleted by us, or not found.
    async fn gone(&self, text: &str, one: &UserRef, proven: bool) -> Result<Asked, Failure> {
        let key = match one {
            UserRef::Id(id) => SubjectKey::Id(*id),
            UserRef::Email(email) => SubjectKey::Email(email.to_string()),
        };
        Ok(match self.store.deleted_by_us(self.tenant(), &key).await? {
            Some(_) => Asked::already(text),
            None => Asked::refused(text, not_found(proven)),
        })
    }
}

/// Where ZIA's limits ended the reading of many users, it goes on there.
fn stopped_at(read: usize, of: usize, failure: Failure) -> Failure {
    if read == 0 || failure.code != Code::RateLimited {
        return failure;
    }
    let message = format!("{read} of {of} users were read; {}", failure.message);
    let next = "call again at `retry_at` with the same users: those who were read are not read again for a quarter of an hour";
    Failure { message, next: next.into(), ..failure }
}

/// Picks users out of a whole list.
fn pick_all(refs: &[UserRef], everyone: Vec<(Seen, Digest)>) -> Vec<Found> {
    let mut by_email: HashMap<String, Vec<UserId>> = HashMap::new();
    let mut by_id: HashMap<UserId, (Seen, Digest)> = HashMap::new();
    for (seen, digest) in everyone {
        by_email.entry(seen.user.email.to_lowercase()).or_default().push(seen.user.id);
        by_id.insert(seen.user.id, (seen, digest));
    }
    // One without an address may have the one that is missed.
    let proven = !by_email.contains_key("");
    let mut pick = |one: &UserRef| {
        let id = match one {
            UserRef::Id(id) => *id,
            UserRef::Email(email) => match by_email.get(&email.folded()).map(Vec::as_slice) {
                None => return Found::Gone { proven },
                Some([id]) => *id,
                Some(ids) => {
                    let users: Vec<_> =
                        ids.iter().filter_map(|id| by_id.get(id)).map(|s| s.0.user.clone()).collect();
                    return Found::Ambiguous(several(&users));
                }
            },
        };
        match by_id.get(&id) {
            Some((seen, digest)) => Found::Here(Box::new(seen.again()), Some(*digest)),
            None => Found::Gone { proven: true },
        }
    };
    refs.iter().map(&mut pick).collect()
}

//! One user, read live with as few calls as the index of users allows.

use super::{Lifecycle, reconcile::same_groups};
use crate::{
    directory::{Known, Lookup, Seen},
    model::{Email, User, UserId, UserRef},
    zia::{Deadline, Error},
};

impl Lifecycle {
    /// Looks one user up in ZIA itself: by one read by id where the index knows who it is.
    ///
    /// The index only says where to look. ZIA's list, of which there are 40 an hour, is asked where
    /// the index knows nobody, and where ZIA's answer by id does not bear out what it knows: either
    /// the user changed since, or that answer leaves something out, which would be lost by a write.
    ///
    /// # Errors
    /// What ZIA answered; absence is no error.
    pub(crate) async fn look_up_live(&self, who: &UserRef, until: Deadline) -> Result<Lookup, Error> {
        // Boxed, as what leads here nests deep: a thread's stack has to hold all of it.
        if let Some(known) = self.directory.known(who).await
            && let Some(seen) = Box::pin(self.by_id_alone(who, known, until)).await?
        {
            return Ok(Lookup::Found(Box::new(seen)));
        }
        // One at a time: who waited may find that another's list has told the index.
        let Ok(_turn) = tokio::time::timeout_at(until.ends(), self.directory.turn()).await else {
            return Box::pin(self.directory.look_up(who, until)).await;
        };
        if let UserRef::Email(_) = who
            && let Some(known) = self.directory.known(who).await
            && let Some(seen) = Box::pin(self.by_id_alone(who, known, until)).await?
        {
            return Ok(Lookup::Found(Box::new(seen)));
        }
        Box::pin(self.directory.look_up(who, until)).await
    }

    /// Whether somebody has an address: the index alone can prove that nobody had it.
    ///
    /// # Errors
    /// What ZIA answered.
    pub(crate) async fn look_for_namesake(&self, email: &Email, until: Deadline) -> Result<Lookup, Error> {
        if self.directory.known_absent(email).await.is_some() {
            return Ok(Lookup::Absent { proven: true });
        }
        let who = UserRef::Email(email.clone());
        if self.directory.known(&who).await.is_none() {
            // One at a time: a list that another waits for proves absence for both.
            let _turn = tokio::time::timeout_at(until.ends(), self.directory.turn()).await;
            if self.directory.known_absent(email).await.is_some() {
                return Ok(Lookup::Absent { proven: true });
            }
            return Box::pin(self.directory.look_up(&who, until)).await;
        }
        Box::pin(self.look_up_live(&who, until)).await
    }

    /// The user as ZIA answers by id, if all comes in plain there and is as known.
    async fn by_id_alone(&self, who: &UserRef, known: Known, until: Deadline) -> Result<Option<Seen>, Error> {
        let id = known.seen.user.id;
        let Some(found) = self.directory.by_id(id, until).await? else { return Ok(None) };
        let same = is_borne_out(who, id, &known, found.plain_email.as_deref(), found.plain_name.as_deref());
        let Some((name, email)) = same.filter(|_| is_whole(&known.seen.user, &found.user)) else {
            return Ok(None);
        };
        let Known { seen: before, .. } = known;
        let user = User {
            name,
            email,
            // By id ZIA does not say who is not editable (zia-facts §3.1).
            editable: before.user.editable,
            admin_user: before.user.admin_user || found.user.admin_user,
            ..found.user.clone()
        };
        // The row of the index may be older than the answer, which shows what the row would.
        let row = found.raw.clone();
        Ok(Some(Seen { user, kind: before.kind, row, by_id: Some(found) }))
    }
}

/// Whether an answer by id shows what was known of the user before.
fn is_whole(before: &User, now: &User) -> bool {
    before.name == now.name
        && before.comments == now.comments
        && before.department == now.department
        && same_groups(&before.groups, &now.groups)
}

/// Name and address of an answer by id, if it shows them in plain and is about whom the index means.
fn is_borne_out(
    who: &UserRef,
    id: UserId,
    known: &Known,
    email: Option<&str>,
    name: Option<&str>,
) -> Option<(String, String)> {
    let (email, name) = (email?, name?);
    let asked = match who {
        UserRef::Email(asked) => asked.is(email),
        UserRef::Id(asked) => *asked == id,
    };
    let as_known = known.seen.user.email.to_lowercase() == email.to_lowercase();
    (asked && as_known).then(|| (name.to_owned(), email.to_owned()))
}

//! Groups and departments that ZIA calls otherwise than the caller's names were resolved by.

use crate::{
    directory::is_encoded,
    lifecycle::{Lifecycle, details::Details, report::Subject},
    model::{Named, User, shown},
};

impl Lifecycle {
    /// Says which group or department has another name than it was asked for by, as ZIA shows the
    /// user after a write; then names are not resolved by the old list any more.
    pub(super) async fn note_renamed(&self, details: &mut Details, user: &User) {
        let (department, groups) = match (&details.replacement, &details.user) {
            (Some(wanted), _) => (wanted.department.clone(), wanted.groups.clone()),
            (None, Some(Subject::Draft(draft))) => (draft.department.clone(), draft.groups.clone()),
            _ => return,
        };
        let mut notes = renamed("group", &groups, &user.groups);
        notes.extend(renamed("department", department.as_slice(), user.department.as_slice()));
        if notes.is_empty() {
            return;
        }
        notes.into_iter().for_each(|note| details.note(note));
        self.directory.forget_names().await;
    }
}

fn renamed(kind: &str, asked: &[Named], shows: &[Named]) -> Vec<String> {
    let plain = |now: &&Named| !now.name.is_empty() && !is_encoded(&now.name);
    let other = |was: &Named| shows.iter().filter(plain).find(|now| now.id == was.id && now.name != was.name);
    let said = |was: &Named| {
        let now = other(was)?;
        let (before, now) = (shown(&was.name), shown(&now.name));
        Some(format!(
            "the {kind} asked for as {before} is called {now} in ZIA now (id {}): look whether it is the one you mean",
            was.id
        ))
    };
    asked.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: i64, name: &str) -> Named {
        Named { id, name: name.into() }
    }

    #[test]
    fn only_another_plain_name_of_the_same_id_is_told() {
        let asked = [named(1, "Sales"), named(2, "Ops"), named(3, "Legal"), named(4, "HR")];
        let blob = "kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo=";
        let shows = [named(1, "Board"), named(2, "Ops"), named(3, ""), named(4, blob), named(5, "Sales")];
        let told = renamed("group", &asked, &shows);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("the group asked for as Sales is called Board in ZIA now (id 1)"));
    }
}

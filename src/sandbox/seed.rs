//! The users, groups and departments that a sandbox tenant starts with.
//!
//! The same seed and number of users make the same tenant, on every machine. First come the
//! awkward ones of [`awkward`], always there and always with the same ids, then ordinary people
//! drawn from the seed: about five in six with a department, one in fourteen with a comment, one
//! in fifty disabled, one in a hundred synced from a directory, one in two hundred an
//! administrator.

mod awkward;
mod names;

use super::credentials::DOMAIN;
use super::org::{Org, Unit, Units};
use super::user::UserRow;

/// The domains that belong to the tenant: other e-mail addresses are refused.
pub(super) const DOMAINS: [&str; 2] = [DOMAIN, "example.net"];

const FIRST_AWKWARD_ID: u64 = 165_000_001;
const FIRST_ORDINARY_ID: u64 = 200_000_000;
/// Where the ids of users created later start.
pub(super) const FIRST_NEW_ID: u64 = 300_000_001;
const FIRST_GROUP_ID: u64 = 24_326_801;
const FIRST_DEPARTMENT_ID: u64 = 68_759_301;

/// The groups and departments, the same for every seed.
///
/// 132 groups and 110 departments: more than a page of 100. Two groups are called
/// "Contractors", one per identity provider.
pub(super) fn org() -> Org {
    let mut groups = vec![unit(FIRST_GROUP_ID, "Service Admin")];
    groups.extend(numbered(FIRST_GROUP_ID + 1, 129, |at| names::unit_name(at, &names::SITES)));
    for (id, idp) in [(FIRST_GROUP_ID + 130, 4101), (FIRST_GROUP_ID + 131, 4102)] {
        groups.push(Unit { idp_id: Some(idp), ..unit(id, "Contractors") });
    }
    let mut departments = vec![unit(FIRST_DEPARTMENT_ID, "Service Admin")];
    departments.extend(numbered(FIRST_DEPARTMENT_ID + 1, 109, |at| names::unit_name(at, &names::COUNTRIES)));
    for unit in groups.iter_mut().step_by(5).chain(departments.iter_mut().step_by(5)) {
        unit.comments = Some(format!("{} (seeded)", unit.name));
    }
    if let Some(first) = groups.first_mut() {
        first.is_system_defined = Some(true);
    }
    Org { groups: Units::new(groups), departments: Units::new(departments) }
}

fn numbered(first_id: u64, count: u64, name: impl Fn(usize) -> String) -> impl Iterator<Item = Unit> {
    (0..count).map(move |at| unit(first_id + at, &name(usize::try_from(at).unwrap_or_default())))
}

fn unit(id: u64, name: &str) -> Unit {
    Unit { id, name: name.to_owned(), idp_id: None, comments: None, is_system_defined: None }
}

/// At least `count` users.
pub(super) fn users(count: usize, seed: u64) -> Vec<UserRow> {
    let mut users = awkward::users();
    let mut random = SplitMix(seed);
    let offset = random.below(names::PEOPLE);
    users.reserve(count.saturating_sub(users.len()));
    for at in 0..count.saturating_sub(users.len()) {
        users.push(ordinary(at, offset, &mut random));
    }
    users
}

fn ordinary(at: usize, offset: u64, random: &mut SplitMix) -> UserRow {
    let at = u64::try_from(at).unwrap_or(u64::MAX);
    let (name, local) = names::person(at, offset);
    let mut groups: Vec<u64> =
        (0..=random.below(3)).map(|_| FIRST_GROUP_ID + 1 + random.below(129)).collect();
    groups.sort_unstable();
    groups.dedup();
    let domain = DOMAINS.get(usize::from(random.one_in(10))).copied().unwrap_or(DOMAIN);
    let admin = random.one_in(200);
    UserRow {
        id: FIRST_ORDINARY_ID + at * 7 + random.below(7),
        name: name.into(),
        email: format!("{local}@{domain}").into(),
        department: (!random.one_in(6)).then(|| FIRST_DEPARTMENT_ID + 1 + random.below(109)),
        groups: groups.into(),
        comments: random.one_in(14).then(|| "moved desks in spring".into()),
        temp_auth_email: None,
        admin,
        non_editable: !admin && random.one_in(100),
        disabled: random.one_in(50),
    }
}

/// Steele and others' SplitMix64: small, and the same on every machine for ever.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

//! Where ordinary names come from.

const FIRST: [&str; 64] = [
    "Aisha", "Albert", "Alison", "Amara", "Andre", "Anna", "Arjun", "Ayaka", "Beatriz", "Ben", "Bianca",
    "Brian", "Carla", "Chen", "Chloe", "Conor", "Daichi", "Dana", "Dario", "Deborah", "Diego", "Edith",
    "Elif", "Emil", "Esha", "Farid", "Fiona", "Frank", "Grace", "Gustav", "Hana", "Hugo", "Ines", "Ivan",
    "Jamal", "Jana", "Julia", "Kai", "Karin", "Lars", "Leila", "Liam", "Lucia", "Magnus", "Mara", "Mei",
    "Milan", "Nadia", "Nils", "Olga", "Omar", "Paula", "Pedro", "Priya", "Quinn", "Rafael", "Rosa", "Samir",
    "Sofia", "Tariq", "Tessa", "Uma", "Victor", "Yusuf",
];

const LAST: [&str; 64] = [
    "Abbas", "Addison", "Ahmed", "Almond", "Bauer", "Becker", "Bell", "Bose", "Brandt", "Calder", "Castro",
    "Cohen", "Costa", "Dixon", "Dubois", "Duncan", "Eaton", "Edwards", "Evans", "Fischer", "Flores", "Fox",
    "Garcia", "Gilbey", "Greig", "Haas", "Hansen", "Hirst", "Ibrahim", "Ito", "Jansen", "John", "Joyce",
    "Kaya", "Keenan", "Khan", "Kowalski", "Larsen", "Lee", "Lopez", "Maier", "Mbeki", "Moreau", "Murphy",
    "Nagy", "Nakamura", "Novak", "Okafor", "Olsen", "Patel", "Petrov", "Quist", "Ramos", "Rossi", "Sato",
    "Silva", "Singh", "Stein", "Tanaka", "Torres", "Ueda", "Vogel", "Weber", "Young",
];

const TEAMS: [&str; 12] = [
    "Engineering",
    "Sales",
    "Finance",
    "Marketing",
    "Legal",
    "Support",
    "Operations",
    "Research",
    "Security",
    "People",
    "Procurement",
    "Design",
];

pub(super) const SITES: [&str; 11] =
    ["", "Berlin", "Dublin", "Lisbon", "London", "Madrid", "Osaka", "Pune", "San Jose", "Sydney", "Toronto"];

pub(super) const COUNTRIES: [&str; 11] = ["", "AU", "CA", "DE", "ES", "GB", "IE", "IN", "JP", "PT", "US"];

/// How many people have a first and last name of their own; after that come middle initials.
pub(super) const PEOPLE: u64 = 64 * 64;

/// The name of the `at`-th group or department: a team, then the same team elsewhere.
pub(super) fn unit_name(at: usize, places: &[&str]) -> String {
    let team = TEAMS.get(at % TEAMS.len()).copied().unwrap_or_default();
    match places.get(at / TEAMS.len()) {
        Some(place) if !place.is_empty() => format!("{team} {place}"),
        _ => team.to_owned(),
    }
}

/// The name and the e-mail's local part of the `at`-th person.
pub(super) fn person(at: u64, offset: u64) -> (String, String) {
    // An odd factor visits every pair once before any comes again.
    let pair = (at.wrapping_mul(2_654_435_761).wrapping_add(offset)) % PEOPLE;
    let (first, last) = (pick(&FIRST, pair / 64), pick(&LAST, pair % 64));
    let local = format!("{}.{}", first.to_lowercase(), last.to_lowercase());
    match at / PEOPLE {
        0 => (format!("{first} {last}"), local),
        round => {
            let initial = char::from(b'A' + u8::try_from((round - 1) % 26).unwrap_or_default());
            (format!("{first} {initial}. {last}"), format!("{local}{}", round + 1))
        }
    }
}

fn pick(names: &[&'static str; 64], at: u64) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

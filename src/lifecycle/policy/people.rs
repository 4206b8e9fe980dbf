//! Who counts as one person (guardrails T22).

use std::collections::BTreeSet;

use super::{Policy, folded};

impl Policy {
    /// Whether two names, of callers or approvers, are one person's.
    ///
    /// Equal names are, case aside, and names that `[approval] same_person` links, by however many
    /// steps.
    pub(crate) fn is_same_person(&self, one: &str, other: &str) -> bool {
        let (wanted, mut known) = (folded(other), BTreeSet::from([folded(one)]));
        loop {
            let before = known.len();
            for names in &self.same_person {
                let names: Vec<_> = names.iter().map(|n| folded(n)).collect();
                if names.iter().any(|n| known.contains(n)) {
                    known.extend(names);
                }
            }
            if known.len() == before {
                return known.contains(&wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t22_linked_names_are_one_person_by_however_many_steps() {
        let link = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let same_person =
            vec![link(&["x", "Jane-Bot"]), link(&["jane", "LOCAL", "jane-bot"]), link(&["olga"])];
        let policy = Policy { same_person, ..Policy::default() };
        for (one, other, yes) in [
            ("Jane", "jane", true),
            ("local", "JANE-bot", true),
            ("x", "jane", true),
            ("jane", "olga", false),
            ("unnamed", "Unnamed", true),
            ("unnamed", "jane", false),
        ] {
            assert_eq!(policy.is_same_person(one, other), yes, "{one} {other}");
            assert_eq!(policy.is_same_person(other, one), yes, "{other} {one}");
        }
    }
}

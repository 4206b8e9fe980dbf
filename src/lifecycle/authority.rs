//! Who may have what carried out, by the rules of now.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Lifecycle,
    failure::{Code, Failure},
};
use crate::model::{Action, Actor, Channel, Operation, Scopes, Source};

/// How the audit trail calls an operation that its caller may not have any more.
pub(crate) const REFUSED: &str = "authority.refused";

/// Whose word counts when an operation is carried out, whatever counted when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// The named tokens that there are, with their scopes.
    pub tokens: BTreeMap<String, Scopes>,
    /// The issuer whose access tokens are accepted.
    pub issuer: Option<String>,
    /// Callers over HTTP whose rights were taken away.
    pub revoked: BTreeSet<String>,
}

impl Authority {
    /// Whether these settings tell of callers of this kind at all.
    ///
    /// A server without them, as one over stdio beside one over HTTP, leaves their operations to another.
    pub(crate) fn knows(&self, actor: &Actor) -> bool {
        actor.channel == Channel::Stdio
            || match &actor.rights.source {
                Source::Own => true,
                Source::Named => !self.tokens.is_empty(),
                Source::Issuer(_) => self.issuer.is_some(),
            }
    }

    /// Whether somebody may have something done now (guardrails T37).
    pub fn allows(&self, actor: &Actor, action: Action) -> bool {
        if actor.channel == Channel::Stdio {
            return true;
        }
        if self.revoked.contains(&actor.caller) {
            return false;
        }
        match &actor.rights.source {
            Source::Own => true,
            Source::Named => self.tokens.get(&actor.caller).is_some_and(|now| now.contains(action.scope())),
            // An access token is not at hand any more: what it granted counts while its issuer does.
            Source::Issuer(issuer) => self.issuer.as_ref() == Some(issuer) && actor.may(action),
        }
    }
}

impl Lifecycle {
    /// Refuses what its caller may not have done any more.
    pub(crate) fn check_authority(&self, operation: &Operation) -> Result<(), Failure> {
        if self.settings.authority.allows(&operation.actor, operation.action) {
            return Ok(());
        }
        Err(Failure::new(
            Code::Forbidden,
            "whoever asked may not have this done any more",
            "have somebody ask who may",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Rights, Scope};

    fn actor(source: Source, scopes: &[Scope]) -> Actor {
        let rights = Rights { scopes: scopes.iter().copied().collect(), source, workload: false };
        Actor { rights, ..Actor::new("ada", "c 1", Channel::Http) }
    }

    fn authority() -> Authority {
        Authority {
            tokens: [("ada".to_owned(), [Scope::UsersWrite].into_iter().collect())].into(),
            issuer: Some("https://issuer.example".into()),
            revoked: BTreeSet::new(),
        }
    }

    #[test]
    fn t37_what_counts_is_what_the_settings_say_now() {
        let named = actor(Source::Named, &[Scope::UsersDelete, Scope::UsersWrite]);
        assert!(authority().allows(&named, Action::UpdateUser));
        assert!(!authority().allows(&named, Action::DeprovisionUser), "the scope was taken away");
        assert!(!Authority::default().allows(&named, Action::UpdateUser), "the token is gone");
        let issuer = |url: &str| actor(Source::Issuer(url.into()), &[Scope::UsersWrite]);
        assert!(authority().allows(&issuer("https://issuer.example"), Action::UpdateUser));
        assert!(!authority().allows(&issuer("https://issuer.example"), Action::Activate), "never granted");
        assert!(!authority().allows(&issuer("https://other.example"), Action::UpdateUser));
        assert!(!Authority::default().allows(&issuer("https://issuer.example"), Action::UpdateUser));
    }

    #[test]
    fn t37_a_revoked_caller_has_nothing_done_and_the_one_at_the_terminal_everything() {
        let revoked = Authority { revoked: ["ada".to_owned(), "local".to_owned()].into(), ..authority() };
        for source in [Source::Own, Source::Named, Source::Issuer("https://issuer.example".into())] {
            let asked = actor(source, &Scope::ALL);
            assert!(authority().allows(&asked, Action::UpdateUser), "{asked:?}");
            assert!(!revoked.allows(&asked, Action::UpdateUser), "{asked:?}");
        }
        let local = Actor::new("local", "c 1", Channel::Stdio);
        assert!(Action::ALL.into_iter().all(|action| revoked.allows(&local, action)));
    }
}

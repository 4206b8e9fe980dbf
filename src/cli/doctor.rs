//! `zia-mcp doctor`

use std::{sync::Arc, time::Duration};

use clap::Args;

use super::{
    Exit, General, TenantChoice,
    output::{BAD, DIM, GOOD, WARN, line, styled, wrapped},
    wiring::{self, Prepared},
};
use crate::{
    config::Config,
    lifecycle::Failure,
    model::CallAccount,
    store::{Store, StoreError},
    zia::{ActivationStatus, Deadline, Error, Kind, Zia},
};

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds of difference that make a clock worth a word (guardrails F34).
const SKEW: i64 = 30;

/// Columns before the text of a finding.
const INDENT: usize = 27;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    tenant: TenantChoice,
}

/// How a check ended.
enum Finding {
    Good(String),
    Look(String, String),
    Bad(String, String),
}

impl Doctor {
    /// Checks everything that the server needs, says for each what to do; fails if anything is bad.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let (config, prepared) = match self.settings(general).await {
            Ok(read) => read,
            Err(exit) => {
                show(
                    "settings",
                    Finding::Bad(exit.to_string(), "mend what is named here, then again".into()),
                )?;
                return Err(Exit::config("the settings cannot be used"));
            }
        };
        let from = if self.tenant.sandbox { "complete, for an embedded sandbox tenant" } else { "complete" };
        show("settings", Finding::Good(from.into()))?;
        let (finding, store) = self.store(&config).await;
        let mut bad = report("store and key", finding)?;
        // Counted with the calls of every server on the store, unless that is what is broken.
        let tenant = prepared.tenant(store.map(|store| Arc::new(store) as Arc<dyn CallAccount>))?;
        for (name, finding) in tenant_checks(&tenant.zia).await {
            bad += report(name, finding)?;
        }
        tenant.stop().await;
        match bad {
            0 => line(styled(DIM, "the server can do its work: add it to your client")),
            1 => Err(Exit::unavailable("a check failed")),
            _ => Err(Exit::unavailable(format!("{bad} checks failed"))),
        }
    }

    /// All settings, those of the tenant too.
    async fn settings(&self, general: &General) -> Result<(Config, Prepared), Exit> {
        let config = wiring::config(general, self.tenant.sandbox)?;
        let prepared = Prepared::new(&config, &self.tenant).await?;
        Ok((config, prepared))
    }

    /// How the store is, and the store itself where it works.
    async fn store(&self, config: &Config) -> (Finding, Option<Store>) {
        let settings = wiring::store_settings(config);
        let opened = async {
            let store = Store::open(&settings, wiring::clock()).await?;
            store.health().await?;
            store.check().await?;
            let server = store.server().await?;
            Ok((store, server))
        };
        let (store, server) =
            opened.await.map_or_else(|error: StoreError| (None, Err(error)), |(s, of)| (Some(s), Ok(of)));
        let finding = match server {
            Ok(None) => Finding::Good(format!(
                "{} opens, its key fits, it takes writes",
                settings.state_dir.display()
            )),
            Ok(Some(server)) if server.may_change_audit => Finding::Look(
                format!("{} opens, its key fits, it takes writes", server.shown),
                "its role may change the audit trail: serve with a role that may not, as the README shows"
                    .into(),
            ),
            Ok(Some(server)) => {
                Finding::Good(format!("{} opens, its key fits, it takes writes and keeps them", server.shown))
            }
            Err(error) => {
                let failure = Failure::from(error);
                Finding::Bad(
                    format!("{}; nothing is written to ZIA like this", failure.message),
                    failure.next,
                )
            }
        };
        (finding, store)
    }
}

async fn tenant_checks(zia: &Zia) -> Vec<(&'static str, Finding)> {
    let until = || Deadline::after(PATIENCE);
    let mut found = Vec::new();
    let signed_in = zia.sign_in(until()).await;
    let reached =
        !matches!(&signed_in, Err(Error { kind: Kind::Unreachable | Kind::TimedOut | Kind::Garbled, .. }));
    let host = zia.tenant().split('/').next().unwrap_or_default().to_owned();
    found.push((
        "cloud host",
        match (&signed_in, reached) {
            (Err(error), false) => Finding::Bad(
                format!("{host}: {error}"),
                "check ZIA_CLOUD or ZIA_BASE_URL, the network and any proxy".into(),
            ),
            _ => Finding::Good(format!("{host} answers ({})", zia.cloud())),
        },
    ));
    if !reached {
        return found;
    }
    found.push(("clock", clock(zia)));
    let signed_in = match signed_in {
        Ok(()) => Finding::Good(format!("signed in ({})", zia.auth())),
        Err(error) => {
            let told = limited(&error);
            let failure = Failure::from(error);
            found.push(("sign-in", told.unwrap_or(Finding::Bad(failure.message, failure.next))));
            return found;
        }
    };
    found.push(("sign-in", signed_in));
    found.push((
        "activation",
        match zia.status(until()).await {
            Ok(ActivationStatus::Active) => Finding::Good("nothing waits".into()),
            Ok(_) => Finding::Look(
                "staged changes wait in the tenant".into(),
                "see who made them before activating: `tenant_status`".into(),
            ),
            Err(error) => {
                limited(&error).unwrap_or_else(|| bad(&error, "check the role of the API administrator"))
            }
        },
    ));
    found.push((
        "end user agreement",
        match zia.eusa_accepted(until()).await {
            Ok(true) => Finding::Good("accepted".into()),
            Ok(false) => Finding::Bad(
                "not accepted: ZIA activates nothing".into(),
                "accept the EUSA in the ZIA portal".into(),
            ),
            Err(error) => limited(&error).unwrap_or_else(|| {
                let next = "if activations do not take effect, look at the EUSA in the portal";
                Finding::Look(error.to_string(), next.into())
            }),
        },
    ));
    found.push((
        "mode",
        match zia.is_read_only() {
            true => Finding::Look(
                "ZIA is in read-only maintenance".into(),
                "reading works; try writes again later".into(),
            ),
            false => Finding::Good("read-write".into()),
        },
    ));
    found
}

fn bad(error: &Error, next: &str) -> Finding {
    Finding::Bad(error.to_string(), next.into())
}

/// That ZIA's limits leave a check for later, if they do.
fn limited(error: &Error) -> Option<Finding> {
    let Kind::RateLimited { retry_at } = error.kind else { return None };
    let text = "not looked at: the calls that ZIA allows are used up".to_owned();
    Some(Finding::Look(text, format!("run this again after {retry_at:.0}")))
}

fn clock(zia: &Zia) -> Finding {
    match zia.clock_ahead_seconds() {
        None => {
            Finding::Look("ZIA's replies carried no time".into(), "check this machine's clock by hand".into())
        }
        Some(ahead) if ahead.abs() <= SKEW => Finding::Good(format!("within {SKEW} s of ZIA's")),
        Some(ahead) => Finding::Look(
            format!("{} s {} ZIA's", ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" }),
            "set the clock: sign-in fails from two hours of difference on".into(),
        ),
    }
}

fn report(name: &str, finding: Finding) -> Result<u32, Exit> {
    let bad = u32::from(matches!(finding, Finding::Bad(..)));
    show(name, finding).map(|()| bad)
}

fn show(name: &str, finding: Finding) -> Result<(), Exit> {
    let (mark, text, next) = match finding {
        Finding::Good(text) => (styled(GOOD, "ok  "), text, None),
        Finding::Look(text, next) => (styled(WARN, "look"), text, Some(next)),
        Finding::Bad(text, next) => (styled(BAD, "bad "), text, Some(next)),
    };
    let mut name = name;
    let mut mark = mark;
    for text in wrapped(&text, INDENT) {
        line(format!("{mark}  {name:<20} {text}"))?;
        (name, mark) = ("", "    ".into());
    }
    let next = next.iter().flat_map(|next| wrapped(&format!("→ {next}"), INDENT));
    next.into_iter().try_for_each(|text| line(styled(DIM, format!("{:<INDENT$}{text}", ""))))
}

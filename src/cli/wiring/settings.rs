//! What each room is told, out of the settings.

use std::path::PathBuf;

use super::HTTP_CALLER;
use crate::{
    cli::Exit,
    config::{self, Approval, Config, InitialPassword},
    http::{self, HttpOptions, TlsFiles},
    lifecycle::{self, Authority, IndexSettings, Policy, Tier},
    sandbox::SandboxTenant,
    zia::{self, ClientCredential},
};

pub(super) fn zia_settings(tenant: &config::Tenant) -> Result<zia::Settings, Exit> {
    let settings = match tenant {
        config::Tenant::ApiKey { username, password, api_key, cloud, base_url } => zia::Settings::api_key(
            cloud.as_deref(),
            base_url.as_deref(),
            username,
            password.clone(),
            api_key.clone(),
        ),
        config::Tenant::OneApi { vanity, cloud, base_url, token_url, client_id, credential, audience } => {
            let credential = match credential {
                config::Credential::Secret(secret) => ClientCredential::Secret(secret.clone()),
                config::Credential::PrivateKey(pem) => ClientCredential::PrivateKey(pem.clone()),
            };
            let (base_url, token_url) = (base_url.as_deref(), token_url.as_deref());
            let audience = audience.as_deref().or(Some(zia::DEFAULT_AUDIENCE));
            zia::Settings::oneapi(
                vanity.as_deref(),
                cloud.as_deref(),
                base_url,
                token_url,
                client_id,
                credential,
                audience,
            )
        }
    };
    settings.map_err(Exit::config)
}

pub(super) fn with_extra_ca(settings: zia::Settings, config: &Config) -> Result<zia::Settings, Exit> {
    match &config.extra_ca {
        Some(pem) => settings.with_extra_ca(pem).map_err(Exit::config),
        None => Ok(settings),
    }
}

/// The settings of a client of an embedded sandbox tenant.
pub(in crate::cli) fn sandbox_settings(tenant: &SandboxTenant) -> Result<zia::Settings, Exit> {
    let own = tenant.settings();
    zia::Settings::api_key(
        None,
        Some(&own.base_url),
        &own.username,
        own.password.clone().into(),
        own.api_key.clone().into(),
    )
    .map_err(Exit::config)
}

pub(super) fn lifecycle_settings(config: &Config, read_only: bool) -> lifecycle::Settings {
    let raises = &config.approval.raises;
    let default = Policy::default();
    let policy = Policy {
        provision: tier(raises.provision_user).unwrap_or(default.provision),
        update: tier(raises.update_user).unwrap_or(default.update),
        restore: tier(raises.restore_user).unwrap_or(default.restore),
        deprovision: tier(raises.deprovision_user).unwrap_or(default.deprovision),
        deprovision_several: tier(raises.deprovision_users).unwrap_or(default.deprovision_several),
        publish_others: tier(raises.publish_others).unwrap_or(default.publish_others),
        protected: config.policy.protected.clone(),
        protected_groups: config.policy.protected_groups.clone(),
        protected_departments: config.policy.protected_departments.clone(),
        callers: config.policy.callers.iter().map(caller_rule).collect(),
        same_person: config.approval.same_person.clone(),
        two_person_threshold: config.policy.two_person_threshold,
        max_users_per_operation: config.policy.max_users_per_operation,
        max_open: config.policy.max_open,
        max_deletes_per_day: config.policy.max_deletes_per_day,
    };
    let authority = Authority {
        tokens: config.http.tokens.iter().map(|t| (t.name.clone(), t.scopes)).collect(),
        issuer: config.http.issuer.as_ref().map(|issuer| issuer.url.clone()),
        revoked: config.http.revoked.clone(),
    };
    let (ask, expires) = (config.approval.ask, config.approval.expires);
    let handoff = config.initial_password == InitialPassword::Handoff;
    let index = IndexSettings {
        enabled: config.index.enabled,
        sweep: config.index.sweep,
        changes_days: config.index.changes_days,
        ..IndexSettings::default()
    };
    lifecycle::Settings {
        policy,
        authority,
        ask,
        expires,
        read_only,
        handoff,
        index,
        ..lifecycle::Settings::default()
    }
}

fn caller_rule(rule: &config::CallerRule) -> lifecycle::CallerRule {
    let config::CallerRule { caller, departments, groups, tools } = rule.clone();
    // Names of tools are checked when they are read.
    let tools = tools.map(|all| all.iter().filter_map(|tool| tool.parse().ok()).collect());
    lifecycle::CallerRule { caller, departments, groups, tools }
}

fn tier(raise: Option<Approval>) -> Option<Tier> {
    raise.map(|approval| match approval {
        Approval::Client => Tier::Client,
        Approval::OutOfBand => Tier::OutOfBand,
        Approval::TwoPeople => Tier::TwoPeople,
    })
}

/// How the HTTP server listens, and the file of a token that was made for it.
pub(in crate::cli) fn http_options(
    config: &Config,
    tls: Option<(PathBuf, PathBuf)>,
    behind_proxy: bool,
) -> Result<(HttpOptions, Option<PathBuf>), Exit> {
    let (token, file) = match &config.http.token {
        Some(token) => (Some(token.clone()), None),
        // Callers with names need none that grants everything.
        None if config.http.issuer.is_some() || !config.http.tokens.is_empty() => (None, None),
        None => http::ensure_token(&config.state_dir)
            .map(|(token, file)| (Some(token), Some(file)))
            .map_err(Exit::config)?,
    };
    let options = HttpOptions {
        token,
        tokens: config.http.tokens.clone(),
        issuer: config.http.issuer.clone(),
        revoked: config.http.revoked.clone(),
        client_ca: config.http.client_ca.clone(),
        allowed_hosts: config.http.allowed_hosts.clone(),
        allowed_origins: config.http.allowed_origins.clone(),
        tls: tls.map(|(cert, key)| TlsFiles { cert, key }).or_else(|| config.http.tls.clone()),
        behind_proxy: behind_proxy || config.http.behind_proxy,
        public_url: config.http.public_url.clone(),
        caller: HTTP_CALLER.to_owned(),
    };
    Ok((options, file))
}

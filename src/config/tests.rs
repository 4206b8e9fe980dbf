mod limits;
mod traces;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use secrecy::ExposeSecret;

use super::*;

const API_KEY: [(&str, &str); 4] = [
    ("ZIA_USERNAME", "admin@corp.example"),
    ("ZIA_PASSWORD", "canary-password"),
    ("ZIA_API_KEY", "canary-api-key"),
    ("ZIA_CLOUD", "zscalerthree"),
];
const ONE_API: [(&str, &str); 3] = [
    ("ZSCALER_CLIENT_ID", "client"),
    ("ZSCALER_CLIENT_SECRET", "canary-secret"),
    ("ZSCALER_VANITY_DOMAIN", "corp"),
];

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().copied().collect()
}

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&env(pairs), &Flags::default())
}

/// Loads with this file and, for the tenant, the sandbox.
fn load_file(toml: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, toml).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Config::load(&Env::default(), &Flags { config: Some(path), sandbox: true, ..Flags::default() })
}

fn told(result: Result<Config, ConfigError>) -> String {
    let text = result.expect_err("refused").to_string();
    assert!(!text.contains("canary"), "a value is in the message: {text}");
    text
}

fn secret_file(dir: &Path, text: &str, mode: u32) -> String {
    let path = dir.join(format!("secret-{mode:o}"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_api_key_sign_in_is_read() {
    let Some(Tenant::ApiKey { username, password, cloud, base_url, .. }) = load(&API_KEY).unwrap().tenant
    else {
        panic!("another sign-in")
    };
    assert_eq!((&*username, password.expose_secret()), ("admin@corp.example", "canary-password"));
    assert_eq!((cloud.as_deref(), base_url), (Some("zscalerthree"), None));
}

#[test]
fn a_one_api_sign_in_is_read_with_secret_or_key() {
    let read = load(&ONE_API).unwrap().tenant;
    assert!(matches!(read, Some(Tenant::OneApi { credential: Credential::Secret(_), .. })), "{read:?}");
    let key =
        [ONE_API[0], ("ZSCALER_PRIVATE_KEY", "canary-key"), ("ZSCALER_TOKEN_URL", "http://127.0.0.1:1/t")];
    let read = load(&key).unwrap().tenant;
    assert!(
        matches!(&read, Some(Tenant::OneApi { credential: Credential::PrivateKey(_), vanity: None, .. })),
        "{read:?}"
    );
}

#[test]
fn a_secret_comes_from_a_private_file_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let with = |path: &str| load(&[API_KEY[0], ("ZIA_PASSWORD_FILE", path), API_KEY[2], API_KEY[3]]);
    let Some(Tenant::ApiKey { password, .. }) =
        with(&secret_file(dir.path(), "from file\n", 0o600)).unwrap().tenant
    else {
        panic!("another sign-in")
    };
    assert_eq!(password.expose_secret(), "from file");
    let loose = secret_file(dir.path(), "canary\n", 0o644);
    let text = told(with(&loose));
    assert!(text.contains("ZIA_PASSWORD_FILE") && text.contains("0644") && text.contains(&loose), "{text}");
    assert!(told(with("/nowhere/at/all")).contains("does not exist"));
    let both = [&API_KEY[..], &[("ZIA_PASSWORD_FILE", &loose)]].concat();
    let text = told(load(&both));
    assert!(text.contains("ZIA_PASSWORD: contradicts ZIA_PASSWORD_FILE"), "{text}");
}

#[test]
fn both_sign_ins_are_a_contradiction() {
    let text = told(load(&[&API_KEY[..], &ONE_API[..]].concat()));
    assert!(
        text.contains("ZIA_USERNAME") && text.contains("ZSCALER_CLIENT_ID") && text.contains("not both"),
        "{text}"
    );
    let text = told(load(&[&ONE_API[..], &[("ZSCALER_PRIVATE_KEY", "canary")]].concat()));
    assert!(text.contains("contradicts ZSCALER_PRIVATE_KEY"), "{text}");
}

#[test]
fn every_missing_part_is_named_in_one_message() {
    let error = load(&API_KEY[..1]).expect_err("refused");
    assert_eq!(error.problems().len(), 1, "{error}");
    let text = error.to_string();
    for name in ["ZIA_PASSWORD", "ZIA_PASSWORD_FILE", "ZIA_API_KEY", "ZIA_CLOUD", "environment"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    let text = told(load(&ONE_API[1..2]));
    for name in ["ZSCALER_CLIENT_ID", "ZSCALER_VANITY_DOMAIN"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(told(load(&ONE_API[..1])).contains("ZSCALER_CLIENT_SECRET or ZSCALER_PRIVATE_KEY"));
    assert!(told(load(&[])).contains("none is set"));
}

#[test]
fn an_empty_value_is_told_as_such() {
    let text = told(load(&[API_KEY[0], ("ZIA_PASSWORD", " "), API_KEY[2], API_KEY[3]]));
    assert!(text.contains("ZIA_PASSWORD: set but empty"), "{text}");
}

#[test]
fn an_unknown_name_is_told_with_the_nearest_known_one() {
    let text = told(load(&[&API_KEY[..], &[("ZIA_MCP_STATEDIR", "canary")]].concat()));
    assert!(
        text.contains("ZIA_MCP_STATEDIR") && text.contains("nearest known one is ZIA_MCP_STATE_DIR"),
        "{text}"
    );
    assert!(load(&[&API_KEY[..], &[("ZIA_MCPX", "1"), ("ZIA_OTHER", "1")]].concat()).is_ok());
    for (toml, setting, nearest) in [
        ("[polcy]\nmax_open = 1", "polcy", "[policy]"),
        ("[policy]\nmaxopen = 1", "[policy] maxopen", "max_open"),
        ("max_open = 1", "max_open", "unknown section"),
        ("policy = 1", "policy", "expected a section"),
        ("[index]\nsweep_hour = 'canary'", "[index] sweep_hour", "sweep_hours"),
        ("[tenant]\npassword = 'canary'", "[tenant] password", "ZIA_PASSWORD_FILE"),
    ] {
        let text = told(load_file(toml));
        assert!(text.contains(setting) && text.contains(nearest) && text.contains("config.toml"), "{text}");
    }
}

#[test]
fn the_file_sets_approval_policy_and_http() {
    let config = load_file(
        r#"
        [approval]
        ask_seconds = 10
        expires_minutes = 30
        deprovision_user = "two_people"
        provision_user = "client"
        [policy]
        max_open = 5
        protected = ["breakglass-*@corp.example"]
        [provision]
        initial_password = "discard"
        [http]
        allowed_hosts = ["mcp.corp.example"]
        behind_proxy = true
        public_url = "https://mcp.corp.example"
        [store]
        state_dir = "/var/lib/zia-mcp"
        [index]
        share = 0.25
        sweep_hours = 6
        "#,
    )
    .unwrap();
    assert_eq!(config.approval.ask, Duration::from_secs(10));
    assert_eq!(config.approval.expires, Duration::from_secs(1800));
    assert_eq!(config.approval.raises.deprovision_user, Some(Approval::TwoPeople));
    assert_eq!(config.approval.raises.provision_user, Some(Approval::Client));
    assert_eq!(config.approval.raises.publish_others, None);
    assert_eq!((config.policy.max_open, config.policy.protected.len()), (5, 1));
    assert!(config.http.behind_proxy && config.tenant.is_none());
    assert_eq!(config.state_dir, Path::new("/var/lib/zia-mcp"));
    let index = (config.index.enabled, config.index.changes_days);
    assert_eq!((index, config.index.sweep), ((true, 90), Duration::from_hours(6)));
    for wrong in
        ["share = 0.0", "share = 1.5", "share = 2", "share = 'half'", "sweep_hours = 0", "enabled = 1"]
    {
        let text = told(load_file(&format!("[index]\n{wrong}")));
        assert!(text.contains(wrong.split(' ').next().unwrap()), "{wrong}: {text}");
    }
}

#[test]
fn rules_for_callers_protected_names_and_linked_names_are_read() {
    let config = load_file(
        r#"
        [approval]
        same_person = [["jane", "local", "jane-bot"], ["olga", "olga@corp.example"]]
        [policy]
        protected_groups = ["Break-Glass", "24326802"]
        protected_departments = ["Board"]
        two_person_threshold = 5
        max_users_per_operation = 50
        [[policy.callers]]
        caller = "helpdesk"
        departments = ["Sales"]
        groups = []
        tools = ["provision_user", "deprovision_user"]
        [[policy.callers]]
        caller = "*"
        departments = []
        "#,
    )
    .unwrap();
    assert_eq!(config.approval.same_person[0], ["jane", "local", "jane-bot"]);
    let policy = config.policy;
    assert_eq!(policy.protected_groups.len() + policy.protected_departments.len(), 3);
    assert_eq!((policy.two_person_threshold, policy.max_users_per_operation), (Some(5), 50));
    let [helpdesk, others] = policy.callers.as_slice() else { panic!("{:?}", policy.callers) };
    assert_eq!((helpdesk.caller.as_str(), helpdesk.groups.as_deref()), ("helpdesk", Some(&[][..])));
    assert_eq!(helpdesk.tools.as_ref().map(Vec::len), Some(2));
    assert_eq!((others.departments.as_deref(), &others.groups), (Some(&[][..]), &None));
}

#[test]
fn rules_of_another_shape_are_refused_by_name() {
    for (toml, expected) in [
        ("[policy.callers]\ncaller = 'canary'", "[[policy.callers]]"),
        ("[policy]\ncallers = 'canary'", "[[policy.callers]]"),
        ("[[policy.callers]]\ndepartments = []", "caller: expected"),
        ("[[policy.callers]]\ncaller = ' '", "caller: expected"),
        (
            "[[policy.callers]]\ncaller = 'x'\ndepartment = ['canary']",
            "department; the nearest known one is departments",
        ),
        ("[[policy.callers]]\ncaller = 'x'\ngroups = 'canary'", "groups: expected a list"),
        ("[[policy.callers]]\ncaller = 'x'\ntools = ['canary']", "tools: expected some of activate"),
        ("[[policy.callers]]\ncaller = 'x'\n[[policy.callers]]\ncaller = 'X'", "named twice"),
        ("[policy]\ntwo_person_threshold = 0", "1 to 500"),
        ("[policy]\nmax_users_per_operation = 501", "1 to 500"),
        ("[policy]\nprotected_groups = ['']", "list of texts"),
        ("[approval]\nsame_person = ['canary', 'x']", "list of lists"),
        ("[approval]\nsame_person = [['canary']]", "two or more names"),
    ] {
        let text = told(load_file(toml));
        assert!(text.contains(expected), "{toml}: {text}");
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = load(&API_KEY).unwrap();
    assert_eq!(config.approval.ask, Duration::from_secs(55));
    assert_eq!(config.approval.expires, Duration::from_secs(900));
    assert_eq!(config.approval.raises, Raises::default());
    assert_eq!((config.policy.max_open, config.policy.protected.len()), (20, 0));
    assert_eq!(config.initial_password, InitialPassword::Discard);
    assert!(config.state_dir.ends_with("zia-mcp"), "{:?}", config.state_dir);
    assert!(config.http.token.is_none() && config.http.tls.is_none() && !config.http.behind_proxy);
}

#[test]
fn values_out_of_range_or_of_another_kind_are_refused() {
    for (toml, expected) in [
        ("[approval]\nask_seconds = 0", "1 to 600"),
        ("[approval]\nask_seconds = 601", "1 to 600"),
        ("[approval]\nask_seconds = '55'", "1 to 600"),
        ("[approval]\nexpires_minutes = 1441", "1 to 1440"),
        ("[policy]\nmax_open = 21", "1 to 20"),
        ("[policy]\nmax_open = -1", "1 to 20"),
        ("[policy]\nprotected = 'canary'", "list of texts"),
        ("[policy]\nprotected = ['']", "list of texts"),
        ("[approval]\ndeprovision_user = 'none'", "\"client\" or \"out_of_band\" or \"two_people\""),
        ("[approval]\ndeprovision_users = 'client'", "expected \"out_of_band\" or \"two_people\""),
        ("[provision]\ninitial_password = 'canary'", "\"discard\" or \"handoff\""),
        ("[http]\nbehind_proxy = 'yes'", "true or false"),
        ("[http]\npublic_url = 'http://mcp.corp.example'", "https://"),
        ("[http]\ntls_cert = '/x'", "--tls-key"),
        ("[http\ncanary", "not valid TOML in line 1"),
        ("\n\nx = canary", "not valid TOML in line 3"),
    ] {
        let text = told(load_file(toml));
        assert!(text.contains(expected), "{toml}: {text}");
    }
}

#[test]
fn urls_are_https_or_loopback_and_hold_no_credentials() {
    let with = |url| load(&[&API_KEY[..], &[("ZIA_BASE_URL", url)]].concat());
    for good in
        ["https://zsapi.zscaler.net", "http://127.0.0.1:8080", "http://[::1]:1/api/v1", "http://localhost:1"]
    {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in [
        "canary",
        "http://zsapi.zscaler.net",
        "http://localhost.evil.example",
        "https://user:canary@host.example",
        "https://host.example/?canary=1",
        "ftp://127.0.0.1",
        "https://",
    ] {
        let text = told(with(bad));
        assert!(text.contains("ZIA_BASE_URL"), "{bad}: {text}");
    }
}

#[test]
fn a_file_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, "").unwrap();
    let load = || {
        Config::load(
            &env(&[("ZIA_MCP_CONFIG", path.to_str().unwrap())]),
            &Flags { sandbox: true, ..Flags::default() },
        )
    };
    for (mode, good) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(load().is_ok(), good, "{mode:o}");
    }
    fs::remove_file(&path).unwrap();
    assert!(told(load()).contains("ZIA_MCP_CONFIG"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, "[store]\nstate_dir = '/file'\n[tenant]\ncloud = 'file'\nusername = 'file'").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut flags = Flags { config: Some(path), ..Flags::default() };
    let pairs = [API_KEY[1], API_KEY[2], API_KEY[3]];
    let config = Config::load(&env(&pairs), &flags).unwrap();
    assert_eq!(config.state_dir, Path::new("/file"));
    assert!(matches!(config.tenant, Some(Tenant::ApiKey { username, cloud: Some(cloud), .. })
        if username == "file" && cloud == "zscalerthree"));
    let pairs = [&pairs[..], &[("ZIA_MCP_STATE_DIR", "/env")]].concat();
    assert_eq!(Config::load(&env(&pairs), &flags).unwrap().state_dir, Path::new("/env"));
    flags.state_dir = Some("/flag".into());
    assert_eq!(Config::load(&env(&pairs), &flags).unwrap().state_dir, Path::new("/flag"));
    flags.log = Some("loud".into());
    assert!(told(Config::load(&env(&pairs), &flags)).contains("--log"));
}

#[test]
fn a_database_on_another_machine_is_reached_by_tls_or_not_at_all() {
    let with = |url: &'static str| load(&[&API_KEY[..], &[("ZIA_MCP_DATABASE_URL", url)]].concat());
    let config = with("postgres://u:canary@db.example.com/d").unwrap();
    assert_eq!(config.database.unwrap().to_string(), "the PostgreSQL database d on db.example.com");
    for wrong in ["postgres://u:canary@h/d?sslmode=disable", "mysql://u:canary@h/d", "canary"] {
        let text = told(with(wrong));
        assert!(text.contains("ZIA_MCP_DATABASE_URL") && !text.contains("canary"), "{text}");
    }
}

#[test]
fn no_secret_is_in_a_debug_form() {
    let mut pairs = API_KEY.to_vec();
    pairs.push(("ZIA_MCP_HTTP_TOKEN", "canary-token"));
    let shown = format!("{:?} {:?} {:?}", load(&pairs).unwrap(), load(&ONE_API).unwrap(), env(&pairs));
    assert!(shown.contains("ZIA_PASSWORD") && !shown.contains("canary"), "{shown}");
}

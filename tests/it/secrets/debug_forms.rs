//! The debug form of everything that can hold a secret.

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use zia_mcp::{
    config::{Config, Env, Flags},
    http::{self, HttpOptions},
    lifecycle::{Lifecycle, Settings},
    mcp::Server,
    model::{Channel, Clock},
    sandbox::{SandboxOptions, SandboxTenant},
    store::{self, Store},
    zia::{self, ClientCredential, Zia},
};

use super::hunt::Hunt;

const PASSWORD: &str = "canary-Passw0rd!";
const API_KEY: &str = "cAnArYaPiKeY";
const CLIENT_SECRET: &str = "canary-client-secret";
const PRIVATE_KEY: &str = "canary-private-key";
const TOKEN: &str = "canary-bearer-token-0123456789abcdef";

fn hunt() -> Hunt {
    let mut hunt = Hunt::default();
    for secret in [PASSWORD, API_KEY, CLIENT_SECRET, PRIVATE_KEY, TOKEN] {
        hunt.add(secret, secret);
    }
    hunt
}

macro_rules! assert_hides {
    ($hunt:expr, $($thing:expr),+ $(,)?) => {
        $($hunt.assert_absent(stringify!($thing), format!("{0:?} {0:#?}", $thing));)+
    };
}

const WITH_API_KEY: [(&str, &str); 6] = [
    ("ZIA_USERNAME", "admin@example.com"),
    ("ZIA_PASSWORD", PASSWORD),
    ("ZIA_API_KEY", API_KEY),
    ("ZIA_CLOUD", "zscalerthree"),
    ("ZIA_MCP_HTTP_TOKEN", TOKEN),
    ("ZIA_MCP_STATE_DIR", "/nowhere"),
];

#[test]
fn settings_hide_their_secrets() {
    let one_api = |secret: (&'static str, &'static str)| {
        [
            ("ZSCALER_CLIENT_ID", "client"),
            ("ZSCALER_VANITY_DOMAIN", "corp"),
            ("ZIA_MCP_STATE_DIR", "/nowhere"),
            secret,
        ]
    };
    let environments: [Env; 3] = [
        WITH_API_KEY.into_iter().collect(),
        one_api(("ZSCALER_CLIENT_SECRET", CLIENT_SECRET)).into_iter().collect(),
        one_api(("ZSCALER_PRIVATE_KEY", PRIVATE_KEY)).into_iter().collect(),
    ];
    for env in environments {
        let config = Config::load(&env, &Flags::default()).unwrap();
        assert!(config.tenant.is_some());
        assert_hides!(hunt(), env, config, config.tenant, config.http);
    }
}

#[test]
fn complaints_about_settings_do_not_quote_them() {
    let broken = [
        // In the wrong places, doubled, and contradictory.
        vec![
            ("ZIA_CLOUD", PASSWORD),
            ("ZIA_USERNAME", "a"),
            ("ZIA_PASSWORD", PASSWORD),
            ("ZIA_API_KEY", API_KEY),
        ],
        vec![("ZIA_PASSWORD", PASSWORD), ("ZSCALER_CLIENT_SECRET", CLIENT_SECRET)],
        vec![("ZIA_PASSWORD_FILE", PASSWORD), ("ZIA_MCP_HTTP_TOKN", TOKEN)],
        vec![("ZIA_BASE_URL", "https://admin:canary-Passw0rd!@zsapi.example"), ("ZIA_API_KEY", API_KEY)],
        vec![("ZIA_MCP_DATABASE_URL", "postgres://zia:canary-Passw0rd!@db/zia")],
    ];
    let mut refused = 0;
    for pairs in broken {
        let result = Config::load(&pairs.into_iter().collect(), &Flags::default());
        refused += usize::from(result.is_err());
        let Err(error) = result else { continue };
        let mut hunt = Hunt::default();
        for secret in [API_KEY, CLIENT_SECRET, TOKEN, "canary-Passw0rd!@"] {
            hunt.add(secret, secret);
        }
        hunt.assert_absent("a complaint", format!("{error} {error:?} {:?}", error.problems()));
    }
    assert!(refused >= 4, "{refused} refused");
}

#[tokio::test]
async fn clients_and_servers_hide_their_secrets() {
    let mut hunt = hunt();
    let secret = ClientCredential::Secret(CLIENT_SECRET.into());
    let key = ClientCredential::PrivateKey(PRIVATE_KEY.into());
    let own =
        zia::Settings::api_key(Some("zscalerthree"), None, "a@example.com", PASSWORD.into(), API_KEY.into());
    let one = zia::Settings::oneapi(Some("corp"), None, None, None, "client", secret.clone(), None).unwrap();
    let own = own.unwrap();
    assert_hides!(hunt, secret, key, own, one);
    let bad = zia::Settings::api_key(Some("zscalerthree"), None, "a", PASSWORD.into(), "canary-Pass".into());
    assert!(bad.is_err(), "a short key is refused");
    hunt.assert_absent("a refusal", format!("{bad:?} {}", bad.as_ref().unwrap_err()));

    let dir = TempDir::new().unwrap();
    let settings = store::Settings::embedded(dir.path().join("state"));
    let store = Store::open(&settings, Clock::system()).await.unwrap();
    hunt.add_keys(&settings.state_dir.join("key"));
    for label in ["cursor", "request-state"] {
        hunt.add(label, *store.derived_key(label));
    }
    let [own, one] = [own, one].map(|settings| Zia::new(settings, Clock::system()).unwrap());
    let lifecycle = Lifecycle::new(own.clone(), store.clone(), Settings::default(), Clock::system());
    let server = Server::new(lifecycle.clone(), Channel::Http, CancellationToken::new()).unwrap();
    assert_hides!(hunt, settings, store, own, one, lifecycle, server);

    let options = HttpOptions::new(TOKEN.into(), "caller");
    let bound = http::bind("127.0.0.1:0", &options).await.unwrap();
    assert_hides!(hunt, options, bound);
    let (made, _) = http::ensure_token(&settings.state_dir).unwrap();
    hunt.add("the token that was made", secrecy::ExposeSecret::expose_secret(&made));
    assert_hides!(hunt, made);
}

#[tokio::test]
async fn the_sandbox_hides_its_credentials() {
    let tenant =
        SandboxTenant::start(SandboxOptions { users: 10, ..SandboxOptions::default() }).await.unwrap();
    let own = tenant.settings();
    let mut hunt = Hunt::default();
    for secret in [&own.password, &own.api_key, &own.client_secret] {
        hunt.add("a sandbox credential", secret);
    }
    assert_hides!(hunt, tenant, own, tenant.journal());
}

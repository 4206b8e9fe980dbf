use super::*;

const KEY: &str = "canaryApiKey0123";
const PASSWORD: &str = "canary-password";

fn api_key(cloud: Option<&str>, base: Option<&str>) -> Result<Settings, SettingsError> {
    Settings::api_key(cloud, base, "admin@Example.com", PASSWORD.into(), KEY.into())
}

fn oneapi(
    vanity: Option<&str>,
    cloud: Option<&str>,
    base: Option<&str>,
    token: Option<&str>,
) -> Result<Settings, SettingsError> {
    let secret = ClientCredential::Secret("canary-secret".into());
    Settings::oneapi(vanity, cloud, base, token, "Client1", secret, Some("https://api.zscaler.com"))
}

fn token_url(settings: &Settings) -> &str {
    match &settings.sign_in {
        SignInSettings::OneApi { token_url, .. } => token_url.as_str(),
        SignInSettings::ApiKey { .. } => panic!("not OneAPI"),
    }
}

#[test]
fn an_api_key_tenant_is_named_by_host_and_login_domain() {
    let settings = api_key(Some("ZscalerTwo"), None).unwrap();
    assert_eq!(settings.base.as_str(), "https://zsapi.zscalertwo.net/api/v1");
    assert_eq!(
        (settings.cloud.as_str(), settings.tenant.as_str()),
        ("zscalertwo", "zsapi.zscalertwo.net/example.com")
    );

    let settings = api_key(Some("zscaler"), Some("http://127.0.0.1:8080")).unwrap();
    assert_eq!(settings.base.as_str(), "http://127.0.0.1:8080/api/v1");
    assert_eq!(
        (settings.cloud.as_str(), settings.tenant.as_str()),
        ("127.0.0.1:8080", "127.0.0.1:8080/example.com")
    );
}

#[test]
fn a_oneapi_tenant_is_named_by_host_and_vanity_name() {
    let settings = oneapi(Some("Acme"), None, None, None).unwrap();
    assert_eq!(settings.base.as_str(), "https://api.zsapi.net/zia/api/v1");
    assert_eq!(token_url(&settings), "https://acme.zslogin.net/oauth2/v1/token");
    assert_eq!((settings.cloud.as_str(), settings.tenant.as_str()), ("production", "api.zsapi.net/acme"));

    let settings = oneapi(Some("acme"), Some("beta"), None, None).unwrap();
    assert_eq!(settings.base.as_str(), "https://api.beta.zsapi.net/zia/api/v1");
    assert_eq!(token_url(&settings), "https://acme.zsloginbeta.net/oauth2/v1/token");

    let settings = oneapi(None, None, Some("http://[::1]:1"), Some("http://localhost:2/t")).unwrap();
    assert_eq!(settings.base.as_str(), "http://[::1]:1/zia/api/v1");
    assert_eq!(token_url(&settings), "http://localhost:2/t");
    assert_eq!((settings.cloud.as_str(), settings.tenant.as_str()), ("[::1]:1", "[::1]:1/client1"));
}

#[test]
fn t17_each_unusable_setting_is_named_without_its_value() {
    let other = |username: &str, password: &str, key: &str| {
        Settings::api_key(Some("zscaler"), None, username, password.into(), key.into())
    };
    let client =
        |id: &str, credential| Settings::oneapi(Some("acme"), None, None, None, id, credential, None);
    let secret = |text: &str| ClientCredential::Secret(text.into());
    let key = |text: &str| ClientCredential::PrivateKey(text.into());
    for (settings, setting) in [
        (api_key(None, None), "ZIA_CLOUD"),
        (api_key(Some("canary.example"), None), "ZIA_CLOUD"),
        (api_key(Some("canary.example"), Some("https://zsapi.zscaler.net")), "ZIA_CLOUD"),
        (api_key(None, Some("http://canary.example")), "ZIA_BASE_URL"),
        (other("", PASSWORD, KEY), "ZIA_USERNAME"),
        (other("canary admin", PASSWORD, KEY), "ZIA_USERNAME"),
        (other("canary\r\n", PASSWORD, KEY), "ZIA_USERNAME"),
        (other("a@b.example", "", KEY), "ZIA_PASSWORD"),
        (other("a@b.example", PASSWORD, "canary"), "ZIA_API_KEY"),
        (oneapi(None, None, None, None), "ZSCALER_VANITY_DOMAIN"),
        (oneapi(Some("canary.evil.example/"), None, None, None), "ZSCALER_VANITY_DOMAIN"),
        (oneapi(Some("-canary"), None, None, None), "ZSCALER_VANITY_DOMAIN"),
        (oneapi(Some("acme"), Some("canary"), None, None), "ZSCALER_CLOUD"),
        (oneapi(Some("acme"), None, None, Some("http://canary.example")), "ZSCALER_TOKEN_URL"),
        (client("", secret("x")), "ZSCALER_CLIENT_ID"),
        (client("id", secret("")), "ZSCALER_CLIENT_SECRET"),
        (client("id", key("canary")), "ZSCALER_PRIVATE_KEY"),
        (
            client("id", key("-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----")),
            "ZSCALER_PRIVATE_KEY",
        ),
        (
            client("id", key("-----BEGIN EC PRIVATE KEY-----\nY2FuYXJ5\n-----END EC PRIVATE KEY-----")),
            "ZSCALER_PRIVATE_KEY",
        ),
    ] {
        let error = settings.expect_err(setting);
        assert_eq!(error.setting, setting);
        assert!(!error.to_string().to_lowercase().contains("canary"), "{error}");
        assert!(error.problem.starts_with("expected "), "{error}");
    }
}

#[test]
fn no_debug_form_shows_a_secret() {
    let secret = ClientCredential::Secret("canary-secret".into());
    let key = ClientCredential::PrivateKey("canary-pem".into());
    let forms = [
        format!("{:?}", api_key(Some("zscaler"), None).unwrap()),
        format!("{:?}", oneapi(Some("acme"), None, None, None).unwrap()),
        format!("{secret:?} {key:?}"),
        format!("{:#?}", api_key(Some("zscaler"), None)),
    ];
    for form in forms {
        assert!(!form.to_lowercase().contains("canary"), "{form}");
    }
}

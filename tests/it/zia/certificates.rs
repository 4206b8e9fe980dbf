//! Certificates that must not be trusted: nothing is said to who shows one (F48).

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;
use zia_mcp::{
    model::Clock,
    zia::{ClientCredential, Kind, Landed, Phase, Settings, Zia},
};

use super::tenant::{quick, soon};

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let (mut params, key) = (params("ca.example"), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), key)
    }
}

/// What a server shows, and its key.
type Shown = (CertificateDer<'static>, KeyPair);

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn self_signed() -> Shown {
    let key = KeyPair::generate().unwrap();
    (params("localhost").self_signed(&key).unwrap().der().clone(), key)
}

/// A server that keeps what it hears: on the wire and, after a handshake, in clear.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn start((certificate, key): Shown) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let (config, heard) = (Arc::new(config.unwrap()), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), heard: heard.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, config.clone(), &heard);
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

/// Refuses every sign-in of a client that trusts the certificate.
fn answer(mut tcp: TcpStream, config: Arc<ServerConfig>, heard: &Mutex<Vec<u8>>) {
    tcp.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut tls = ServerConnection::new(config).unwrap();
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        let mut heard = heard.lock().unwrap();
        heard.extend(&piece[..n]);
        if String::from_utf8_lossy(&heard).contains("canary") {
            let body = r#"{"code":"INVALID_USERNAME_OR_PASSWORD","message":"no"}"#;
            let head =
                format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {}", body.len());
            let _ = write!(stream, "{head}\r\ncontent-type: application/json\r\n\r\n{body}");
            return;
        }
    }
}

/// Both ways to sign in to a server.
fn sign_ins(url: &str) -> [Settings; 2] {
    let by_key = Settings::api_key(
        None,
        Some(url),
        "a@example.com",
        "canary-password".into(),
        "canaryApiKey0123".into(),
    );
    let credential = ClientCredential::Secret("canary-secret".into());
    let by_token = Settings::oneapi(None, None, Some(url), Some(url), "client", credential, None);
    [by_key.unwrap(), by_token.unwrap()].map(|settings| settings.with_timeouts(quick()))
}

#[tokio::test]
async fn f48_no_bad_certificate_hears_a_secret_and_the_phase_is_told() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let dated = |from, to| {
        let mut params = params("localhost");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        trusted.signs(&params)
    };
    let mut for_clients = params("localhost");
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (what, shown) in [
        ("expired", dated(2019, 2020)),
        ("not valid yet", dated(2090, 2091)),
        ("of another name", trusted.signs(&params("zsapi.zscaler.net"))),
        ("of a name below", trusted.signs(&params("x.localhost"))),
        ("for clients", trusted.signs(&for_clients)),
        ("of an unknown authority", other.signs(&params("localhost"))),
        ("signed by itself", self_signed()),
    ] {
        let server = Server::start(shown);
        for settings in sign_ins(&server.url()) {
            let zia = Zia::new(settings.with_extra_ca(&trusted.pem).unwrap(), Clock::system()).unwrap();
            let error = zia.sign_in(soon()).await.unwrap_err();
            assert_eq!(
                (error.kind.clone(), error.landed),
                (Kind::Unreachable, Landed::No),
                "{what}: {error}"
            );
            assert_eq!(error.phase, Some(Phase::Tls), "{what}");
            assert!(error.to_string().contains("while TLS handshake"), "{error}");
        }
        assert_eq!(server.heard(), "", "{what}");
    }
}

#[tokio::test]
async fn f48_an_authority_of_the_operator_is_trusted_besides_the_systems() {
    let authority = Authority::new();
    let server = Server::start(authority.signs(&params("localhost")));
    let [settings, _] = sign_ins(&server.url());
    let zia = Zia::new(settings.with_extra_ca(&authority.pem).unwrap(), Clock::system()).unwrap();
    let error = zia.sign_in(soon()).await.unwrap_err();
    assert!(matches!(error.kind, Kind::SignIn(_)), "the handshake was made: {error}");
    assert!(server.heard().contains("canary-password"));
}

#[test]
fn f48_what_holds_no_certificate_is_refused_as_an_authority() {
    let [settings, _] = sign_ins("https://localhost:1");
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        let error = settings.clone().with_extra_ca(text).unwrap_err();
        assert_eq!(error.setting, "[tenant] extra_ca_file", "{text:?}");
    }
}

/// What `doctor` says of a server, given an authority to trust in a way.
fn doctor(server: &Server, dir: &TempDir, config: &str, system: Option<&str>) -> String {
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
    command.env_clear().args(["doctor", "--state-dir"]).arg(dir.path().join("state"));
    command.arg("--config").arg(file("config.toml", config));
    command.envs([("ZIA_BASE_URL", server.url().as_str()), ("ZIA_USERNAME", "a@example.com")]);
    command.envs([("ZIA_PASSWORD", "canary-password"), ("ZIA_API_KEY", "canaryApiKey0123")]);
    command.envs(system.map(|pem| ("SSL_CERT_FILE", file("system.pem", pem))));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!text.contains("canary"), "{text}");
    text
}

#[test]
fn f48_the_binary_trusts_whom_its_settings_name_and_nobody_else() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::start(authority.signs(&params("localhost")));
    let dir = TempDir::new().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let refused = doctor(&server, &dir, "", Some(&other.pem));
    assert!(refused.contains("while TLS handshake"), "{refused}");
    assert_eq!(server.heard(), "");
    let trusting = format!("[tenant]\nextra_ca_file = {ca:?}\n");
    for (config, system) in [(trusting.as_str(), &other.pem), ("", &authority.pem)] {
        let said = doctor(&server, &dir, config, Some(system));
        assert!(said.contains("sign-in") && !said.contains("TLS handshake"), "{said}");
    }
    assert!(server.heard().contains("canary-password"));
}

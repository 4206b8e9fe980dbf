//! HTTP over TLS.
#![allow(clippy::disallowed_methods)] // a test's client may send

use std::{fs, path::PathBuf};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use zia_mcp::http::{HttpError, HttpOptions, Readiness, TlsFiles, bind};

use super::{
    dummy::Dummy,
    wire::{TOKEN, modern_call, modern_headers},
};

const CERT: &str = include_str!("localhost.cert.pem");
/// Of a certificate that nobody trusts: it guards nothing.
const KEY: &str = include_str!("localhost.key.pem");

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write("cert", CERT);
        files.write("key", KEY);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn options(&self) -> HttpOptions {
        let tls = Some(TlsFiles { cert: self.path("cert"), key: self.path("key") });
        HttpOptions { tls, ..HttpOptions::new(TOKEN.into(), "tester") }
    }
}

#[tokio::test]
async fn calls_are_answered_over_tls_and_in_no_other_way() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = Files::new();
    let bound = bind("127.0.0.1:0", &files.options()).await.unwrap();
    let url = bound.local_url();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let shutdown = CancellationToken::new();
    let ready = || std::future::ready(Readiness::default());
    let task = tokio::spawn(bound.serve(Dummy::new(), ready, None, shutdown.clone()));

    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let call = |url: &str| {
        let request = client.post(format!("{url}/mcp")).bearer_auth(TOKEN).body(modern_call(
            1,
            "echo",
            json!({"a": 1}),
        ));
        let request =
            modern_headers("echo").into_iter().fold(request, |request, (n, v)| request.header(n, v));
        request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .send()
    };
    let answer = call(&url).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);
    assert!(call(&url.replacen("https", "http", 1)).await.is_err());
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_certificate_or_key_that_cannot_be_used_is_named() {
    let files = Files::new();
    let refused = async || match bind("127.0.0.1:0", &files.options()).await {
        Err(HttpError::Tls { path, problem }) => (path, problem),
        other => panic!("{other:?}"),
    };
    let other_key = another_key();
    for (name, text, problem) in [
        ("cert", "", "no PEM certificate"),
        ("cert", KEY, "no PEM certificate"),
        ("cert", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "not valid PEM"),
        ("key", "", "no PEM private key"),
        ("key", CERT, "no PEM private key"),
        ("key", other_key.as_str(), "does not belong"),
    ] {
        let good = fs::read_to_string(files.path(name)).unwrap();
        files.write(name, text);
        let (path, told) = refused().await;
        assert!(path == files.path(name) && told.contains(problem), "{name}: {told}");
        files.write(name, &good);
    }
    fs::remove_file(files.path("key")).unwrap();
    let (path, told) = refused().await;
    assert!(path == files.path("key") && told.contains("cannot be read"), "{told}");
}

/// A key of no certificate, PEM.
fn another_key() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
    };
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key))
}

#[tokio::test(start_paused = true)]
async fn f39_a_handshake_that_does_not_come_ends_the_connection_in_five_seconds() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = Files::new();
    let bound = bind("127.0.0.1:0", &files.options()).await.unwrap();
    let address = bound.local_url().replacen("https://", "", 1);
    let ready = || std::future::ready(Readiness::default());
    let task = tokio::spawn(bound.serve(Dummy::new(), ready, None, CancellationToken::new()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let start = tokio::time::Instant::now();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
    assert!((4..8).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    task.abort();
}

/// A certificate authority, and a certificate of its with its key, PEM.
fn authority() -> (String, String, String) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = parameters.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, ca_key);
    let mut client = rcgen::CertificateParams::new(vec!["client.example".into()]).unwrap();
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = client.signed_by(&key, &issuer).unwrap();
    (ca.pem(), signed.pem(), key.serialize_pem())
}

#[tokio::test]
async fn with_an_authority_for_clients_only_its_certificates_come_in() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = Files::new();
    let ((ca, cert, key), (_, foreign_cert, foreign_key)) = (authority(), authority());
    files.write("ca", &ca);
    let options = HttpOptions { client_ca: Some(files.path("ca")), ..files.options() };
    let bound = bind("127.0.0.1:0", &options).await.unwrap();
    let url = bound.local_url();
    let (shutdown, ready) =
        (CancellationToken::new(), || std::future::ready(Readiness::new([("store", true)])));
    let task = tokio::spawn(bound.serve(Dummy::new(), ready, None, shutdown.clone()));
    let ask = async |identity: Option<String>, token: &str| {
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy();
        let identity = identity.map(|pem| reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        let client = identity.into_iter().fold(client, reqwest::ClientBuilder::identity).build().unwrap();
        let request =
            client.post(format!("{url}/mcp")).bearer_auth(token).body(modern_call(1, "echo", json!({})));
        let request =
            modern_headers("echo").into_iter().fold(request, |request, (n, v)| request.header(n, v));
        let request = request.header("content-type", "application/json");
        request
            .header("accept", "application/json, text/event-stream")
            .send()
            .await
            .map(|a| a.status().as_u16())
    };
    assert_eq!(ask(Some(cert.clone() + &key), TOKEN).await.unwrap(), 200);
    assert_eq!(
        ask(Some(cert.clone() + &key), "wrong").await.unwrap(),
        401,
        "a certificate alone is no caller"
    );
    assert!(ask(None, TOKEN).await.is_err(), "no certificate");
    assert!(ask(Some(foreign_cert + &foreign_key), TOKEN).await.is_err(), "another authority's certificate");
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_authority_for_clients_needs_tls_and_a_certificate() {
    let files = Files::new();
    files.write("ca", "");
    for (options, problem) in [
        (HttpOptions { client_ca: Some(files.path("ca")), ..files.options() }, "no PEM certificate"),
        (HttpOptions { client_ca: Some(files.path("none")), ..files.options() }, "cannot be read"),
        (HttpOptions { client_ca: Some(files.path("ca")), tls: None, ..files.options() }, "needs tls_cert"),
    ] {
        let error = bind("127.0.0.1:0", &options).await.expect_err("refused").to_string();
        assert!(error.contains(problem), "{error}");
    }
}

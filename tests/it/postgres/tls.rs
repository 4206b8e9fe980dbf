//! TLS on the way to the server: real certificates, of an authority that nobody else trusts.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;
use tokio::process::Command;
use url::Url;
use zia_mcp::{
    model::{Ask, CallAccount as _, Clock, Purpose, Terms},
    store::{Settings, Store, StoreError},
};

use super::{TENANT, approved, promises::OwnServer, send, until};
use crate::place::Place;

/// Never in an error, a log or a debug form.
const PASSWORD: &str = "canary-Passw0rd";

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
        Shown { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// A certificate and its key.
struct Shown {
    certificate: String,
    key: String,
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

/// A server of a test's own: its owner comes in freely, `guest` by password, `shown` by certificate.
struct TlsServer {
    server: OwnServer,
    data: PathBuf,
    dir: TempDir,
    authority: Authority,
}

const WHO: &str = "\
host    all owner 127.0.0.1/32 trust
hostssl all shown 127.0.0.1/32 cert
host    all all   127.0.0.1/32 scram-sha-256
";

impl TlsServer {
    /// One with a certificate for `localhost`.
    async fn start() -> Self {
        let server = OwnServer::start();
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&server.url).await.unwrap();
        let data: String = sqlx::query_scalar("SELECT current_setting('data_directory')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let (dir, authority) = (TempDir::new().unwrap(), Authority::new());
        let started = Self { server, data: data.into(), dir, authority };
        started.keeps("clients.pem", &started.authority.pem);
        started.keeps("pg_hba.conf", WHO);
        let roles = format!(
            "CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE shown LOGIN; \
             CREATE DATABASE zia OWNER guest; ALTER SYSTEM SET ssl_ca_file = 'clients.pem'"
        );
        started.server.sql(&roles).await;
        started.shows(&started.authority.signs(&params("localhost"))).await;
        let by_tls = format!("{}?sslmode=require", started.server.url);
        until("TLS is on", async || AnyConnection::connect(&by_tls).await.is_ok()).await;
        started
    }

    /// Puts a file into the server's directory, for the server's user alone.
    fn keeps(&self, name: &str, text: &str) {
        let (path, owner) = (self.data.join(name), std::fs::metadata(&self.data).unwrap());
        let open = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        open.unwrap().write_all(text.as_bytes()).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// Shows another certificate, as soon as the server has heard of it.
    async fn shows(&self, shown: &Shown) {
        self.keeps("server.crt", &shown.certificate);
        self.keeps("server.key", &shown.key);
        self.server.sql("ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf()").await;
    }

    /// A file of the client's.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ca(&self) -> PathBuf {
        self.file("ca.pem", &self.authority.pem)
    }

    /// The address as a user at a host, with more parameters.
    fn url(&self, host: &str, more: &[(&str, &Path)]) -> Url {
        let port = Url::parse(&self.server.url).unwrap().port().unwrap();
        let mut url = Url::parse(&format!("postgres://guest:{PASSWORD}@{host}:{port}/zia")).unwrap();
        for (name, value) in more {
            url.query_pairs_mut().append_pair(name, value.to_str().unwrap());
        }
        url
    }

    async fn open(&self, url: &Url) -> Result<Store, StoreError> {
        let database = Some(url.as_str().parse().unwrap());
        let settings = Settings { state_dir: self.dir.path().join("state"), key_file: None, database };
        let opened = Store::open(&settings, Clock::system()).await;
        let told = format!(
            "{settings:?} {opened:?} {}",
            opened.as_ref().err().map_or(String::new(), ToString::to_string)
        );
        assert!(!told.contains("canary"), "{told}");
        opened
    }

    /// Why an address is refused.
    async fn refusal(&self, url: &Url) -> String {
        let refused = self.open(url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
        refused.to_string()
    }

    /// The connections of `guest`: whether each is encrypted, with what, and the session locks it holds.
    async fn connections(&self) -> Vec<(i64, String, i64)> {
        let mut connection = AnyConnection::connect(&self.server.url).await.unwrap();
        let all = "SELECT CAST(CASE WHEN s.ssl THEN 1 ELSE 0 END AS BIGINT), COALESCE(s.version, ''), \
                   (SELECT COUNT(*) FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory') \
                   FROM pg_stat_activity a JOIN pg_stat_ssl s ON s.pid = a.pid WHERE a.usename = 'guest'";
        let all = sqlx::query_as(all).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        all
    }
}

const ROOT: &str = "sslrootcert";

fn mode(name: &str) -> (&str, &Path) {
    ("sslmode", Path::new(name))
}

/// Makes every connection that a store has: to write, to read, to count, and the session.
async fn work(store: &Store, user: i64) {
    let op = approved(store, user, true).await;
    send(store, &op).await.unwrap();
    let terms = Terms {
        endpoint: "GET /users",
        windows: Vec::new(),
        configured: String::new(),
        reserved: false,
        background: 0,
    };
    store.take(Ask { tenant: TENANT, terms: &terms, purpose: Purpose::Read }).await.unwrap();
    assert!(store.operation(&op.id).await.unwrap().is_some());
}

#[tokio::test]
async fn f48_every_connection_to_a_verified_server_is_encrypted() {
    let server = TlsServer::start().await;
    let ca = server.ca();
    let checked = [mode("verify-full"), (ROOT, ca.as_path())];
    let store = server.open(&server.url("localhost", &checked)).await.unwrap();
    work(&store, 1).await;
    let connections = server.connections().await;
    assert!(connections.len() >= 4, "{connections:?}");
    assert!(connections.iter().all(|(ssl, version, _)| *ssl == 1 && version == "TLSv1.3"), "{connections:?}");
    assert_eq!(connections.iter().map(|(_, _, locks)| locks).sum::<i64>(), 1, "the session: {connections:?}");
    store.close().await;
    until("all are gone", async || server.connections().await.is_empty()).await;
    // It would show if they were not.
    let store = server.open(&server.url("127.0.0.1", &[mode("disable")])).await.unwrap();
    work(&store, 2).await;
    let connections = server.connections().await;
    assert!(connections.iter().all(|(ssl, ..)| *ssl == 0), "{connections:?}");
}

#[tokio::test]
async fn f48_a_certificate_is_taken_as_far_as_sslmode_says() {
    let server = TlsServer::start().await;
    let (ca, other) = (server.ca(), server.file("other.pem", &Authority::new().pem));
    let (name, issuer) = ("for another host name", "is not trusted");
    for (sslmode, host, root, refusal) in [
        ("verify-full", "localhost", Some(&ca), None),
        ("verify-full", "localhost", Some(&other), Some(issuer)),
        ("verify-full", "localhost", None, Some(issuer)),
        ("verify-full", "127.0.0.1", Some(&ca), Some(name)),
        ("verify-ca", "127.0.0.1", Some(&ca), None),
        ("verify-ca", "127.0.0.1", Some(&other), Some(issuer)),
        ("verify-ca", "127.0.0.1", None, Some(issuer)),
        // As libpq: with an authority named, the certificate is checked.
        ("require", "127.0.0.1", Some(&ca), None),
        ("require", "127.0.0.1", Some(&other), Some(issuer)),
        ("require", "127.0.0.1", None, None),
    ] {
        let mut more = vec![mode(sslmode)];
        more.extend(root.map(|root| (ROOT, root.as_path())));
        let (url, what) = (server.url(host, &more), format!("{sslmode} {host} {root:?}"));
        match refusal {
            None => server.open(&url).await.unwrap_or_else(|e| panic!("{what}: {e}")).close().await,
            Some(why) => {
                let told = server.refusal(&url).await;
                assert!(told.contains(why), "{what}: {told}");
            }
        }
    }
    let missing = server.dir.path().join("missing.pem");
    let told = server.refusal(&server.url("localhost", &[mode("verify-full"), (ROOT, &missing)])).await;
    assert!(told.contains("sslrootcert") && told.contains("missing.pem"), "{told}");
    let garbage = server.file("garbage.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let told = server.refusal(&server.url("localhost", &[mode("verify-full"), (ROOT, &garbage)])).await;
    assert!(told.contains("no certificate"), "{told}");
    let mut wrong = server.url("localhost", &[mode("verify-full"), (ROOT, &ca)]);
    wrong.set_password(Some("canary-another")).unwrap();
    assert!(server.refusal(&wrong).await.contains("refused the sign-in"));
}

#[tokio::test]
async fn f48_a_certificate_that_ran_out_is_refused_and_a_new_one_taken_without_a_restart() {
    let server = TlsServer::start().await;
    let ca = server.ca();
    let url = server.url("localhost", &[mode("verify-full"), (ROOT, ca.as_path())]);
    let mut old = params("localhost");
    (old.not_before, old.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    server.shows(&server.authority.signs(&old)).await;
    until("it is refused", async || server.open(&url).await.is_err()).await;
    assert!(server.refusal(&url).await.contains("not valid at this time"));
    server.shows(&server.authority.signs(&params("localhost"))).await;
    until("it is taken", async || server.open(&url).await.is_ok()).await;
}

#[tokio::test]
async fn a_client_certificate_signs_in_and_without_one_nobody_does() {
    let server = TlsServer::start().await;
    server.server.sql("ALTER DATABASE zia OWNER TO shown").await;
    let mut client = params("shown");
    client.distinguished_name.push(DnType::CommonName, "shown");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let of = |authority: &Authority, name: &str| {
        let shown = authority.signs(&client);
        (
            server.file(&format!("{name}.crt"), &shown.certificate),
            server.file(&format!("{name}.key"), &shown.key),
        )
    };
    let (ca, own, foreign) = (server.ca(), of(&server.authority, "own"), of(&Authority::new(), "foreign"));
    let url = |pair: Option<&(PathBuf, PathBuf)>| {
        let mut more = vec![mode("verify-full"), (ROOT, ca.as_path())];
        more.extend(
            pair.iter().flat_map(|(crt, key)| [("sslcert", crt.as_path()), ("sslkey", key.as_path())]),
        );
        let mut url = server.url("localhost", &more);
        url.set_username("shown").unwrap();
        url.set_password(None).unwrap();
        url
    };
    server.open(&url(Some(&own))).await.unwrap();
    assert!(server.refusal(&url(None)).await.contains("refused the sign-in"));
    let told = server.refusal(&url(Some(&foreign))).await;
    assert!(told.contains("sslcert"), "{told}");
}

#[tokio::test]
async fn f48_a_server_without_tls_is_refused_and_hears_no_name_and_no_password() {
    let place = Place::on_postgres();
    for sslmode in ["require", "verify-ca", "verify-full"] {
        let mut url: Url = place.url().unwrap().parse().unwrap();
        url.set_password(Some(PASSWORD)).unwrap();
        url.query_pairs_mut().append_pair("sslmode", sslmode);
        let settings = Settings { database: Some(url.as_str().parse().unwrap()), ..place.settings() };
        let told = Store::open(&settings, Clock::system()).await.unwrap_err().to_string();
        assert!(told.contains("offers no TLS") && !told.contains("canary"), "{told}");
    }
    // One that says no, and keeps what it hears after that.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut question, mut rest) = ([0; 8], Vec::new());
        stream.read_exact(&mut question).unwrap();
        stream.write_all(b"N").unwrap();
        let _ = stream.read_to_end(&mut rest);
        (question, rest)
    });
    let url = format!("postgres://guest:{PASSWORD}@127.0.0.1:{port}/zia?sslmode=require");
    let settings = Settings { database: Some(url.parse().unwrap()), ..place.settings() };
    assert!(Store::open(&settings, Clock::system()).await.is_err());
    let (question, rest) = heard.join().unwrap();
    // The request for TLS: its length and its code.
    assert_eq!((question, rest), ([0, 0, 0, 8, 4, 210, 22, 47], Vec::new()));
}

#[tokio::test]
async fn an_ipv6_address_is_reached_and_looked_for_in_the_certificate() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        println!("left out: this machine has no IPv6");
        return;
    };
    let server = TlsServer::start().await;
    let ca = server.ca();
    let mut url = server.url("[::1]", &[mode("verify-full"), (ROOT, ca.as_path())]);
    let port = url.port().unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    assert!(server.refusal(&url).await.contains("for another host name"));
    server.shows(&server.authority.signs(&params("::1"))).await;
    until("it is taken", async || server.open(&url).await.is_ok()).await;
}

/// The program to its end: its exit code and all that it said.
async fn run(server: &TlsServer, url: &Url, arguments: &[&str], system: Option<&Path>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
    command.env_clear().kill_on_drop(true).args(arguments).args(["--log", "trace"]).stdin(Stdio::null());
    command.env("ZIA_MCP_STATE_DIR", server.dir.path().join("state"));
    command.env("ZIA_MCP_DATABASE_URL", url.as_str());
    command.envs(system.map(|path| ("SSL_CERT_FILE", path)));
    let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await.unwrap().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!told.contains("canary"), "{told}");
    (output.status.code().unwrap(), told)
}

#[tokio::test]
async fn f48_the_program_trusts_whom_the_address_or_the_system_names_and_nobody_else() {
    let server = TlsServer::start().await;
    let (ca, other) = (server.ca(), server.file("other.pem", &Authority::new().pem));
    let bare = server.url("localhost", &[mode("verify-full")]);
    let named = server.url("localhost", &[mode("verify-full"), (ROOT, ca.as_path())]);
    for (url, system) in [(&named, None), (&named, Some(other.as_path())), (&bare, Some(ca.as_path()))] {
        let (code, told) = run(&server, url, &["store", "migrate"], system).await;
        assert!(code == 0 && told.contains("the PostgreSQL database zia on localhost"), "{told}");
    }
    for arguments in [&["store", "migrate"][..], &["serve", "--sandbox"]] {
        let (code, told) = run(&server, &bare, arguments, Some(other.as_path())).await;
        assert!(code == 69 && told.contains("is not trusted; name its authority"), "{code}: {told}");
        let (code, told) =
            run(&server, &server.url("127.0.0.1", &[mode("verify-full"), (ROOT, &ca)]), arguments, None)
                .await;
        assert!(code == 69 && told.contains("for another host name"), "{code}: {told}");
    }
}

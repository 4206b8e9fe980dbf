//! Certificate and key.

use std::{path::Path, sync::Arc};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{HttpError, TlsFiles};

/// What the listener needs for TLS.
#[derive(Clone, Debug)]
pub(super) struct Config(pub(super) RustlsConfig);

/// Reads a certificate chain and its key, and who may sign the certificates of clients.
///
/// # Errors
///
/// [`HttpError::Tls`] naming the file and what is wrong with it.
pub(super) fn load(files: Option<&TlsFiles>, client_ca: Option<&Path>) -> Result<Option<Config>, HttpError> {
    match (files, client_ca) {
        (Some(files), _) => load_files(files, client_ca).map(Some),
        // Without TLS of our own nobody would ask for a certificate.
        (None, Some(ca)) => Err(fault(ca, "client_ca needs tls_cert and tls_key".into())),
        (None, None) => Ok(None),
    }
}

fn load_files(files: &TlsFiles, client_ca: Option<&Path>) -> Result<Config, HttpError> {
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(&files.cert, pem_problem(&error, "certificate")))?;
    if chain.is_empty() {
        return Err(fault(&files.cert, "no PEM certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fault(&files.key, pem_problem(&error, "private key")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = match client_ca {
        Some(path) => verifier(path, &provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&files.cert, error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| fault(&files.key, pair_problem(&error)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Config(RustlsConfig::from_config(Arc::new(config))))
}

/// Asks every client for a certificate that one of these signed.
fn verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, HttpError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(path, pem_problem(&error, "certificate")))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|_| fault(path, "a certificate in it cannot be used".into()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| fault(path, "no PEM certificate in it".into()))
}

fn fault(path: &Path, problem: String) -> HttpError {
    HttpError::Tls { path: path.to_owned(), problem }
}

fn pem_problem(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {}", error.kind()),
        pem::Error::NoItemsFound => format!("no PEM {what} in it"),
        _ => "not valid PEM".into(),
    }
}

fn pair_problem(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".into(),
        _ => "the certificate and its key cannot be used for TLS".into(),
    }
}

//! The bearer token.

use std::{
    fmt,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::HttpError;
use crate::private_file::{self, PrivateFileError};

/// The token's file in the state directory.
const FILE: &str = "http-token";

/// The digest of a token, to compare with.
#[derive(Clone)]
pub(super) struct Token([u8; 32]);

impl Token {
    pub(super) fn new(token: &SecretString) -> Self {
        Self(Self::digest(token.expose_secret()))
    }

    pub(super) fn of_digest(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    pub(super) fn digest(token: &str) -> [u8; 32] {
        Sha256::digest(token).into()
    }

    /// Compares digests in constant time, so that neither the token's length nor a prefix shows.
    pub(super) fn is(&self, digest: &[u8; 32]) -> bool {
        digest.ct_eq(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The token in the state directory, made at first start: 256 random bits, mode 0600.
///
/// # Errors
///
/// [`HttpError::Token`]: the file cannot be written, or others can access it.
pub fn ensure_token(state_dir: &Path) -> Result<(SecretString, PathBuf), HttpError> {
    let path = state_dir.join(FILE);
    let text = match private_file::read(&path) {
        Err(PrivateFileError::Missing) => make(state_dir, &path).and_then(|()| private_file::read(&path)),
        read => read,
    };
    match text {
        Ok(text) => Ok((SecretString::from(text.as_str()), path)),
        Err(error) => Err(HttpError::Token { path, error }),
    }
}

/// A new token and the SHA-256 by which the settings know it.
///
/// # Errors
///
/// Where the system has no randomness.
pub fn new_token() -> Result<(SecretString, [u8; 32]), std::io::Error> {
    let token = random()?;
    let digest = Token::digest(&token);
    Ok((SecretString::from(token), digest))
}

/// 256 random bits as text.
fn random() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn make(state_dir: &Path, path: &Path) -> Result<(), PrivateFileError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    match private_file::create(path, &random()?) {
        // Another process was first: its token counts.
        Err(PrivateFileError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let (first, path) = ensure_token(&state).unwrap();
        let (second, _) = ensure_token(&state).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert_eq!(URL_SAFE_NO_PAD.decode(first.expose_secret()).unwrap().len(), 32);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&state)), (0o600, 0o700));
        let (other, _) = ensure_token(&dir.path().join("other")).unwrap();
        assert_ne!(first.expose_secret(), other.expose_secret());
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (token, path) = ensure_token(dir.path()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = ensure_token(dir.path()).expect_err("refused").to_string();
        assert!(error.contains("http-token") && error.contains("0640"), "{error}");
        assert!(!error.contains(token.expose_secret()));
    }
}

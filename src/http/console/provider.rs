//! Approvers who sign in at an identity provider, by OpenID Connect.
//!
//! The code flow with PKCE, a login of its own each time, and an ID token from which everything is read:
//! who it is, that they logged in just now and by what means, and that they are in the approvers' group.

use std::{pin::Pin, time::Duration};

use jiff::SignedDuration;
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthenticationFlow, AuthorizationCode, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, HttpRequest, HttpResponse, IdTokenClaims, IdTokenFields, IssuerUrl,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
        CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use crate::{
    http::{
        HttpError,
        fetch::{Fetcher, Trouble},
    },
    lifecycle::{Luggage, Person},
    model::shown,
};

/// How long the provider's own description counts; its keys are in it.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// How long a provider that could not be read is not asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What whole seconds and the way to the provider may add to a login's age.
const ROUNDING: SignedDuration = SignedDuration::from_secs(2);

/// Signatures of ID tokens that count.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Where approvers sign in, and who of them may approve.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The provider's name, a URL, exactly as its tokens have it.
    pub issuer: String,
    /// This server's name there.
    pub client_id: String,
    /// Its secret, if it has one.
    pub client_secret: Option<SecretString>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The group that approvers are in.
    pub group: String,
    /// The claim of the ID token that names a person's groups.
    pub group_claim: String,
    /// Kinds of login of which one is needed (`acr`); any, if there are none.
    pub acr: Vec<String>,
    /// Means of login that are all needed (`amr`).
    pub amr: Vec<String>,
    /// How much older than the errand the login may be.
    pub max_age: Duration,
    /// Root certificates to trust besides the system's, PEM.
    pub extra_ca: Option<String>,
}

/// Why nobody was signed in, in words for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotIn {
    /// The provider does not answer, or not as one.
    Unavailable,
    /// Its answer does not hold.
    Unproven,
    /// The login is older than the errand.
    Stale,
    /// It was not by the means that are needed.
    TooWeak,
    /// They are not in the approvers' group.
    NotApprover,
    /// The provider sent them back without a code.
    Cancelled,
}

impl NotIn {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Unavailable => "The identity provider does not answer. Try again in a moment.",
            Self::Unproven => "The identity provider's answer does not hold. Begin again.",
            Self::Stale => {
                "You have to log in anew for this, and the provider did not ask you to. Begin again."
            }
            Self::TooWeak => "You have to log in with a stronger means, as the server's operator demands.",
            Self::NotApprover => "You are signed in there, but not one of the approvers here.",
            Self::Cancelled => "The identity provider did not sign you in.",
        }
    }

    /// A stable name for records.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Unproven => "unproven",
            Self::Stale => "stale",
            Self::TooWeak => "too_weak",
            Self::NotApprover => "not_approver",
            Self::Cancelled => "cancelled",
        }
    }
}

/// All claims of an ID token that OpenID Connect does not name.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Others(Map<String, Value>);

impl AdditionalClaims for Others {}

type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Claims = IdTokenClaims<Others, CoreGenderClaim>;

/// A client that was made from a provider's description.
macro_rules! client {
    ($desk:expr, $metadata:expr) => {{
        let id = ClientId::new($desk.provider.client_id.clone());
        let secret = $desk.provider.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        Client::<
            Others,
            CoreAuthDisplay,
            CoreGenderClaim,
            CoreJweContentEncryptionAlgorithm,
            CoreJsonWebKey,
            CoreAuthPrompt,
            StandardErrorResponse<CoreErrorResponseType>,
            StandardTokenResponse<Fields, CoreTokenType>,
            CoreTokenIntrospectionResponse,
            CoreRevocableToken,
            CoreRevocationErrorResponse,
            _,
            _,
            _,
            _,
            _,
            _,
        >::from_provider_metadata($metadata, id, secret)
        .set_redirect_uri($desk.back.clone())
    }};
}

/// The library's way to the provider.
struct Wire(Fetcher);

impl<'c> AsyncHttpClient<'c> for Wire {
    type Error = Trouble;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Trouble>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.send(request))
    }
}

/// Sends people to the provider, and looks at what they come back with.
pub(super) struct Desk {
    provider: Provider,
    issuer: IssuerUrl,
    back: RedirectUrl,
    wire: Wire,
    /// One reading at a time.
    known: Mutex<Known>,
}

/// What is known of the provider.
#[derive(Default)]
struct Known {
    /// Its description, and when it was read.
    read: Option<(Instant, CoreProviderMetadata)>,
    /// When it was last asked in vain: those who waited meanwhile need not wait once more.
    failed: Option<Instant>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk to which people come back at `back`.
    pub(super) fn new(provider: Provider, back: String) -> Result<Self, HttpError> {
        let wrong = || HttpError::Setting { setting: "public_url", expected: "a URL such as https://host" };
        let url = Url::parse(&provider.issuer).map_err(|_| wrong())?;
        let wire = Wire(Fetcher::new(&url, provider.extra_ca.as_deref())?);
        let issuer = IssuerUrl::new(provider.issuer.clone()).map_err(|_| wrong())?;
        let back = RedirectUrl::new(back).map_err(|_| wrong())?;
        Ok(Self { provider, issuer, back, wire, known: Mutex::default() })
    }

    /// Whether an answer names the provider that was asked, if it names one (RFC 9207).
    pub(super) fn is_from(&self, issuer: Option<&str>) -> bool {
        issuer.is_none_or(|issuer| issuer == self.provider.issuer)
    }

    /// Where somebody goes to sign in.
    pub(super) async fn way_out(&self, luggage: &Luggage) -> Result<Url, NotIn> {
        let metadata = self.metadata(false).await?;
        let verifier = PkceCodeVerifier::new(luggage.verifier.clone());
        let (state, nonce) = (luggage.state.clone(), luggage.nonce.clone());
        let client = client!(self, metadata);
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request = client
            .authorize_url(flow, || CsrfToken::new(state), || Nonce::new(nonce))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_prompt(CoreAuthPrompt::Login)
            .set_max_age(self.provider.max_age)
            .add_scopes(self.provider.scopes.iter().cloned().map(Scope::new));
        for acr in &self.provider.acr {
            request =
                request.add_auth_context_value(openidconnect::AuthenticationContextClass::new(acr.clone()));
        }
        Ok(request.url().0)
    }

    /// Who came back with a code from an errand that began so long ago.
    pub(super) async fn arrival(
        &self,
        errand_age: SignedDuration,
        luggage: &Luggage,
        code: String,
    ) -> Result<Person, NotIn> {
        let metadata = self.metadata(false).await?;
        let client = client!(self, metadata);
        let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(|_| NotIn::Unavailable)?;
        let verifier = PkceCodeVerifier::new(luggage.verifier.clone());
        let answered = exchange.set_pkce_verifier(verifier).request_async(&self.wire).await;
        let answered = answered.map_err(|error| {
            tracing::info!(http.refused = "code", "the identity provider gave no token for a code");
            match error {
                openidconnect::RequestTokenError::Request(_) => NotIn::Unavailable,
                _ => NotIn::Unproven,
            }
        })?;
        let token = answered.id_token().ok_or(NotIn::Unproven)?;
        let nonce = Nonce::new(luggage.nonce.clone());
        let ours = client.id_token_verifier().set_allowed_algs(SIGNATURES);
        if let Ok(claims) = token.claims(&ours, &nonce) {
            return self.person(errand_age, claims);
        }
        // Signed by a key that is newer than what was read of the provider, perhaps.
        let client = client!(self, self.metadata(true).await?);
        let ours = client.id_token_verifier().set_allowed_algs(SIGNATURES);
        let claims = token.claims(&ours, &nonce).map_err(|error| {
            tracing::info!(http.refused = "id_token", %error, "refused an ID token");
            NotIn::Unproven
        })?;
        self.person(errand_age, claims)
    }

    /// Whom the claims show, if they may approve.
    fn person(&self, errand_age: SignedDuration, claims: &Claims) -> Result<Person, NotIn> {
        // By the provider's clock alone, and the errand's by ours alone: they need not agree.
        let login = claims.auth_time().map(|at| at.timestamp()).ok_or(NotIn::Stale)?;
        let age = SignedDuration::from_secs(claims.issue_time().timestamp().saturating_sub(login));
        let allowed = SignedDuration::try_from(self.provider.max_age).unwrap_or_default();
        if !is_recent(age, errand_age.saturating_add(allowed)) {
            return Err(NotIn::Stale);
        }
        let acr = claims.auth_context_ref().map(|acr| acr.as_str());
        let kind =
            self.provider.acr.is_empty() || acr.is_some_and(|acr| self.provider.acr.iter().any(|a| a == acr));
        let means: Vec<&str> =
            claims.auth_method_refs().into_iter().flatten().map(|method| method.as_str()).collect();
        if !kind || !self.provider.amr.iter().all(|needed| means.contains(&needed.as_str())) {
            return Err(NotIn::TooWeak);
        }
        if !self.is_in_group(claims) {
            return Err(NotIn::NotApprover);
        }
        let subject = claims.subject().as_str().to_owned();
        // Unless the provider vouches for an address, anybody may have typed in another's.
        let email = claims.email().filter(|_| claims.email_verified() == Some(true)).map(|e| e.as_str());
        let name = email.or_else(|| claims.preferred_username().map(|n| n.as_str())).unwrap_or(&subject);
        Ok(Person { name: shown(name), subject: Some(subject) })
    }

    fn is_in_group(&self, claims: &Claims) -> bool {
        match claims.additional_claims().0.get(&self.provider.group_claim) {
            Some(Value::Array(groups)) => groups.iter().any(|g| g.as_str() == Some(&self.provider.group)),
            Some(Value::String(group)) => *group == self.provider.group,
            _ => false,
        }
    }

    /// The provider's description, read again when it is old or `anew`.
    async fn metadata(&self, anew: bool) -> Result<CoreProviderMetadata, NotIn> {
        let mut known = self.known.lock().await;
        let kept = known.read.as_ref().filter(|(read, _)| !anew && read.elapsed() < FRESH);
        if let Some((_, metadata)) = kept {
            return Ok(metadata.clone());
        }
        if known.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return Err(NotIn::Unavailable);
        }
        let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.wire).await;
        known.failed = found.is_err().then(Instant::now);
        let metadata = found.map_err(|error| {
            tracing::warn!(%error, "the identity provider of approvers cannot be read");
            NotIn::Unavailable
        })?;
        known.read = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }
}

/// Whether a login is no older than allowed, nor yet to come.
fn is_recent(age: SignedDuration, allowed: SignedDuration) -> bool {
    (-ROUNDING..=allowed.saturating_add(ROUNDING)).contains(&age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_neither_too_old_nor_yet_to_come() {
        let recent = |age| is_recent(SignedDuration::from_secs(age), SignedDuration::from_secs(300));
        assert!([-2, 0, 1, 300, 302].into_iter().all(recent));
        assert!(![-4_000, -3, 303, i64::MAX, i64::MIN].into_iter().any(recent));
    }
}

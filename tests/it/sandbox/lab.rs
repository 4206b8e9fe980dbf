//! A sandbox tenant and a client that knows nothing but HTTP.
#![allow(clippy::disallowed_methods)] // a test may send as it likes

use std::time::Duration;

use reqwest::{Client, Method, Response, header::HeaderMap, redirect::Policy};
use serde_json::{Value, json};
use zia_mcp::sandbox::{LimitPolicy, SandboxClock, SandboxOptions, SandboxTenant};

/// 2026-03-13 03:28:15.734 UTC: the last six digits are 695734.
pub(super) const NOON: i64 = 1_773_371_695_734;

/// A tenant on a standing clock, without limits unless a test asks for them.
pub(super) struct Lab {
    pub(super) tenant: SandboxTenant,
    pub(super) clock: SandboxClock,
    client: Client,
    base: String,
    cookie: Option<String>,
    bearer: Option<String>,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} {}", self.status, self.text))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(super) fn options() -> SandboxOptions {
    SandboxOptions {
        users: 60,
        clock: SandboxClock::standing_at(NOON),
        limits: LimitPolicy::Off,
        edit_lock_hold: Duration::from_millis(40),
        ..SandboxOptions::default()
    }
}

pub(super) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

impl Lab {
    /// A tenant that nobody has signed in to.
    pub(super) async fn start(options: SandboxOptions) -> Self {
        let clock = options.clock.clone();
        let tenant = SandboxTenant::start(options).await.unwrap();
        let base = format!("{}/api/v1", tenant.base_url());
        Self { tenant, clock, client: client(), base, cookie: None, bearer: None }
    }

    /// A tenant with an open session.
    pub(super) async fn signed_in() -> Self {
        Self::signed_in_with(options()).await
    }

    pub(super) async fn signed_in_with(options: SandboxOptions) -> Self {
        let mut lab = Self::start(options).await;
        lab.sign_in().await;
        lab
    }

    /// A tenant behind the gateway, with a token.
    pub(super) async fn with_token() -> Self {
        let mut lab = Self::start(options()).await;
        let answer = lab.ask_token(&lab.secret_form()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        lab.bearer = answer.json()["access_token"].as_str().map(str::to_owned);
        lab.base = format!("{}/zia/api/v1", lab.tenant.base_url());
        lab
    }

    pub(super) async fn sign_in(&mut self) {
        let answer = self.post("/authenticatedSession", self.sign_in_body(self.clock.now_ms())).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let cookie = answer.header("set-cookie").unwrap();
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    }

    /// The body of a sign-in at `now`; the key is scrambled here as the docs tell it.
    pub(super) fn sign_in_body(&self, now: i64) -> Value {
        let settings = self.tenant.settings();
        let (now, key) = (now.to_string(), settings.api_key.as_bytes());
        let low = &now[now.len() - 6..];
        let half = format!("{:06}", low.parse::<u32>().unwrap() >> 1);
        let mut scrambled = String::new();
        for digit in low.bytes() {
            scrambled.push(char::from(key[usize::from(digit - 48)]));
        }
        for digit in half.bytes() {
            scrambled.push(char::from(key[usize::from(digit - 48) + 2]));
        }
        json!({"apiKey": scrambled, "username": settings.username, "password": settings.password, "timestamp": now})
    }

    pub(super) fn secret_form(&self) -> Vec<(&'static str, String)> {
        let settings = self.tenant.settings();
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", settings.client_id),
            ("client_secret", settings.client_secret),
            ("audience", "https://api.zscaler.com".to_owned()),
        ]
    }

    pub(super) async fn ask_token(&self, form: &[(&'static str, String)]) -> Answer {
        let url = self.tenant.settings().token_url;
        Answer::read(self.client.post(url).form(form).send().await.unwrap()).await
    }

    pub(super) fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap()
    }

    pub(super) fn forget_cookie(&mut self) {
        self.cookie = None;
    }

    pub(super) fn set_bearer(&mut self, bearer: &str) {
        self.bearer = Some(bearer.to_owned());
    }

    /// Sends a call below `/api/v1` as it is; the error is a broken connection.
    pub(super) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_send(method, path, body).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(super) async fn activate(&self) -> Answer {
        self.post("/status/activate", json!({})).await
    }

    /// What `GET /status` says.
    pub(super) async fn status(&self) -> String {
        self.get("/status").await.json()["status"].as_str().unwrap().to_owned()
    }

    /// Sends a control call.
    pub(super) async fn control(&self, method: Method, path: &str, body: Value) -> Answer {
        let url = format!("{}/_sandbox{path}", self.tenant.base_url());
        let request = self.client.request(method, url);
        let request = if body.is_null() { request } else { request.json(&body) };
        Answer::read(request.send().await.unwrap()).await
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Creates a user and gives the id.
    pub(super) async fn create(&self, email: &str) -> u64 {
        let answer = self.post("/users", new_user(email)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["id"].as_u64().unwrap()
    }
}

/// A body that `POST /users` takes.
pub(super) fn new_user(email: &str) -> Value {
    json!({
        "name": "New Person",
        "email": email,
        "groups": [{"id": 24_326_802}],
        "department": {"id": 68_759_302},
        "password": "Str0ng-enough!",
    })
}

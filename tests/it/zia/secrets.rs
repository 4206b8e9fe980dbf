//! No secret shows in a debug form, a log line or an error.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tracing_subscriber::fmt::MakeWriter;
use zia_mcp::{
    model::{Clock, Write},
    zia::{ClientCredential, Limits, NewUser, Settings, UserQuery, Zia},
};

use super::tenant::*;

/// Everything that was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

const SECRETS: [&str; 6] = [
    "canary-password",
    "canaryApiKey0123",
    "CANARYSESSION",
    "canary-token",
    "canary-secret",
    "canary-initial",
];

fn assert_hides_secrets(text: &str) {
    for secret in SECRETS {
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        for form in [secret.to_owned(), STANDARD.encode(secret), hex, secret.chars().rev().collect()] {
            assert!(!text.to_lowercase().contains(&form.to_lowercase()), "{secret} shows in: {text}");
        }
    }
}

fn jane() -> NewUser {
    NewUser {
        name: "Jane".into(),
        email: "jane@example.com".parse().unwrap(),
        groups: vec![],
        department: None,
        comments: None,
        temp_auth_email: None,
        password: "canary-initial".into(),
    }
}

async fn everything(zia: &Zia, said: &mut String) {
    let new = jane();
    said.push_str(&format!("{zia:?} {zia:#?} {new:?} {:?}", zia.budget().await));
    let errors = [
        zia.status(soon()).await.map(drop),
        zia.users(&UserQuery::default(), soon()).await.map(drop),
        zia.create_user(&permit(Write::CreateUser), &new, soon()).await.map(drop),
        zia.sign_out().await,
    ];
    for error in errors.into_iter().filter_map(Result::err) {
        said.push_str(&format!("{error} {error:?}\n"));
    }
}

#[tokio::test]
async fn t18_no_secret_shows_anywhere_whatever_the_tenant_answers() {
    // Answers that repeat what was sent, as an upstream with debugging on would.
    let echoes: [fn(&Seen) -> Answer; 5] = [
        |seen| json(400, &serde_json::json!({"code": "BAD", "message": seen.body}).to_string()),
        |seen| reply(500, "x-request-id: canary-token\u{1}\r\n", seen.body.as_bytes()),
        |seen| reply(200, "", format!("<html>{} {}</html>", seen.body, seen.header("cookie")).as_bytes()),
        |seen| {
            json(401, &serde_json::json!({"code": seen.header("cookie"), "message": seen.body}).to_string())
        },
        |_| Answer::Drop,
    ];
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let mut said = String::new();
    for echo in echoes {
        let tenant = Tenant::start(move |seen| match seen.call.as_str() {
            SIGN_IN => signed_in("CANARYSESSION"),
            "POST /oauth2/v1/token" => json(200, r#"{"access_token":"canary-token","expires_in":60}"#),
            _ => echo(seen),
        })
        .await;
        everything(&tenant.client(), &mut said).await;
        let secret = ClientCredential::Secret("canary-secret".into());
        said.push_str(&format!("{secret:?}"));
        let url = Some(tenant.url.as_str());
        let settings = Settings::oneapi(None, None, url, url, "id", secret, None).unwrap();
        said.push_str(&format!("{settings:?} {settings:#?}"));
        let settings = settings.with_limits(Limits::unpaced()).with_timeouts(quick());
        everything(&Zia::new(settings, Clock::system()).unwrap(), &mut said).await;

        // The same, with the sign-in itself echoed.
        let tenant = Tenant::start(echo).await;
        everything(&tenant.client(), &mut said).await;
    }
    let logged = log.text();
    assert!(logged.contains("ZIA replied"), "the log was not captured: {logged}");
    assert_hides_secrets(&logged);
    assert!(said.contains("attempt"), "no error was seen");
    assert_hides_secrets(&said);
}

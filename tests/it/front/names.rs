//! Whose requests are heard: hosts and origins.

use serde_json::json;

use super::wire::Server;

#[tokio::test]
async fn t16_a_foreign_host_is_403_before_the_token_is_looked_at() {
    let server = Server::start().await;
    let port = server.address.port();
    for good in [
        format!("localhost:{port}"),
        format!("LocalHost:{port}"),
        format!("[::1]:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        assert_eq!(server.post(&[("Host", &good)], "{}").await.status, 400, "{good}");
        assert_eq!(server.post(&[("Host", &good), ("Authorization", "")], "{}").await.status, 401, "{good}");
    }
    for bad in [
        "evil.example".into(),
        format!("evil.example:{port}"),
        "localhost".into(),
        format!("localhost:{}", port ^ 1),
        format!("localhost.evil:{port}"),
        format!("localhost.:{port}"),
        format!("localhost:{port}@evil.example"),
        format!("evil.example@localhost:{port}"),
        format!("127.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1:{port}"),
        format!("::1:{port}"),
        format!("localhost:0{port}x"),
        format!("localhost:{port}:80"),
    ] {
        for authorization in ["", "Bearer canary-token"] {
            let answer = server.post(&[("Host", &bad), ("Authorization", authorization)], "{}").await;
            assert_eq!(answer.status, 403, "{bad}");
        }
    }
}

#[tokio::test]
async fn t16_no_host_and_two_hosts_are_400() {
    let server = Server::start().await;
    let own = server.address.to_string();
    for hosts in
        [vec![], vec![""], vec![&own[..], &own], vec![&own, "evil.example"], vec!["evil.example", &own]]
    {
        let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
        assert_eq!(server.bare("POST /mcp HTTP/1.1", &headers, "{}").await.status, 400, "{hosts:?}");
        assert_eq!(server.bare("GET /healthz HTTP/1.1", &headers, "").await.status, 400, "{hosts:?}");
    }
}

#[tokio::test]
async fn t16_a_host_in_the_request_line_counts_too() {
    let server = Server::start().await;
    let own = server.address.to_string();
    let status = async |uri: &str, host: &str| {
        server.bare(&format!("GET {uri} HTTP/1.1"), &[("Host", host)], "").await.status
    };
    assert_eq!(status(&format!("http://{own}/mcp"), &own).await, 401);
    assert_eq!(status("http://evil.example/mcp", &own).await, 403);
    assert_eq!(status("http://evil.example/healthz", &own).await, 403);
    assert_eq!(status(&format!("http://{own}/mcp"), "evil.example").await, 403);
    assert_eq!(status(&format!("http://evil@{own}/mcp"), &own).await, 403);
}

#[tokio::test]
async fn t16_a_foreign_origin_is_403_though_no_list_is_set() {
    let server = Server::start().await;
    let port = server.address.port();
    for good in [
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("http://[::1]:{port}"),
    ] {
        assert_eq!(server.post(&[("Origin", &good)], "{}").await.status, 400, "{good}");
    }
    for bad in [
        "null".into(),
        "http://evil.example".into(),
        "http://localhost".into(),
        format!("https://localhost:{port}"),
        format!("http://localhost:{}", port ^ 1),
        format!("http://localhost.evil:{port}"),
        "file://".into(),
        format!("http://localhost:{port}/"),
        format!("http://evil@localhost:{port}"),
        "chrome-extension://abc".into(),
    ] {
        let answer = server.post(&[("Origin", &bad), ("Authorization", "")], "{}").await;
        assert_eq!(answer.status, 403, "{bad}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // What lets the console's own forms pass lets nothing else pass.
    let form = [("Origin", "null"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(server.post(&form, "{}").await.status, 403);
    let own = format!("http://localhost:{port}");
    let host = server.address.to_string();
    let two = [("Host", &host[..]), ("Origin", &own), ("Origin", "http://evil.example")];
    assert_eq!(server.bare("POST /mcp HTTP/1.1", &two, "{}").await.status, 403);
    let preflight =
        [("Host", &host[..]), ("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(server.bare("OPTIONS /mcp HTTP/1.1", &preflight, "").await.status, 403);
}

#[tokio::test]
async fn hosts_and_origins_of_the_settings_pass() {
    let server = Server::start_with(
        |options| {
            options.allowed_hosts = vec!["inner.example".into()];
            options.allowed_origins = vec!["https://app.example".into()];
            options.public_url = Some("https://mcp.example".into());
        },
        true,
    )
    .await;
    for good in ["inner.example", "inner.example:8443", "mcp.example"] {
        assert_eq!(server.post(&[("Host", good)], "{}").await.status, 400, "{good}");
    }
    for good in ["https://app.example", "https://mcp.example"] {
        assert_eq!(server.post(&[("Origin", good)], "{}").await.status, 400, "{good}");
    }
    assert_eq!(server.post(&[("Host", "mcp.example:80")], "{}").await.status, 403);
    assert_eq!(server.post(&[("Origin", "http://app.example")], "{}").await.status, 403);
}

#[tokio::test]
async fn health_pages_are_open_to_probes_and_closed_to_foreign_names() {
    let server = Server::start().await;
    let own = server.address.to_string();
    let get = async |server: &Server, path: &str, host: &str| {
        server.bare(&format!("GET {path} HTTP/1.1"), &[("Host", host)], "").await
    };
    let health = get(&server, "/healthz", &own).await;
    assert_eq!((health.status, &*health.body), (200, "ok"));
    let ready = get(&server, "/readyz", "10.1.2.3:8080").await;
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "checks": {"store": true}})));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&server, path, "evil.example").await.status, 403);
    }
    let server = Server::start_with(|_| {}, false).await;
    let ready = get(&server, "/readyz", &server.address.to_string()).await;
    assert_eq!((ready.status, ready.json()), (503, json!({"ready": false, "checks": {"store": false}})));
    assert_eq!(get(&server, "/healthz", &server.address.to_string()).await.status, 200);
}

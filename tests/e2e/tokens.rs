//! Who gets in: a server asks for tokens unless it is told not to.

use std::os::unix::fs::PermissionsExt;

use super::server::{Server, Start, client, dir, ochre};

const LINE: &str = "cpu v=1 1\n";

async fn write(server: &Server, token: &str) -> u16 {
    let request = client().post(server.url("/write?db=mine")).bearer_auth(token).body(LINE);
    server.send(request).await.status
}

#[tokio::test]
async fn the_first_start_makes_a_token_that_only_its_file_tells() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).with_tokens().start();
    let path = dir.path().join("admin.token");
    let token = server.operator_token();
    assert!(token.starts_with("ochre_") && token.len() == 49, "{} characters", token.len());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let logs = server.logs();
    assert!(logs.contains(path.to_str().unwrap()) && !logs.contains(&token), "{logs}");

    let refused = server.post("/write?db=mine", LINE).await;
    assert_eq!((refused.status, refused.text()), (401, "{\"error\":\"authorization failed\"}\n"));
    assert_eq!(write(&server, "ochre_a-token-that-nobody-has-made-here-ever").await, 401);
    assert_eq!(write(&server, &token).await, 204);
    let basic = client().get(server.url("/api/v3/query_sql?db=mine&q=SELECT+v+FROM+cpu"));
    assert_eq!(server.send(basic.basic_auth("any", Some(&token))).await.text(), "[{\"v\":1.0}]");
    for public in ["/ping", "/health", "/ready"] {
        assert!(server.get(public).await.status < 300, "{public}");
    }
    assert_eq!(server.get("/metrics").await.status, 401);

    server.kill();
    let server = server.again().start();
    assert_eq!(server.operator_token(), token);
    assert_eq!(write(&server, &token).await, 204);
    assert!(!server.logs().contains(&token));
}

#[tokio::test]
async fn the_command_line_shows_its_token() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    let (url, token) = (server.url(""), server.operator_token());
    let denied = ochre(&["database", "list", "--host", &url]);
    assert_eq!(denied.status.code(), Some(1));
    let said = String::from_utf8_lossy(&denied.stderr).into_owned();
    assert!(said.contains("this server asks for a token"), "{said}");
    let created = ochre(&["database", "create", "--host", &url, "--token", &token, "mine"]);
    assert_eq!(created.status.code(), Some(0), "{}", String::from_utf8_lossy(&created.stderr));
}

#[tokio::test]
async fn tokens_come_from_the_file_that_is_named() {
    let dir = dir();
    let file = dir.path().join("tokens");
    let (first, second) = ("1".repeat(32), "2".repeat(40));
    #[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
    std::fs::write(&file, format!("# ours\n{first}\n\n{second}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let data = dir.path().join("data");
    let start = Start::in_dir(&data).with_tokens().args(&["--token-file", file.to_str().unwrap()]);
    let server = start.clone().start();
    for (token, status) in [(&first, 204), (&second, 204), (&"3".repeat(32), 401), (&"# ours".to_owned(), 401)] {
        assert_eq!(write(&server, token).await, status, "{token}");
    }
    assert!(server.logs().contains("chmod 600"), "{}", server.logs());
    assert!(!data.join("admin.token").exists());
    drop(server);

    #[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
    std::fs::write(&file, "too-short").unwrap();
    let (status, said) = start.try_start().unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("line 1: a token has 9 characters: at least 32 are needed"), "{said}");
    assert!(!said.contains("too-short"), "{said}");
}

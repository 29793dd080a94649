//! The tokens of a node.

use ochre_types::token::{Grants, TokenHash, TokenName};

use super::*;

#[tokio::test]
async fn tokens_are_found_by_their_hash_until_they_are_revoked() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    let token = |text: &str| TokenName::new(text).unwrap();
    let grants = |scope: &str| Grants(vec![scope.parse().unwrap()]);
    let (one, two) = (TokenHash([1; 32]), TokenHash([2; 32]));
    assert_eq!(node.token(&one), None);
    node.create_token(token("grafana"), one, grants("read:metrics")).await.unwrap();
    node.create_token(token("telegraf"), two, grants("write:*")).await.unwrap();
    assert_eq!(node.token(&one), Some((token("grafana"), grants("read:metrics"))));

    let error = node.create_token(token("grafana"), TokenHash([3; 32]), grants("read:*")).await.unwrap_err();
    assert!(matches!(error, TokenError::Exists(_)), "{error}");
    let error = node.create_token(token("copy"), one, grants("manage:*")).await.unwrap_err();
    assert!(matches!(error, TokenError::SecretInUse(_)), "{error}");
    let error = node.create_token(token("idle"), TokenHash([3; 32]), Grants::default()).await.unwrap_err();
    assert!(matches!(error, TokenError::NoScopes(_)), "{error}");
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    let names: Vec<String> = node.tokens().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["grafana", "telegraf"]);
    assert!(node.tokens().values().all(|entry| entry.created_millis > 0));
    assert_eq!(node.token(&two), Some((token("telegraf"), grants("write:*"))));
    node.revoke_token(&token("telegraf")).await.unwrap();
    assert_eq!(node.token(&two), None);
    assert!(matches!(node.revoke_token(&token("telegraf")).await, Err(TokenError::Unknown(_))));
    node.create_token(token("telegraf"), two, grants("read:*")).await.unwrap();
    assert_eq!(node.token(&two), Some((token("telegraf"), grants("read:*"))));
    node.close().await.unwrap();
}

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::json;
use throughline_core::{ErrorKind, Secret, TokenPair, TokenStore};
use throughline_store::TokenKey;

use crate::{Folder, child, child_folder};

fn pair(access: &str) -> TokenPair {
    TokenPair {
        access: Secret::new(access),
        refresh: Some(Secret::new(format!("refresh-of-{access}"))),
        expires_at_us: Some(7),
        extra: json!({"domain": "пример.рф"}),
    }
}

async fn save(tokens: &Arc<dyn TokenStore>, account: &str, access: &str) {
    tokens.lease(account).await.unwrap().save(&pair(access)).await.unwrap();
}

#[tokio::test]
async fn a_pair_outlives_the_process_and_is_nowhere_in_clear() {
    let folder = Folder::new();
    let store = folder.open();
    let tokens = store.tokens(store.token_key().unwrap());
    assert!(tokens.load("shop").await.unwrap().is_none());
    save(&tokens, "shop", "first-secret-access").await;
    save(&tokens, "shop", "second-secret-access").await;
    // Both while the log holds it and after it is folded in.
    let look = || {
        for file in ["state.db", "state.db-wal", "state.db-shm", "token.key"] {
            let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
            for secret in ["secret-access", "refresh-of", "пример"] {
                assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} in {file}");
            }
        }
    };
    look();
    drop((tokens, store));
    look();

    let store = folder.open();
    let tokens = store.tokens(store.token_key().unwrap());
    let found = tokens.load("shop").await.unwrap().unwrap();
    assert_eq!(found.access.expose(), "second-secret-access");
    assert_eq!(found.refresh.unwrap().expose(), "refresh-of-second-secret-access");
    assert_eq!((found.expires_at_us, found.extra), (Some(7), json!({"domain": "пример.рф"})));
}

#[tokio::test]
async fn another_key_or_account_opens_nothing() {
    let folder = Folder::new();
    let store = folder.open();
    let tokens = store.tokens(store.token_key().unwrap());
    save(&tokens, "shop", "aaa").await;

    let other = store.tokens(TokenKey::parse(&Secret::new("07".repeat(32))).unwrap());
    let error = other.load("shop").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("shop") && !error.to_string().contains("aaa"), "{error}");
    // Authorised again with the new key, it works.
    save(&other, "shop", "bbb").await;
    assert_eq!(other.load("shop").await.unwrap().unwrap().access.expose(), "bbb");

    save(&tokens, "thief", "ccc").await;
    let conn = rusqlite::Connection::open(folder.db()).unwrap();
    conn.execute("UPDATE tokens SET value = (SELECT previous FROM tokens WHERE account = 'shop') WHERE account = 'thief'", [])
        .unwrap();
    assert!(tokens.load("thief").await.is_err(), "a value of another account must not open");
    conn.execute("UPDATE tokens SET value = x'00' WHERE account = 'thief'", []).unwrap();
    assert!(tokens.load("thief").await.is_err());
}

#[tokio::test]
async fn the_key_file_is_private() {
    let folder = Folder::new();
    let store = folder.open();
    let path = folder.path().join("token.key");
    store.token_key().unwrap();
    let made = std::fs::read(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    store.token_key().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), made);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().ends_with(".part")), "{left:?}");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = store.token_key().unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    std::fs::write(&path, "short").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(store.token_key().unwrap_err().to_string().contains("holds no token key"));
}

#[test]
fn keys_are_read_from_secrets() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode([7_u8; 32]);
    for good in [base64, "0A".repeat(32), format!(" {}\n", "0a".repeat(32))] {
        TokenKey::parse(&Secret::new(good)).unwrap();
    }
    for bad in ["", "0a", &"zz".repeat(32), &"я".repeat(32), "AAAA"] {
        let error = TokenKey::parse(&Secret::new(bad)).unwrap_err();
        assert!(error.to_string().contains("32 bytes"), "{error}");
    }
    assert_eq!(format!("{:?}", TokenKey::parse(&Secret::new("0a".repeat(32))).unwrap()), "***");
}

/// Under the lease: reads the number in the token, writes the next one.
async fn add_one(tokens: &Arc<dyn TokenStore>) {
    let mut lease = tokens.lease("counter").await.unwrap();
    let seen: u64 = lease.current().await.unwrap().map_or(0, |p| p.access.expose().parse().unwrap());
    tokio::task::yield_now().await;
    lease.save(&pair(&(seen + 1).to_string())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_refreshes_at_a_time_in_all_processes() {
    if child_folder().is_some() {
        return;
    }
    let folder = Folder::new();
    let store = folder.open();
    let tokens = store.tokens(store.token_key().unwrap());
    let others: Vec<_> =
        (0..2).map(|_| child("tokens::child_that_refreshes", folder.path()).spawn().unwrap()).collect();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { add_one(&tokens).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for other in others {
        assert!(other.wait_with_output().unwrap().status.success());
    }
    assert_eq!(tokens.load("counter").await.unwrap().unwrap().access.expose(), "40");
}

#[tokio::test]
async fn child_that_refreshes() {
    let Some(folder) = child_folder() else { return };
    let store = throughline_store::Store::open(folder.join(throughline_store::STATE_FILE)).unwrap();
    let tokens = store.tokens(store.token_key().unwrap());
    for _ in 0..10 {
        add_one(&tokens).await;
    }
}

#[tokio::test]
async fn a_lease_that_was_given_up_is_free() {
    let folder = Folder::new();
    let store = folder.open();
    let tokens = store.tokens(store.token_key().unwrap());
    let held = tokens.lease("shop").await.unwrap();
    // Another account is nobody's business.
    drop(tokens.lease("other").await.unwrap());
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), tokens.lease("shop")).await;
    assert!(waiting.is_err(), "somebody else holds it");
    drop(held);
    drop(tokens.lease("shop").await.unwrap());
}

#[tokio::test]
async fn a_runs_end_waits_for_leases_but_not_for_ever() {
    let folder = Folder::new();
    let store = folder.open();
    let tokens = store.tokens(store.token_key().unwrap());
    let moment = std::time::Duration::from_millis(50);
    assert!(store.tokens_settled(moment).await, "nobody renews");
    let mut held = tokens.lease("shop").await.unwrap();
    drop(tokens.lease("other").await.unwrap());
    assert!(!store.tokens_settled(moment).await);
    let renewing = async {
        tokio::time::sleep(moment).await;
        held.save(&pair("new")).await.unwrap();
        drop(held);
    };
    let (settled, ()) = tokio::join!(store.tokens_settled(std::time::Duration::from_secs(30)), renewing);
    assert!(settled);
    assert_eq!(tokens.load("shop").await.unwrap().unwrap().access.expose(), "new");
}

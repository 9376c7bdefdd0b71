//! Viewers' tokens by the keys that an issuer publishes.

use super::{SEED, UNLIMITED, expect, forged, now};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use harness::{Failure, Settings, Stack};
use http::Method;
use serde_json::json;

/// The keys of an issuer outlive whatever is changed about other tenants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuers_keys_stay_while_tenants_change() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let (file, tenants) = (folder.path().join("jwks.json"), folder.path().join("tenants"));
    let seed: [u8; 32] = STANDARD.decode(SEED)?.try_into().map_err(|_| "no seed")?;
    let public = URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": public });
    std::fs::write(&file, json!({ "keys": [key] }).to_string())?;
    let jwks = format!("{{ file = \"{}\" }}", file.display());
    let settings = Settings::default()
        .film("a.mkv", 1 << 20)
        .gateway("rates.sign", UNLIMITED)
        .gateway("tenants.folder", &format!("\"{}\"", tenants.display()))
        .tenant("a", "viewer.issuer", "\"login\"")
        .tenant("a", "viewer.jwks", &jwks)
        .tenant("a", "sign", "{}");
    let stack = Stack::start(settings).await?;
    let (client, path) = (stack.client, stack.path(stack.film("a.mkv")?));
    let claims = json!({ "iss": "login", "sub": "carol", "exp": now() + 600 });
    let token = format!("bearer {}", forged(&json!({ "alg": "EdDSA", "kid": "k" }), &claims)?);
    let headers = [("host", "a.test"), ("content-type", "application/json"), ("authorization", &*token)];
    let body = json!({ "path": path }).to_string();
    expect(&client.post("/sign", &headers, &body).await?, 200, "by the issuer's key")?;
    std::fs::remove_file(&file)?;
    let new = json!({ "id": "new", "settings": { "domains": ["new.test"], "channels": [-1_001_700_000_001_i64] } });
    assert_eq!(stack.admin.api(Method::POST, "/v1/tenants", Some(&new)).await?.status, 201);
    expect(&client.post("/sign", &headers, &body).await?, 200, "another tenant has come")?;
    assert_eq!(stack.admin.api(Method::POST, "/v1/reload", None).await?.status, 200);
    expect(&client.post("/sign", &headers, &body).await?, 200, "the settings were read again")?;
    Ok(())
}

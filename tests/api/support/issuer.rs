//! An OpenID Connect issuer with real keys, which counts its requests and can simulate failures.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use partner_platform::platform::oidc::{Algorithm, Settings};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use rsa::Generate;
use rsa::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const AUDIENCE: &str = "partner-platform-tests";

/// One per process, because generating RSA keys takes long.
static RSA: LazyLock<Vec<u8>> =
    LazyLock::new(|| rsa::PrivateKey::generate().to_pkcs8_der().unwrap().as_bytes().to_vec());

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair that signs tokens with one algorithm.
pub struct SigningKey {
    pub id: String,
    pub algorithm: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Curve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl SigningKey {
    /// The RSA key of the process, for any of its algorithms.
    pub fn rsa(id: &str, algorithm: &'static str) -> Self {
        let pair = Pair::Rsa(RsaKeyPair::from_pkcs8(&RSA).unwrap().into());
        Self { id: id.to_owned(), algorithm, pair }
    }

    /// A new key on P-256.
    pub fn p256(id: &str) -> Self {
        Self::curve(id, "ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    /// A new key on P-384.
    pub fn p384(id: &str) -> Self {
        Self::curve(id, "ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn curve(id: &str, algorithm: &'static str, signing: &'static signature::EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(signing, document.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), algorithm, pair: Pair::Curve(pair) }
    }

    /// A new key on Ed25519.
    pub fn ed25519(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self { id: id.to_owned(), algorithm: "EdDSA", pair: Pair::Edwards(pair) }
    }

    /// The public part of the key, in the format of a JWK set.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": base64(public.n), "e": base64(public.e) })
            }
            Pair::Curve(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": crv, "x": base64(x), "y": base64(y) })
            }
            Pair::Edwards(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key()) }),
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm);
        jwk
    }

    /// The public key as bytes, which an attacker would use as a symmetric secret.
    pub fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Curve(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "typ": "JWT", "kid": self.id })
    }

    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with the given header, signed with this key's algorithm, whatever the header says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", base64(signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Curve(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Header and claims of a token, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string()), base64(claims.to_string()))
}

/// The behaviour of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Works correctly.
    Well,
    /// Closes the connection.
    Gone,
    /// Accepts a request and never responds.
    Silent,
    /// Responds slowly.
    Slow,
    /// Responds with an error.
    Broken,
    /// Redirects to a URL that works.
    Elsewhere,
    /// Sends a response that never ends.
    Endless,
}

/// The content of the responses.
struct Shown {
    manner: Manner,
    discovery: Value,
    keys: Value,
}

pub struct Issuer {
    pub url: String,
    shown: Arc<Mutex<Shown>>,
    asked: Arc<[AtomicUsize; 2]>,
}

impl Issuer {
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let shown = Arc::new(Mutex::new(Shown { manner: Manner::Well, discovery, keys: Value::Null }));
        let asked: Arc<[AtomicUsize; 2]> = Arc::default();
        let (show, count) = (shown.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, show.clone(), count.clone()));
            }
        });
        let issuer = Self { url, shown, asked };
        issuer.show(keys);
        issuer
    }

    /// Replaces the keys that the issuer publishes.
    pub fn show(&self, keys: &[&SigningKey]) {
        self.show_raw(json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }));
    }

    pub fn show_raw(&self, keys: Value) {
        self.shown.lock().unwrap().keys = keys;
    }

    /// Changes a field of the discovery document.
    pub fn discovery(&self, field: &str, value: Value) {
        self.shown.lock().unwrap().discovery[field] = value;
    }

    pub fn behave(&self, manner: Manner) {
        self.shown.lock().unwrap().manner = manner;
    }

    /// The number of requests for the discovery document, and for the keys.
    pub fn asked(&self) -> (usize, usize) {
        (self.asked[0].load(Ordering::SeqCst), self.asked[1].load(Ordering::SeqCst))
    }

    pub fn settings(&self) -> Settings {
        Settings {
            issuer: self.url.parse().unwrap(),
            audience: AUDIENCE.to_owned(),
            role_claim: "role".to_owned(),
            reseller_claim: "reseller_id".to_owned(),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        }
    }

    /// The claims of an administrator of the provider, valid for five minutes.
    pub fn claims(&self, now: DateTime<Utc>) -> Value {
        let now = now.timestamp();
        json!({
            "iss": self.url, "sub": "alice", "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 300,
            "role": "admin", "reseller_id": "partner"
        })
    }
}

async fn answer(mut client: TcpStream, shown: Arc<Mutex<Shown>>, asked: Arc<[AtomicUsize; 2]>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let place = usize::from(!path.starts_with("/.well-known/openid-configuration"));
    asked[place].fetch_add(1, Ordering::SeqCst);
    // Long enough for concurrent requests.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (manner, document) = {
        let shown = shown.lock().unwrap();
        (shown.manner, [&shown.discovery, &shown.keys][place].to_string())
    };
    let is_moved = path.contains("moved");
    let (status, more, body) = match manner {
        Manner::Gone => return,
        Manner::Silent => std::future::pending().await,
        Manner::Broken => ("500 Internal Server Error", String::new(), document),
        Manner::Elsewhere if !is_moved => ("302 Found", format!("Location: {path}?moved\r\n"), document),
        Manner::Endless => ("200 OK", String::new(), " ".repeat(1 << 20) + &document),
        Manner::Slow => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            ("200 OK", String::new(), document)
        }
        Manner::Well | Manner::Elsewhere => ("200 OK", String::new(), document),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    // The client may have closed the connection.
    let _ = client.write_all((head + &body).as_bytes()).await;
}

//! `webhooks listen`: a receiver to test webhooks. It verifies each message, as every receiver should, and prints it.

use std::fmt::Write as _;
use std::io::Write;
use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, web};
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;

use crate::domain::webhooks::signature::Secret;
use crate::platform::clock::Clock;

/// The maximum difference between the timestamp of a message and the current time, in minutes. An older message may be
/// a replay.
const TOLERANCE_MINUTES: i64 = 5;

/// The maximum size of a message. The longest event, an order with 10,000 lines, has several million bytes.
const LONGEST: usize = 32 << 20;

/// The maximum number of bytes of a body that are printed. Escaping can make them six times as long.
const MOST_PRINTED: usize = 1 << 20;

/// The maximum number of bytes of a header that are printed.
const MOST_OF_HEADER: usize = 200;

/// The printed form of a message.
#[derive(Serialize)]
struct Line<'a> {
    /// Whether the message is recent and its signature is valid.
    verified: bool,
    /// Why the message is not verified.
    reason: Option<&'a str>,
    id: Option<&'a str>,
    timestamp: Option<i64>,
    /// Whether only the beginning of the body is printed, as a string.
    truncated: bool,
    /// The body as JSON if it is valid JSON, otherwise as a string; null if it could not be read.
    body: Value,
}

/// Receives messages until it is stopped, and prints one line of JSON for each. Only printable ASCII characters are
/// printed, because anybody can send messages to this port and must not be able to control the terminal.
///
/// # Errors
/// The listener cannot be used.
pub async fn listen(listener: TcpListener, secret: Secret) -> std::io::Result<()> {
    let known = web::Data::new((secret, Clock::system()));
    let app = move || {
        let longest = web::PayloadConfig::new(LONGEST);
        App::new().app_data(known.clone()).app_data(longest).default_service(web::to(receive))
    };
    HttpServer::new(app).workers(1).listen(listener)?.run().await
}

async fn receive(
    request: HttpRequest,
    known: web::Data<(Secret, Clock)>,
    body: Result<web::Bytes, Error>,
) -> HttpResponse {
    let (secret, clock) = &**known;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let id = header("webhook-id");
    let timestamp = header("webhook-timestamp").and_then(|text| text.parse().ok());
    let print_line = |reason: Option<&str>, truncated, body| {
        let id = id.map(|id| id.get(..MOST_OF_HEADER).unwrap_or(id));
        print(&Line { verified: reason.is_none(), reason, id, timestamp, truncated, body });
    };
    match body {
        Ok(body) => {
            let verified = verify(secret, clock, id, timestamp, header("webhook-signature"), &body);
            let (truncated, shown) = shown(&body);
            print_line(verified.err(), truncated, shown);
            HttpResponse::new(verified.map_or(StatusCode::UNAUTHORIZED, |()| StatusCode::NO_CONTENT))
        }
        Err(error) => {
            print_line(Some(&format!("The body could not be read: {error}")), false, Value::Null);
            HttpResponse::from_error(error)
        }
    }
}

/// Checks that a message is recent and signed with the secret. Otherwise returns the reason.
fn verify(
    secret: &Secret,
    clock: &Clock,
    id: Option<&str>,
    timestamp: Option<i64>,
    signature: Option<&str>,
    body: &[u8],
) -> Result<(), &'static str> {
    let id = id.ok_or("The header webhook-id is missing or not ASCII.")?;
    let timestamp = timestamp.ok_or("The header webhook-timestamp is missing or not an integer.")?;
    let signature = signature.ok_or("The header webhook-signature is missing or not ASCII.")?;
    let age = clock.machine().timestamp().saturating_sub(timestamp).saturating_abs();
    if age > TimeDelta::minutes(TOLERANCE_MINUTES).num_seconds() {
        return Err("The timestamp is more than 5 minutes from now.");
    }
    let is_signed = secret.verifies(id, timestamp, body, signature);
    is_signed.then_some(()).ok_or("The signature does not match the message and the secret.")
}

/// Returns the printed form of a body, and whether it is truncated.
fn shown(body: &[u8]) -> (bool, Value) {
    match body.get(..MOST_PRINTED) {
        Some(beginning) if body.len() > MOST_PRINTED => (true, String::from_utf8_lossy(beginning).into()),
        _ => (false, serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())),
    }
}

fn print(line: &Line<'_>) {
    let line = serde_json::to_string(line).map_or_else(|error| error.to_string(), |json| in_ascii(&json));
    let mut out = std::io::stdout().lock();
    // A closed output is not an error for the sender of the message.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Escapes all other characters than printable ASCII in JSON. They occur only in strings, where they can be escaped.
/// serde has already escaped the control characters below the space.
fn in_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

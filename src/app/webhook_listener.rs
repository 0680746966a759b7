//! `webhooks listen`: a receiver for trying webhooks. It verifies what comes, as every receiver should, and prints it.

use std::io::Write;
use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, web};
use chrono::TimeDelta;

use crate::clock::Clock;
use crate::domain::webhook::signature::Secret;

/// How far a message's time may be from now, in minutes: an older one may have been recorded.
const TOLERANCE_MINUTES: i64 = 5;

/// The longest message that is taken: the longest event, an order of 10,000 lines, has some million bytes.
const LONGEST: usize = 32 << 20;

/// Receives messages until it is told to stop, and prints a line for each: `verified` or `refused`, and its body, or
/// why there is none.
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
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            print(&format!("refused: {error}"));
            return HttpResponse::from_error(error);
        }
    };
    let (secret, clock) = &**known;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header("webhook-timestamp").parse().unwrap_or_default();
    let age = TimeDelta::seconds(clock.machine().timestamp().saturating_sub(timestamp)).abs();
    let is_recent = age <= TimeDelta::minutes(TOLERANCE_MINUTES);
    let is_ours = is_recent && secret.verifies(header("webhook-id"), timestamp, &body, header("webhook-signature"));
    let (word, status) =
        if is_ours { ("verified", StatusCode::NO_CONTENT) } else { ("refused", StatusCode::UNAUTHORIZED) };
    print(&format!("{word} {}", String::from_utf8_lossy(&body)));
    HttpResponse::new(status)
}

fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: that is for the sender no failure.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

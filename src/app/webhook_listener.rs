//! `webhooks listen`: a receiver for trying webhooks. It verifies what comes, as every receiver should, and prints it.

use std::io::Write;
use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::TimeDelta;

use crate::clock::Clock;
use crate::domain::webhook::signature::Secret;

/// How far a message's time may be from now, in minutes: an older one may have been recorded.
const TOLERANCE_MINUTES: i64 = 5;

/// Receives messages until it is told to stop, and prints a line for each: `verified` or `refused`, and its body.
///
/// # Errors
/// The listener cannot be used.
pub async fn listen(listener: TcpListener, secret: Secret) -> std::io::Result<()> {
    let known = web::Data::new((secret, Clock::system()));
    HttpServer::new(move || App::new().app_data(known.clone()).default_service(web::to(receive)))
        .workers(1)
        .listen(listener)?
        .run()
        .await
}

async fn receive(request: HttpRequest, known: web::Data<(Secret, Clock)>, body: web::Bytes) -> HttpResponse {
    let (secret, clock) = &**known;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header("webhook-timestamp").parse().unwrap_or_default();
    let age = TimeDelta::seconds(clock.machine().timestamp().saturating_sub(timestamp)).abs();
    let is_recent = age <= TimeDelta::minutes(TOLERANCE_MINUTES);
    let is_ours = is_recent && secret.verifies(header("webhook-id"), timestamp, &body, header("webhook-signature"));
    let (word, status) =
        if is_ours { ("verified", StatusCode::NO_CONTENT) } else { ("refused", StatusCode::UNAUTHORIZED) };
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: that is for the sender no failure.
    let _ = writeln!(out, "{word} {}", String::from_utf8_lossy(&body)).and_then(|()| out.flush());
    HttpResponse::new(status)
}

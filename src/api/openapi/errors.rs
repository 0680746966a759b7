//! The errors of the document: an answer a status, and what each code means.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::code::ErrorCode;
use crate::api::problem::{PROBLEM_JSON, Problem};
use crate::api::rate_limit;

/// One reusable answer a status; its description lists the codes that come with it.
pub(super) fn responses() -> Value {
    let mut codes: BTreeMap<&str, Vec<ErrorCode>> = BTreeMap::new();
    // These two are about a path or a page, and no operation's.
    let of_operations = |code: &&ErrorCode| !matches!(code, ErrorCode::MethodNotAllowed | ErrorCode::CorsRefused);
    for code in ErrorCode::ALL.iter().filter(of_operations) {
        codes.entry(response_name(*code)).or_default().push(*code);
    }
    let answers = codes.into_iter().map(|(name, codes)| {
        let list: Vec<_> = codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
        let first = codes[0];
        let mut example = Problem::of(first);
        example.instance = "/v1/customers".to_owned();
        example.request_id = "01990000-0000-7000-8000-000000000000".to_owned();
        let mut answer = json!({
            "description": list.join(" "),
            "content": { PROBLEM_JSON: {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "example": serde_json::to_value(example).unwrap_or_default(),
            } },
        });
        for (header, description, schema) in codes.iter().filter_map(|code| header(*code)) {
            answer["headers"][header] = json!({ "description": description, "schema": schema });
        }
        // Who is unknown is not counted.
        if first != ErrorCode::Unauthenticated {
            rate_limit::document(&mut answer);
        }
        (name.to_owned(), answer)
    });
    Value::Object(answers.collect())
}

/// The header that an answer has with a code: its name, what it says, and its schema.
fn header(code: ErrorCode) -> Option<(&'static str, &'static str, Value)> {
    let seconds = || json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": 3600 });
    match code {
        ErrorCode::RateLimited | ErrorCode::TooManyConcurrentRequests | ErrorCode::Unavailable => {
            Some(("Retry-After", "Seconds to wait.", seconds()))
        }
        ErrorCode::IdempotencyInProgress => {
            Some(("Retry-After", "Seconds to wait; with `idempotency_in_progress` alone.", seconds()))
        }
        ErrorCode::Unauthenticated => Some((
            "WWW-Authenticate",
            "The scheme, with `error=\"invalid_token\"` where a key or token was sent and is not taken.",
            json!({ "type": "string", "maxLength": 200 }),
        )),
        ErrorCode::VersionMismatch => {
            Some(("ETag", "The current version, for `If-Match`.", json!({ "type": "string", "maxLength": 8192 })))
        }
        _ => None,
    }
}

/// The name of the answer that a code comes with.
pub(super) fn response_name(code: ErrorCode) -> &'static str {
    match code.status().as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        406 => "NotAcceptable",
        409 => "Conflict",
        412 => "PreconditionFailed",
        413 => "PayloadTooLarge",
        415 => "UnsupportedMediaType",
        422 => "UnprocessableContent",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalServerError",
    }
}

/// What stands behind each code.
pub(super) fn code_description() -> String {
    let lines = ErrorCode::ALL.iter().map(|code| {
        format!("- `{}` ({}): {}. {}", code.as_str(), code.status().as_u16(), code.title(), code.next_step())
    });
    let lines: Vec<_> = lines.collect();
    format!("What went wrong, stable for programs. Expect more values.\n\n{}", lines.join("\n"))
}

//! The errors in the API document: a response for each status, and the meaning of each code.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::{PROBLEM_JSON, Problem};
use crate::api::middleware::limit;

/// Returns one reusable response for each status. Its description lists the codes.
pub(super) fn responses() -> Value {
    let mut codes: BTreeMap<&str, Vec<ErrorCode>> = BTreeMap::new();
    // These two concern a path or a web page, not an operation.
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
        // Requests of unknown callers are not counted.
        if first != ErrorCode::Unauthenticated {
            limit::document(&mut answer);
        }
        (name.to_owned(), answer)
    });
    Value::Object(answers.collect())
}

/// Returns the header of a response with this code: its name, description and schema.
fn header(code: ErrorCode) -> Option<(&'static str, &'static str, Value)> {
    let seconds = || json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": 3600 });
    match code {
        ErrorCode::RateLimited | ErrorCode::TooManyConcurrentRequests | ErrorCode::Unavailable => {
            Some(("Retry-After", "The number of seconds to wait.", seconds()))
        }
        ErrorCode::IdempotencyInProgress => {
            Some(("Retry-After", "The number of seconds to wait. Only with `idempotency_in_progress`.", seconds()))
        }
        ErrorCode::Unauthenticated => Some((
            "WWW-Authenticate",
            "The scheme, with `error=\"invalid_token\"` if a key or token was sent and rejected.",
            json!({ "type": "string", "maxLength": 200 }),
        )),
        ErrorCode::VersionMismatch => {
            Some(("ETag", "The current version, for `If-Match`.", json!({ "type": "string", "maxLength": 8192 })))
        }
        _ => None,
    }
}

/// The name of the response for a code.
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

/// The description of all codes.
pub(super) fn code_description() -> String {
    let lines = ErrorCode::ALL.iter().map(|code| {
        format!("- `{}` ({}): {}. {}", code.as_str(), code.status().as_u16(), code.title(), code.next_step())
    });
    let lines: Vec<_> = lines.collect();
    format!("A stable error code for programs. More values may be added.\n\n{}", lines.join("\n"))
}

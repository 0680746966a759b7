//! Finds the operation for a path and a method. Only a canonical path has an operation: each path has exactly one form,
//! so that routing, authorization, limits, audit and idempotency always read the same meaning from a request.

use std::sync::LazyLock;

use matchit::Router;
use percent_encoding::percent_decode_str;

use crate::api::contract::document::{DOCUMENT, Operation};

/// The operations of the API document, by path.
static ROUTES: LazyLock<Router<Route>> = LazyLock::new(build);

/// The operations of one path.
#[derive(Debug, Default)]
pub struct Route {
    /// The path in the API document, with `{…}` for the variable part.
    pub template: &'static str,
    operations: Vec<&'static Operation>,
}

/// A path that exists in the API document.
#[derive(Debug)]
pub struct Found {
    pub route: &'static Route,
    /// The variable part of the path, decoded.
    pub variable: Option<String>,
}

impl Route {
    /// Returns the operation for a method. HEAD has the operation of GET.
    #[must_use]
    pub fn operation(&self, method: &str) -> Option<&'static Operation> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.operations.iter().find(|operation| operation.method == method).copied()
    }

    /// The methods of the path, in the form of `Allow`.
    #[must_use]
    pub fn allow(&self) -> String {
        let methods = self.operations.iter().map(|operation| operation.method.as_str());
        let methods = methods.flat_map(|method| [Some(method), (method == "GET").then_some("HEAD")]);
        methods.flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Returns the route of a path; `None` if the path is not in the API document or not canonical.
#[must_use]
pub fn find(path: &str) -> Option<Found> {
    if !is_canonical(path) {
        return None;
    }
    let found = ROUTES.at(path).ok()?;
    let variable = match found.params.iter().next() {
        None => None,
        Some((_, escaped)) => Some(percent_decode_str(escaped).decode_utf8().ok()?.into_owned()),
    };
    Some(Found { route: found.value, variable })
}

/// Whether a path escapes only what it must: an escaped letter, digit, `-`, `.`, `_` or `~` is another form of the same
/// path (RFC 3986, section 6.2.2.2).
#[must_use]
pub fn is_canonical(path: &str) -> bool {
    path.split('%').skip(1).all(|escape| {
        let digits = escape.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte))
    })
}

fn build() -> Router<Route> {
    let mut routes = Router::new();
    for operation in &DOCUMENT.operations {
        let same_path = DOCUMENT.operations.iter().filter(|other| other.path == operation.path);
        // The path is listed once for each method; the first is enough.
        let _ = routes.insert(&operation.path, Route { template: &operation.path, operations: same_path.collect() });
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_path() {
        for operation in &DOCUMENT.operations {
            let found = find(&operation.path.replace(['{', '}'], "x")).unwrap();
            assert_eq!(found.route.template, operation.path);
            assert_eq!(found.route.operation(&operation.method), Some(operation));
            assert_eq!(found.variable.is_some(), operation.path.contains('{'), "{}", operation.path);
        }
    }

    #[test]
    fn a_name_goes_before_a_variable_part() {
        let run = find("/v1/invoices/run").unwrap();
        assert_eq!((run.route.template, run.route.allow().as_str()), ("/v1/invoices/run", "POST"));
    }

    #[test]
    fn only_the_canonical_spelling_of_a_path_is_found() {
        for path in ["/v1/customers", "/v1/idempotency-keys/a%2Fb%25", "/v1/idempotency-keys/a%2fb"] {
            assert!(find(path).is_some(), "{path}");
        }
        for path in [
            "/v1/%63ustomers",
            "/%76%31/customers",
            "/v1%2Fcustomers",
            "/v1/customers/",
            "/v1//customers",
            "//v1/customers",
            "/v1/./customers",
            "/v1/customers%20",
            "/v1/customers%",
            "/v1/customers%zz",
            "/v1/idempotency-keys/%61",
            "/v1/idempotency-keys/%+1",
            "/v1/idempotency-keys/%FF",
            "/v1/idempotency-keys/",
            "*",
            "",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}

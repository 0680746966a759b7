//! Error details for invalid values: describes in words what a pattern, format or type of the API document requires.

use jsonschema::JsonType;
use jsonschema::error::TypeKind;

use crate::domain::money::CURRENCY_PATTERN;
use crate::domain::text::{COUNTRY_PATTERN, Rule};

/// The advice for patterns that do not belong to a kind of text.
const PATTERNS: [(&str, &str); 4] = [
    ("^[0-9a-f]{64}$", "Send the `digest` of the quote unchanged: 64 hexadecimal digits."),
    ("^INV-[0-9]{4}-([0-9]{6}|[1-9][0-9]{6,8})$", "Write the number as on the invoice, for example INV-2027-000001."),
    ("^[A-Za-z]+$", "Use the `operationId` of an operation, for example suspendSubscription."),
    ("^[!-~]+$", "Use only visible ASCII characters, without spaces."),
];

/// The allowed types of a value, in words.
pub fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => named(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(named).collect::<Vec<_>>().join(" or "),
    }
}

fn named(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Integer => "an integer",
        JsonType::Boolean => "true or false",
        JsonType::Array => "an array",
        JsonType::Object => "an object",
        JsonType::String => "a string",
        JsonType::Number => "a number",
        JsonType::Null => "null",
    }
}

/// Whether a pattern is a list of codes.
pub fn lists_codes(pattern: &str) -> bool {
    pattern.starts_with("^(")
}

/// The advice for a value that does not match a pattern.
pub fn pattern(pattern: &str) -> String {
    if pattern == *COUNTRY_PATTERN {
        return "Use an ISO 3166-1 alpha-2 country code in upper case, for example BE.".to_owned();
    }
    if pattern == *CURRENCY_PATTERN {
        return "Use an ISO 4217 currency code in upper case, for example EUR.".to_owned();
    }
    let other = || PATTERNS.iter().find(|(known, _)| *known == pattern).map(|(_, advice)| *advice);
    let of_text = Rule::of_pattern(pattern).map(|rule| rule.advice);
    of_text.or_else(other).map_or_else(|| format!("This must match {pattern}."), str::to_owned)
}

/// The advice for a value that does not match a format.
pub fn format(format: &str) -> String {
    match format {
        "date-time" => "Use an RFC 3339 date and time with an offset, for example 2027-01-31T09:30:00Z.".to_owned(),
        "date" => "Use a valid calendar date, for example 2027-01-31.".to_owned(),
        "uuid" => "Use a UUID as in responses, for example 01990000-0000-7000-8000-000000000000.".to_owned(),
        other => match Rule::formats().find(|(name, _)| *name == other) {
            Some((_, rule)) => rule.advice.to_owned(),
            None => format!("This is not a valid {other}."),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::contract::document::DOCUMENT;

    /// Every schema in a value that has a string at a keyword.
    fn having(keyword: &str, value: &'static Value) -> Vec<&'static Value> {
        let inner: Vec<_> = match value {
            Value::Object(object) => object.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        let own = value[keyword].is_string().then_some(value);
        own.into_iter().chain(inner.into_iter().flat_map(|inner| having(keyword, inner))).collect()
    }

    /// The schemas of everything that clients send: bodies and query parameters.
    fn sent(keyword: &str) -> Vec<&'static Value> {
        let parameters = DOCUMENT.operations.iter().flat_map(|operation| {
            let documented = &DOCUMENT.value["paths"][&operation.path][operation.method.to_lowercase()]["parameters"];
            documented.as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "query")
        });
        let parameters = parameters.flat_map(|parameter| having(keyword, parameter));
        having(keyword, &DOCUMENT.value["components"]["schemas"]).into_iter().chain(parameters).collect()
    }

    #[test]
    fn every_pattern_that_a_client_can_break_has_words_and_an_empty_text_is_too_short_for_it() {
        let all = sent("pattern");
        assert!(all.len() > 50, "{} have a pattern", all.len());
        for schema in all {
            let told = pattern(schema["pattern"].as_str().unwrap_or_default());
            assert!(!told.starts_with("This must match"), "{told}");
            assert!(schema["minLength"].as_u64() >= Some(1), "{schema}");
        }
    }

    #[test]
    fn every_format_has_words() {
        let all = sent("format");
        let texts = all.iter().filter(|schema| Rule::formats().any(|(name, _)| schema["format"] == name)).count();
        assert!(texts > 50, "{texts} are texts");
        let words = |schema: &&Value| format(schema["format"].as_str().unwrap_or_default());
        // Formats of numbers have a detail about their bounds instead.
        let is_number = |schema: &Value| schema["format"].as_str().is_some_and(|format| format.starts_with("int"));
        for schema in all.iter().filter(|schema| !is_number(schema)) {
            assert!(!words(schema).starts_with("This is not a valid"), "{schema}");
        }
    }

    #[test]
    fn every_pattern_is_portable() {
        // Portable patterns are ASCII and contain nothing that ECMA-262, RE2 and PCRE read differently: no classes that
        // depend on Unicode, no escapes of code points, no lookaround, no named groups.
        for schema in having("pattern", &DOCUMENT.value) {
            let pattern = schema["pattern"].as_str().unwrap_or_default();
            assert!(pattern.is_ascii() && !pattern.contains("(?"), "{pattern}");
            assert!(pattern.starts_with('^') && pattern.ends_with('$') && !pattern.contains("[^"), "{pattern}");
            assert!(pattern.replace("\\*", "").find('\\').is_none(), "{pattern}");
        }
    }
}

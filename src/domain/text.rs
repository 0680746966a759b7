//! Texts that a caller writes: each kind is a type, and its rule (length, pattern) stands here once,
//! for the document, for requests and for every other way in.

use std::sync::LazyLock;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// One line: no control characters, and something to see. Kept without spaces around it.
const LINE: Rule = Rule {
    pattern: r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
    advice: "Write one line with something to see on it, without line breaks and other control characters.",
    holds: |text| !text.chars().any(char::is_control) && !is_blank(text),
};

/// Several lines: as [`LINE`], with line breaks and tabs.
const LINES: Rule = Rule {
    pattern: r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
    advice: "Write something to see, without control characters other than line breaks and tabs.",
    holds: |text| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) && !is_blank(text),
};

/// A stable name for machines.
const CODE: Rule = Rule {
    pattern: r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    advice: "Use the letters A to Z and a to z, digits, `.`, `_` and `-`, and begin with a letter or a digit.",
    holds: |text| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    },
};

/// An address with one `@`; whether it receives mail only mail can tell.
const EMAIL: Rule = Rule {
    pattern: r"^[^\s@\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$",
    advice: "Write an email address: something before an `@`, something behind it, and no spaces.",
    holds: |text| {
        !text.contains(|c: char| is_space(c) || c.is_control())
            && matches!(text.split('@').collect::<Vec<_>>()[..], [local, host] if !local.is_empty() && !host.is_empty())
    },
};

/// An address for HTTP, in visible ASCII. What may be called is for [`address`](super::webhook::address) to say.
const URL: Rule = Rule {
    pattern: r"^https?://[!-~]+$",
    advice: "Write a whole address, as `https://receiver.example.com/hooks`, percent-encoded where it is not ASCII.",
    holds: |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
    },
};

/// ISO 3166-1 alpha-2, upper case. The pattern lists the codes, so that a client can check them too.
pub static COUNTRY_PATTERN: LazyLock<String> = LazyLock::new(|| {
    let codes: Vec<_> = celes::Country::get_countries().iter().map(|country| country.alpha2).collect();
    format!("^({})$", codes.join("|"))
});

struct Rule {
    pattern: &'static str,
    /// What would be right, for who has broken it.
    advice: &'static str,
    holds: fn(&str) -> bool,
}

/// What would be right where a text does not match a pattern of these.
#[must_use]
pub fn advice(pattern: &str) -> Option<&'static str> {
    [LINE, LINES, CODE, EMAIL, URL].iter().find(|rule| rule.pattern == pattern).map(|rule| rule.advice)
}

/// White space as ECMA-262 has it, whose `\s` the document's patterns mean.
fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

fn is_blank(text: &str) -> bool {
    text.chars().all(is_space)
}

/// A text broke the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct InvalidText {
    kind: &'static str,
}

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident ($length:expr, $rule:expr $(, $example:literal)?),)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, diesel_derive_newtype::DieselNewType)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                if $length.contains(&text.chars().count()) && ($rule.holds)(&text) {
                    Ok(Self(text.trim().to_owned()))
                } else {
                    Err(InvalidText { kind: stringify!($name) })
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::try_from(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                string_schema($length, $rule.pattern, &[$($example)?])
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

fn string_schema(length: std::ops::RangeInclusive<usize>, pattern: &str, examples: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(*length.start()))
        .max_length(Some(*length.end()))
        .pattern(Some(pattern))
        .examples(examples.iter().copied())
        .into()
}

text! {
    /// Name of a company.
    CompanyName(1..=200, LINE, "Northwind Traders"),
    /// One line of an address, or a name: no one example would do.
    Line(1..=200, LINE),
    /// A postal code as the post writes it.
    PostalCode(1..=20, LINE, "1050"),
    /// An email address.
    Email(3..=254, EMAIL, "ops@northwind.example"),
    /// A telephone number as people write it.
    Phone(1..=40, LINE, "+32 2 555 01 00"),
    /// A telephone extension.
    Extension(1..=20, LINE, "204"),
    /// The caller's own reference of a resource.
    ExternalId(1..=64, LINE, "crm-4711"),
    /// The caller's own reference of an allocation.
    Reference(1..=255, LINE, "certificate 0042"),
    /// Why something was done.
    Reason(1..=500, LINE, "Invoice overdue"),
    /// Stable name of a product or a certificate type.
    Code(1..=64, CODE, "ov-single"),
    /// What a product is, for people.
    Description(1..=2000, LINES, "Organisation-validated certificates"),
    /// A piece of a name to look for; letter case does not matter.
    SearchText(1..=200, LINE, "north"),
    /// What an API key is for.
    KeyName(1..=100, LINE, "Integration"),
    /// Where events are sent.
    WebhookUrl(8..=2048, URL, "https://receiver.example.com/hooks"),
}

/// A country: ISO 3166-1 alpha-2, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Country(celes::Country);

impl From<Country> for &'static str {
    fn from(country: Country) -> Self {
        country.0.alpha2
    }
}

impl TryFrom<String> for Country {
    type Error = InvalidText;

    fn try_from(code: String) -> Result<Self, InvalidText> {
        celes::Country::get_countries()
            .into_iter()
            .find(|country| country.alpha2 == code)
            .map(Self)
            .ok_or(InvalidText { kind: "Country" })
    }
}

impl utoipa::PartialSchema for Country {
    fn schema() -> RefOr<Schema> {
        string_schema(2..=2, &COUNTRY_PATTERN, &["BE"])
    }
}

impl utoipa::ToSchema for Country {}

impl Country {
    /// The alpha-2 code.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.0.alpha2
    }
}

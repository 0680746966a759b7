//! Texts from callers. Each kind is a type with a length and a [`Rule`], which apply to the API document, to requests
//! and to all other sources. `TryFrom<String>` is the only way to create a new value: it normalizes the text (NFC,
//! trimmed) and rejects a text that breaks the rule. Values from the database are not checked again ([`stored`]).

mod rule;
pub mod sort_key;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};

use rule::{CODE, EMAIL, Keyword, LINE, LINES, URL};
pub use rule::{Rule, is_invisible, length};

/// ISO 3166-1 alpha-2, in upper case. The pattern lists all codes, so that a client can check them too.
pub static COUNTRY_PATTERN: LazyLock<String> = LazyLock::new(|| {
    let codes: Vec<_> = celes::Country::get_countries().iter().map(|country| country.alpha2).collect();
    format!("^({})$", codes.join("|"))
});

/// The text breaks the rule of its kind.
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
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                let text = ($rule.read)(&text).filter(|text| $length.contains(&text.chars().count()));
                text.map(Self).ok_or(InvalidText { kind: stringify!($name) })
            }
        }

        impl Stored for $name {
            fn from_stored(text: String) -> Self {
                Self(text)
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
                text_schema($length, &[$($example)?], |schema| match $rule.keyword {
                    Keyword::Format(name) => schema.format(Some(SchemaFormat::Custom(name.to_owned()))),
                    Keyword::Pattern(pattern) => schema.pattern(Some(pattern)),
                })
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

fn text_schema(
    length: std::ops::RangeInclusive<usize>,
    examples: &[&str],
    rule: impl FnOnce(ObjectBuilder) -> ObjectBuilder,
) -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(*length.start()))
        .max_length(Some(*length.end()))
        .examples(examples.iter().copied());
    rule(schema).into()
}

/// A text that was valid when it was stored, perhaps by an older rule.
pub trait Stored {
    /// Creates the value without checking the rule.
    fn from_stored(text: String) -> Self;
}

/// For `deserialize_with` of values that exist only in the database. The current rule does not apply to them, because
/// rows of an older release must stay readable.
///
/// # Errors
/// The value is not a string.
pub fn stored<'de, D: Deserializer<'de>, T: Stored>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer).map(T::from_stored)
}

/// Like [`stored`], but null is allowed.
///
/// # Errors
/// The value is neither a string nor null.
pub fn stored_or_null<'de, D: Deserializer<'de>, T: Stored>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(T::from_stored))
}

text! {
    /// The name of a company.
    CompanyName(1..=200, LINE, "Northwind Traders"),
    /// One line of an address, or a name. There is no example that fits all uses.
    Line(1..=200, LINE),
    /// A postal code, as written by the postal service.
    PostalCode(1..=20, LINE, "1050"),
    /// An email address.
    Email(3..=254, EMAIL, "ops@northwind.example"),
    /// A telephone number, as people write it.
    Phone(1..=40, LINE, "+32 2 555 01 00"),
    /// A telephone extension.
    Extension(1..=20, LINE, "204"),
    /// The caller's reference of a resource.
    ExternalId(1..=64, LINE, "crm-4711"),
    /// The caller's reference of an allocation.
    Reference(1..=255, LINE, "certificate 0042"),
    /// Why an action was taken.
    Reason(1..=500, LINE, "Invoice overdue"),
    /// A stable name of a product or a certificate type.
    Code(1..=64, CODE, "ov-single"),
    /// A description of a product for people.
    Description(1..=2000, LINES, "Organisation-validated certificates"),
    /// A part of a name to search for. Letter case, accents and width are ignored.
    SearchText(1..=200, LINE, "north"),
    /// The purpose of an API key.
    KeyName(1..=100, LINE, "Integration"),
    /// The URL that events are sent to.
    WebhookUrl(8..=2048, URL, "https://receiver.example.com/hooks"),
}

/// A country: ISO 3166-1 alpha-2, in upper case.
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
        // Cached, because `celes` creates the list again for each call.
        static COUNTRIES: LazyLock<HashMap<&str, celes::Country>> = LazyLock::new(|| {
            celes::Country::get_countries().into_iter().map(|country| (country.alpha2, country)).collect()
        });
        COUNTRIES.get(&*code).copied().map(Self).ok_or(InvalidText { kind: "Country" })
    }
}

impl utoipa::PartialSchema for Country {
    fn schema() -> RefOr<Schema> {
        text_schema(2..=2, &["BE"], |schema| schema.pattern(Some(COUNTRY_PATTERN.as_str())))
    }
}

impl utoipa::ToSchema for Country {}

impl Country {
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.0.alpha2
    }
}

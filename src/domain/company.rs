//! What customers and resellers have in common.

use serde::{Deserialize, Serialize};

use super::text::{
    CompanyName, Country, Email, Extension, ExternalId, Line, Phone, PostalCode, stored, stored_or_null,
};

/// A company: the part that customers and resellers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its name.
    pub name: CompanyName,
    /// Where it resides.
    pub address: Address,
    /// Whom to talk to.
    pub contact: Option<Contact>,
    /// The caller's own reference, unique among customers or among resellers.
    pub external_id: Option<ExternalId>,
}

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street address.
    #[serde(deserialize_with = "stored")]
    pub line1: Line,
    /// Street address, continued.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub line2: Option<Line>,
    /// Street address, continued.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub line3: Option<Line>,
    /// City.
    #[serde(deserialize_with = "stored")]
    pub city: Line,
    /// Postal code.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub postal_code: Option<PostalCode>,
    /// State or province.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub state: Option<Line>,
    /// Country.
    pub country: Country,
}

/// A person or desk at a company.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Name.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub name: Option<Line>,
    /// Email address.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub email: Option<Email>,
    /// Telephone.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub phone: Option<Phone>,
    /// Telephone extension.
    #[serde(default, deserialize_with = "stored_or_null")]
    pub extension: Option<Extension>,
}

impl Contact {
    /// The contact, unless nothing is known of it.
    #[must_use]
    pub fn unless_empty(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

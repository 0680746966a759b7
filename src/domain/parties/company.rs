//! The common part of customers and resellers.

use serde::{Deserialize, Serialize};

use crate::domain::label::label;
use crate::domain::text::{
    CompanyName, Country, Email, Extension, ExternalId, Line, Phone, PostalCode, stored, stored_or_null,
};

/// The common part of a customer and a reseller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    pub name: CompanyName,
    pub address: Address,
    pub contact: Option<Contact>,
    /// The caller's reference; unique among customers or among resellers.
    pub external_id: Option<ExternalId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    #[serde(deserialize_with = "stored")]
    pub line1: Line,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub line2: Option<Line>,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub line3: Option<Line>,
    #[serde(deserialize_with = "stored")]
    pub city: Line,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub postal_code: Option<PostalCode>,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub state: Option<Line>,
    pub country: Country,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    #[serde(default, deserialize_with = "stored_or_null")]
    pub name: Option<Line>,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub email: Option<Email>,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub phone: Option<Phone>,
    #[serde(default, deserialize_with = "stored_or_null")]
    pub extension: Option<Extension>,
}

impl Contact {
    /// Returns the contact; `None` if all its fields are empty.
    #[must_use]
    pub fn unless_empty(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

label! {
    /// Sort order of companies: by name or by creation, descending with `-`. Rows with the same value are sorted by id.
    CompanySort {
        NameAscending = "company_name",
        NameDescending = "-company_name",
        CreatedAscending = "created_at",
        CreatedDescending = "-created_at",
    }
}

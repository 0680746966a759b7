//! What customers and resellers have in common.

use serde::{Deserialize, Serialize};

use super::text::{CompanyName, Country, Email, Extension, ExternalId, Line, Phone, PostalCode};

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
    pub line1: Line,
    /// Street address, continued.
    pub line2: Option<Line>,
    /// Street address, continued.
    pub line3: Option<Line>,
    /// City.
    pub city: Line,
    /// Postal code.
    pub postal_code: Option<PostalCode>,
    /// State or province.
    pub state: Option<Line>,
    /// Country.
    pub country: Country,
}

/// A person or desk at a company.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Name.
    pub name: Option<Line>,
    /// Email address.
    pub email: Option<Email>,
    /// Telephone.
    pub phone: Option<Phone>,
    /// Telephone extension.
    pub extension: Option<Extension>,
}

impl Contact {
    /// The contact, unless nothing is known of it.
    #[must_use]
    pub fn unless_empty(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

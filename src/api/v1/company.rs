//! The common parts of requests and responses about customers and resellers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clearable;
use crate::domain::parties::company::{self, Company};
use crate::domain::text::{CompanyName, Country, Email, Extension, ExternalId, Line, Phone, PostalCode};

/// A postal address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressCreate {
    /// Street address.
    pub line1: Line,
    /// Street address, continued.
    #[schema(nullable = false)]
    pub line2: Option<Line>,
    /// Street address, continued.
    #[schema(nullable = false)]
    pub line3: Option<Line>,
    /// City.
    pub city: Line,
    /// Postal code.
    #[schema(nullable = false)]
    pub postal_code: Option<PostalCode>,
    /// State or province.
    #[schema(nullable = false)]
    pub state: Option<Line>,
    /// Country, ISO 3166-1 alpha-2, upper case.
    pub country: Country,
}

/// The contact at the company.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactCreate {
    /// Name.
    #[schema(nullable = false)]
    pub name: Option<Line>,
    /// Email address.
    #[schema(nullable = false)]
    pub email: Option<Email>,
    /// Telephone number.
    #[schema(nullable = false)]
    pub phone: Option<Phone>,
    /// Telephone extension.
    #[schema(nullable = false)]
    pub extension: Option<Extension>,
}

/// Changes of an address. Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressPatch {
    /// Street address.
    #[schema(nullable = false)]
    pub line1: Option<Line>,
    /// Street address, continued.
    #[serde(default, deserialize_with = "clearable")]
    pub line2: Option<Option<Line>>,
    /// Street address, continued.
    #[serde(default, deserialize_with = "clearable")]
    pub line3: Option<Option<Line>>,
    /// City.
    #[schema(nullable = false)]
    pub city: Option<Line>,
    /// Postal code.
    #[serde(default, deserialize_with = "clearable")]
    pub postal_code: Option<Option<PostalCode>>,
    /// State or province.
    #[serde(default, deserialize_with = "clearable")]
    pub state: Option<Option<Line>>,
    /// Country, ISO 3166-1 alpha-2, upper case.
    #[schema(nullable = false)]
    pub country: Option<Country>,
}

/// Changes of a contact. Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactPatch {
    /// Name.
    #[serde(default, deserialize_with = "clearable")]
    pub name: Option<Option<Line>>,
    /// Email address.
    #[serde(default, deserialize_with = "clearable")]
    pub email: Option<Option<Email>>,
    /// Telephone number.
    #[serde(default, deserialize_with = "clearable")]
    pub phone: Option<Option<Phone>>,
    /// Telephone extension.
    #[serde(default, deserialize_with = "clearable")]
    pub extension: Option<Option<Extension>>,
}

/// A postal address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "line1": "12 Harbour Street", "line2": null, "line3": null, "city": "Brussels", "state": null }))]
pub struct Address {
    /// Street address.
    pub line1: Line,
    /// Street address, continued.
    #[schema(required)]
    pub line2: Option<Line>,
    /// Street address, continued.
    #[schema(required)]
    pub line3: Option<Line>,
    /// City.
    pub city: Line,
    /// Postal code.
    #[schema(required)]
    pub postal_code: Option<PostalCode>,
    /// State or province.
    #[schema(required)]
    pub state: Option<Line>,
    /// Country, ISO 3166-1 alpha-2, upper case.
    pub country: Country,
}

/// The contact at the company.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "Grace Claes", "email": "grace@northwind.example", "extension": null }))]
pub struct Contact {
    /// Name.
    #[schema(required)]
    pub name: Option<Line>,
    /// Email address.
    #[schema(required)]
    pub email: Option<Email>,
    /// Telephone number.
    #[schema(required)]
    pub phone: Option<Phone>,
    /// Telephone extension.
    #[schema(required)]
    pub extension: Option<Extension>,
}

impl From<AddressCreate> for company::Address {
    fn from(address: AddressCreate) -> Self {
        let AddressCreate { line1, line2, line3, city, postal_code, state, country } = address;
        Self { line1, line2, line3, city, postal_code, state, country }
    }
}

impl From<ContactCreate> for company::Contact {
    fn from(contact: ContactCreate) -> Self {
        let ContactCreate { name, email, phone, extension } = contact;
        Self { name, email, phone, extension }
    }
}

impl From<&company::Address> for Address {
    fn from(address: &company::Address) -> Self {
        let company::Address { line1, line2, line3, city, postal_code, state, country } = address.clone();
        Self { line1, line2, line3, city, postal_code, state, country }
    }
}

impl From<&company::Contact> for Contact {
    fn from(contact: &company::Contact) -> Self {
        let company::Contact { name, email, phone, extension } = contact.clone();
        Self { name, email, phone, extension }
    }
}

/// The company of a new customer or reseller.
pub fn create(
    name: CompanyName,
    address: AddressCreate,
    contact: Option<ContactCreate>,
    external_id: Option<ExternalId>,
) -> Company {
    let contact = contact.map(company::Contact::from).and_then(company::Contact::unless_empty);
    Company { name, address: address.into(), contact, external_id }
}

/// Returns the company after a merge patch. Omitted fields stay unchanged, null clears a field.
pub fn patch(
    to: Company,
    name: Option<CompanyName>,
    address: Option<AddressPatch>,
    contact: Option<Option<ContactPatch>>,
    external_id: Option<Option<ExternalId>>,
) -> Company {
    Company {
        name: name.unwrap_or(to.name),
        address: match address {
            None => to.address,
            Some(patch) => patch.apply(to.address),
        },
        contact: match contact {
            None => to.contact,
            Some(None) => None,
            Some(Some(patch)) => patch.apply(to.contact),
        },
        external_id: external_id.unwrap_or(to.external_id),
    }
}

impl AddressPatch {
    /// The address with the changes.
    #[must_use]
    pub fn apply(self, to: company::Address) -> company::Address {
        company::Address {
            line1: self.line1.unwrap_or(to.line1),
            line2: self.line2.unwrap_or(to.line2),
            line3: self.line3.unwrap_or(to.line3),
            city: self.city.unwrap_or(to.city),
            postal_code: self.postal_code.unwrap_or(to.postal_code),
            state: self.state.unwrap_or(to.state),
            country: self.country.unwrap_or(to.country),
        }
    }
}

impl ContactPatch {
    /// The contact with the changes; `None` if all its fields are empty.
    #[must_use]
    pub fn apply(self, to: Option<company::Contact>) -> Option<company::Contact> {
        let to = to.unwrap_or_default();
        let contact = company::Contact {
            name: self.name.unwrap_or(to.name),
            email: self.email.unwrap_or(to.email),
            phone: self.phone.unwrap_or(to.phone),
            extension: self.extension.unwrap_or(to.extension),
        };
        contact.unless_empty()
    }
}

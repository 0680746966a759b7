//! Money: integer minor units of one currency, never a float.

use std::io::Write;
use std::sync::LazyLock;

use diesel::deserialize::FromSql;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{IsNull, Output, ToSql};
use diesel::sql_types::Text;
use iso_currency::{Flag, IntoEnumIterator};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::domain::refusal::{Violation, ViolationCode};

/// The maximum amount in both directions, in minor units: 2^53 − 1, which every JSON client can represent.
pub const MAX_AMOUNT: i64 = 9_007_199_254_740_991;

/// The maximum price of one certificate for a whole term, in minor units.
pub const MAX_UNIT_PRICE: i64 = 999_999_999_999;

/// ISO 4217, in upper case. The pattern lists all codes, so that a client can check them too.
pub static CURRENCY_PATTERN: LazyLock<String> = LazyLock::new(|| {
    let codes: Vec<_> = iso_currency::Currency::iter().filter(is_legal_tender).map(|c| c.code()).collect();
    format!("^({})$", codes.join("|"))
});

/// ISO 4217 also lists metals, test codes and units of account. They have no minor unit.
fn is_legal_tender(currency: &iso_currency::Currency) -> bool {
    currency.exponent().is_some()
}

/// `iso_currency` 0.7 treats the bolívar as withdrawn. Both of its codes, VES and VED, are in list one of ISO 4217 as
/// of 2026-01-01. All other codes have the correct flags as of that day.
const MISFLAGGED: iso_currency::Currency = iso_currency::Currency::VES;

/// A currency: ISO 4217.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = Text)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Currency(iso_currency::Currency);

/// The code is not a currency with minor units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 4217 currency with minor units")]
pub struct UnknownCurrency(String);

impl Currency {
    /// The code, for example `EUR`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Whether new prices and customers can use the currency: it is in circulation, not withdrawn and not a fund code.
    /// Stored values in other currencies stay valid.
    #[must_use]
    pub fn is_in_use(self) -> bool {
        self.0.flags().is_empty() || self.0 == MISFLAGGED
    }

    /// Returns the violation if a new value must not use this currency.
    pub(super) fn refused(self, pointer: impl Into<String>) -> Option<Violation> {
        let detail = || {
            let successor = self.0.flags().iter().find_map(|flag| match flag {
                Flag::Superseded(successor) => Some(successor.code()),
                _ => None,
            });
            match successor {
                Some(successor) => format!("{self} was withdrawn from ISO 4217. Use {successor}."),
                None => {
                    format!(
                        "{self} is a fund code or a unit of account, not a currency in circulation. Use another \
                         currency."
                    )
                }
            }
        };
        (!self.is_in_use()).then(|| Violation::new(pointer, ViolationCode::NotAllowed, detail()))
    }

    /// The number of decimal places of an amount: 2 for USD, 0 for JPY.
    #[must_use]
    pub fn minor_digits(self) -> usize {
        self.0.exponent().map_or(0, usize::from)
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl From<Currency> for &'static str {
    fn from(currency: Currency) -> Self {
        currency.code()
    }
}

impl std::str::FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(is_legal_tender)
            .map(Self)
            .ok_or_else(|| UnknownCurrency(code.to_owned()))
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(code: String) -> Result<Self, UnknownCurrency> {
        code.parse()
    }
}

impl ToSql<Text, Pg> for Currency {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> diesel::serialize::Result {
        out.write_all(self.code().as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Text, Pg> for Currency {
    fn from_sql(bytes: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        Ok(std::str::from_utf8(bytes.as_bytes())?.parse()?)
    }
}

impl utoipa::PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(3))
            .max_length(Some(3))
            .pattern(Some(CURRENCY_PATTERN.as_str()))
            .examples(["EUR"])
            .into()
    }
}

impl utoipa::ToSchema for Currency {}

/// An amount in integer minor units (cents, or whole yen) of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Money {
    /// Minor units, within ±[`MAX_AMOUNT`].
    pub amount: i64,
    pub currency: Currency,
}

/// The form for people: `USD 1,234.50`, `JPY 1,234`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.currency.minor_digits();
        // At least one digit before the decimal point.
        let text = format!("{:0>width$}", self.amount.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = text.split_at(text.len() - digits);
        let sign = if self.amount < 0 { "-" } else { "" };
        write!(f, "{} {sign}", self.currency)?;
        for (index, digit) in whole.chars().enumerate() {
            let separator = if index > 0 && (whole.len() - index) % 3 == 0 { "," } else { "" };
            write!(f, "{separator}{digit}")?;
        }
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction}") }
    }
}

/// The amount exceeds ±[`MAX_AMOUNT`] minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is out of range")]
pub struct AmountOutOfRange;

/// Returns the amount if it is in range.
///
/// # Errors
/// [`AmountOutOfRange`] beyond ±[`MAX_AMOUNT`].
pub fn in_range(amount: i128) -> Result<i64, AmountOutOfRange> {
    i64::try_from(amount).ok().filter(|amount| (-MAX_AMOUNT..=MAX_AMOUNT).contains(amount)).ok_or(AmountOutOfRange)
}

/// Returns the sum of the amounts.
///
/// # Errors
/// [`AmountOutOfRange`] if the sum is beyond ±[`MAX_AMOUNT`].
pub fn total(amounts: impl IntoIterator<Item = i64>) -> Result<i64, AmountOutOfRange> {
    in_range(amounts.into_iter().map(i128::from).sum())
}

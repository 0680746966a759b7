//! Money in requests and responses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::money::{self, Currency};

/// An amount in integer minor units: cents, or whole yen.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Money {
    /// The amount in minor units.
    #[schema(minimum = -9_007_199_254_740_991_i64, maximum = 9_007_199_254_740_991_i64, example = 74589)]
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

/// A price in integer minor units: cents, or whole yen.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceAmount {
    /// The price in minor units.
    #[schema(minimum = 0, maximum = 999_999_999_999_i64, example = 9900)]
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self { amount: money.amount, currency: money.currency }
    }
}

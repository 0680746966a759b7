//! Money: sums in range, and currencies.

use partner_platform::domain::money::{AmountOutOfRange, Currency, MAX_AMOUNT, Money, total};
use proptest::prelude::*;

#[test]
fn a_sum_up_to_the_limit_is_exact() {
    assert_eq!(total([MAX_AMOUNT - 1, 1]), Ok(MAX_AMOUNT));
    assert_eq!(total([]), Ok(0));
}

#[test]
fn a_sum_beyond_the_limit_is_out_of_range() {
    assert_eq!(total([MAX_AMOUNT, 1]), Err(AmountOutOfRange));
    assert_eq!(total([i64::MAX; 4]), Err(AmountOutOfRange));
}

#[test]
fn a_sum_may_pass_the_limit_on_the_way() {
    assert_eq!(total([MAX_AMOUNT, 5, -10]), Ok(MAX_AMOUNT - 5));
}

#[test]
fn an_amount_is_read_in_the_units_of_its_currency() {
    for (amount, currency, expected) in [
        (0, "USD", "USD 0.00"),
        (5, "USD", "USD 0.05"),
        (123_456, "EUR", "EUR 1,234.56"),
        (100_000, "EUR", "EUR 1,000.00"),
        (99_999, "EUR", "EUR 999.99"),
        (123_456, "JPY", "JPY 123,456"),
        (7, "JPY", "JPY 7"),
        (1_234_567, "KWD", "KWD 1,234.567"),
        (-123_456, "USD", "USD -1,234.56"),
        (MAX_AMOUNT, "USD", "USD 90,071,992,547,409.91"),
    ] {
        assert_eq!(Money { amount, currency: currency.parse().unwrap() }.to_string(), expected);
    }
}

#[test]
fn metals_and_test_codes_are_no_currencies() {
    for code in ["XAU", "XTS", "XXX", "usd", "US", ""] {
        assert!(code.parse::<Currency>().is_err(), "{code}");
    }
}

proptest! {
    #[test]
    fn a_sum_is_exact_or_out_of_range(amounts in prop::collection::vec(-MAX_AMOUNT..=MAX_AMOUNT, 0..8)) {
        let exact = amounts.iter().try_fold(0_i64, |sum, amount| sum.checked_add(*amount)).unwrap();
        prop_assert_eq!(total(amounts).ok(), Some(exact).filter(|sum| (-MAX_AMOUNT..=MAX_AMOUNT).contains(sum)));
    }
}

//! Money: sums in range, and currencies.

use partner_platform::domain::money::{AmountOutOfRange, Currency, MAX_AMOUNT, total};
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

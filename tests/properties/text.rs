//! Texts: the check in the service and the schema in the document accept the same.

use std::fmt::Debug;
use std::str::FromStr;

use jsonschema::Validator;
use partner_platform::domain::money::Currency;
use partner_platform::domain::text::{
    Code, CompanyName, Country, Description, Email, Extension, ExternalId, KeyName, Line, Phone, PostalCode, Reason,
    Reference, SearchText, WebhookUrl,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use utoipa::PartialSchema;

use crate::samples::text;

fn schema<T: PartialSchema>() -> Validator {
    jsonschema::validator_for(&serde_json::to_value(T::schema()).unwrap()).unwrap()
}

/// Short texts of the characters that rules speak of, texts of any characters, and texts about as
/// long as a limit.
fn any_text() -> impl Strategy<Value = String> {
    let telling = prop::sample::select(
        "aZ09 ._-@+\t\n\r\u{b}\0\u{7f}\u{85}\u{a0}\u{2003}\u{2028}\u{feff}\u{200b}é漢😀".chars().collect::<Vec<_>>(),
    );
    let limit = prop::sample::select(vec![2, 3, 20, 40, 64, 100, 200, 254, 255, 500, 2000]);
    let long = (limit, 0..3_usize, prop::sample::select(vec!["a", "é", "😀", "a@", " "]));
    prop_oneof![
        6 => prop::collection::vec(telling, 0..7).prop_map(String::from_iter),
        2 => prop::collection::vec(any::<char>(), 0..7).prop_map(String::from_iter),
        1 => "[a-z0-9]{1,3}@[a-z.]{1,3}",
        3 => long.prop_map(|(limit, more, text)| text.repeat(limit).chars().take(limit + more - 1).collect()),
    ]
}

/// Finds a text on which the type and its schema disagree, and checks that what is accepted is kept
/// without spaces around it and accepted again.
fn agree<T>(strategy: impl Strategy<Value = String>)
where
    T: TryFrom<String, Error: Debug> + PartialSchema + serde::Serialize,
{
    let schema = schema::<T>();
    let check = |text: String| {
        let kept = T::try_from(text.clone());
        prop_assert_eq!(kept.is_ok(), schema.is_valid(&json!(text)), "{:?}", text);
        if let Ok(kept) = kept {
            let kept = json!(kept);
            prop_assert_eq!(&kept, &json!(text.trim()));
            prop_assert!(schema.is_valid(&kept), "{:?} is kept as {}", text, kept);
        }
        Ok(())
    };
    TestRunner::new(Config { failure_persistence: None, ..Config::default() }).run(&strategy, check).unwrap();
}

/// A test for each kind of text.
macro_rules! kinds {
    ($($name:ident: $kind:ty,)+) => {$(
        #[test]
        fn $name() {
            agree::<$kind>(any_text());
        }
    )+};
}

kinds! {
    a_company_name_is_what_its_schema_says: CompanyName,
    a_line_is_what_its_schema_says: Line,
    a_postal_code_is_what_its_schema_says: PostalCode,
    an_email_is_what_its_schema_says: Email,
    a_phone_is_what_its_schema_says: Phone,
    an_extension_is_what_its_schema_says: Extension,
    an_external_id_is_what_its_schema_says: ExternalId,
    a_reference_is_what_its_schema_says: Reference,
    a_reason_is_what_its_schema_says: Reason,
    a_code_is_what_its_schema_says: Code,
    a_description_is_what_its_schema_says: Description,
    a_search_text_is_what_its_schema_says: SearchText,
    a_key_name_is_what_its_schema_says: KeyName,
}

/// The lengths of a kind, and what it accepts of a space, a line break and an at sign in the middle.
fn shape<T: TryFrom<String> + PartialSchema>() -> String {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let kind = std::any::type_name::<T>().rsplit("::").next().unwrap();
    let takes = |text: &str| {
        if T::try_from(text.to_owned()).is_ok() { text.escape_debug().to_string() } else { "-".to_owned() }
    };
    let taken = ["ab cd", "ab\ncd", "ab@cd"].map(takes).join(", ");
    format!("{kind} {}..{}: {taken}", schema["minLength"], schema["maxLength"])
}

#[test]
fn each_kind_has_its_length_and_shape() {
    let people =
        [shape::<CompanyName>(), shape::<Line>(), shape::<PostalCode>(), shape::<Phone>(), shape::<Extension>()];
    let callers =
        [shape::<ExternalId>(), shape::<Reference>(), shape::<Reason>(), shape::<SearchText>(), shape::<KeyName>()];
    let others = [shape::<Email>(), shape::<Code>(), shape::<Description>(), shape::<Country>()];
    insta::assert_snapshot!([people.join("\n"), callers.join("\n"), others.join("\n")].join("\n"));
}

#[test]
fn a_webhook_url_is_what_its_schema_says() {
    agree::<WebhookUrl>(prop_oneof![any_text(), "https?:/?/[!-~é ]{0,3}", "HTTP://[a-z]", "https://a{2035,2045}"]);
    assert_eq!(
        accepts::<WebhookUrl>(&["https://a", "http://a:1/b?c#d", "https://", "ftp://a", "//a", "https://a b"]),
        [true, true, false, false, false, false]
    );
}

#[test]
fn a_country_is_one_of_those_that_its_schema_lists() {
    agree::<Country>(prop_oneof!["[A-Z]{2}", "[A-Za-z]{1,3}", "[A-Z]{2}[ \n]"]);
    assert!(Country::try_from("BE".to_owned()).is_ok());
}

#[test]
fn a_currency_is_one_of_those_that_its_schema_lists() {
    let listed = serde_json::to_value(Currency::schema()).unwrap()["pattern"].as_str().unwrap().to_owned();
    let codes = listed.trim_matches(['^', '$', '(', ')']).split('|').map(str::to_owned).collect::<Vec<_>>();
    assert!(codes.len() > 150, "only {codes:?}");
    agree::<Currency>(prop_oneof![prop::sample::select(codes), "[A-Z]{3}", "[A-Za-z]{2,4}"]);
}

fn accepts<T: FromStr<Err: Debug>>(texts: &[&str]) -> Vec<bool> {
    texts.iter().map(|text| text.parse::<T>().is_ok()).collect()
}

#[test]
fn a_line_is_kept_without_spaces_around_it() {
    assert_eq!(text::<CompanyName>("  Northwind Traders ").as_str(), "Northwind Traders");
}

#[test]
fn a_line_has_something_to_see_and_no_control_characters() {
    assert_eq!(
        accepts::<Line>(&["a", "Łódź", "", " ", "\u{feff}", "a\nb", "a\u{85}b"]),
        [true, true, false, false, false, false, false]
    );
}

#[test]
fn a_description_has_line_breaks_and_tabs() {
    assert_eq!(accepts::<Description>(&["a\r\n\tb", "\n", "a\u{b}b"]), [true, false, false]);
}

#[test]
fn a_name_has_up_to_200_characters_however_many_bytes() {
    assert_eq!(accepts::<CompanyName>(&[&"漢".repeat(200), &"漢".repeat(201)]), [true, false]);
}

#[test]
fn a_code_is_letters_digits_and_three_signs() {
    assert_eq!(accepts::<Code>(&["ov-single", "A.1_b", "-ov", "o v", "öv"]), [true, true, false, false, false]);
}

#[test]
fn an_email_has_one_at_sign_and_something_on_both_sides() {
    assert_eq!(accepts::<Email>(&["a@b", "a@b@c", "@b", "a@", "a b@c"]), [true, false, false, false, false]);
}

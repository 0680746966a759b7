//! Texts: the check in the service and the schema in the document accept the same texts.

use std::fmt::Debug;
use std::str::FromStr;

use jsonschema::Validator;
use partner_platform::api::contract::schema::compile;
use partner_platform::domain::money::Currency;
use partner_platform::domain::text::{
    Code, CompanyName, Country, Description, Email, Extension, ExternalId, KeyName, Line, Phone, PostalCode, Reason,
    Reference, SearchText, WebhookUrl, is_invisible, sort_key,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use utoipa::PartialSchema;

use crate::samples::text;

fn schema<T: PartialSchema>() -> Validator {
    compile(serde_json::to_value(T::schema()).unwrap()).unwrap()
}

/// Short texts of the characters that rules mention, texts of any characters, and texts with about the maximum length.
fn any_text() -> impl Strategy<Value = String> {
    let telling = prop::sample::select(
        "aZ09 ._-@+\t\n\r\u{b}\0\u{7f}\u{85}\u{a0}\u{2003}\u{2028}\u{feff}\u{200b}\u{200d}\u{202e}\u{2067}\u{2800}\u{3164}\
         \u{fe0f}\u{301}\u{958}\u{fdd0}\u{e0041}é漢😀"
            .chars()
            .collect::<Vec<_>>(),
    );
    let limit = prop::sample::select(vec![2, 3, 20, 40, 64, 100, 200, 254, 255, 500, 2000]);
    // Normalization makes the last two shorter and longer.
    let long = (limit, 0..3_usize, prop::sample::select(vec!["a", "é", "😀", "a@", " ", "e\u{301}", "\u{958}"]));
    prop_oneof![
        6 => prop::collection::vec(telling, 0..7).prop_map(String::from_iter),
        2 => prop::collection::vec(any::<char>(), 0..7).prop_map(String::from_iter),
        1 => "[a-z0-9]{1,3}@[a-z.]{1,3}",
        3 => long.prop_map(|(limit, more, text)| text.repeat(limit).chars().take(limit + more - 1).collect()),
    ]
}

/// Finds a text on which the type and the check of requests disagree. Also checks that an accepted text is stored in
/// NFC, within its length limits, with visible characters at both ends, and is accepted again unchanged.
fn agree<T>(strategy: impl Strategy<Value = String>)
where
    T: TryFrom<String, Error: Debug> + PartialSchema + serde::Serialize,
{
    let document = serde_json::to_value(T::schema()).unwrap();
    let limit = |keyword: &str| usize::try_from(document[keyword].as_u64().unwrap()).unwrap();
    let limits = limit("minLength")..=limit("maxLength");
    let schema = schema::<T>();
    let check = |text: String| {
        let kept = T::try_from(text.clone());
        prop_assert_eq!(kept.is_ok(), schema.is_valid(&json!(text)), "{:?}", text);
        if let Ok(kept) = kept {
            let kept = json!(kept).as_str().unwrap().to_owned();
            prop_assert_eq!(&kept, &nfc(&kept));
            prop_assert!(nfc(&text).contains(&kept), "{:?} is kept as {:?}", text, kept);
            prop_assert!(limits.contains(&kept.chars().count()), "{:?} is kept as {:?}", text, kept);
            let ends = [kept.chars().next(), kept.trim_end_matches('\u{fe0f}').chars().next_back()];
            prop_assert!(ends.into_iter().flatten().all(|c| !is_invisible(c)), "{:?} is kept as {:?}", text, kept);
            prop_assert!(schema.is_valid(&json!(kept)), "{:?} is kept as {:?}", text, kept);
            let again = json!(T::try_from(kept.clone()).unwrap());
            prop_assert_eq!(again, json!(kept));
        }
        Ok(())
    };
    TestRunner::new(Config { failure_persistence: None, ..Config::default() }).run(&strategy, check).unwrap();
}

fn nfc(text: &str) -> String {
    icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
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

/// The lengths of a kind, and whether it accepts a space, a line break and an at sign in the middle.
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
fn new_prices_and_customers_use_currencies_in_circulation() {
    let in_use = |codes: &[&str]| codes.iter().map(|code| text::<Currency>(code).is_in_use()).collect::<Vec<_>>();
    for code in
        ["BGN", "HRK", "SLL", "ZWL", "CUC", "BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAD"]
    {
        assert_eq!(in_use(&[code]), [false], "{code}");
    }
    for code in ["EUR", "USD", "JPY", "SLE", "ZWG", "CUP", "VES", "VED", "XCG", "XOF", "XPF", "CLP", "UYU"] {
        assert_eq!(in_use(&[code]), [true], "{code}");
    }
    assert_eq!(accepts::<Currency>(&["XXX", "XSU", "XAU", "DEM"]), [false; 4]);
}

#[test]
fn a_line_is_stored_in_nfc_without_invisible_characters_around_it() {
    for (given, stored) in [
        ("  Northwind Traders ", "Northwind Traders"),
        ("\u{feff}\u{200b}Acme\u{3164}\u{2800}", "Acme"),
        ("Zu\u{308}rich", "Zürich"),
        ("\u{1112}\u{1161}\u{11ab}", "한"),
        ("\u{212b}", "Å"),
        ("Acme\u{e0041}\u{e0042}", "Acme"),
        ("I ❤\u{fe0f}", "I ❤\u{fe0f}"),
        ("👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
        ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ("क्\u{200d}ष", "क्\u{200d}ष"),
        ("שלום \u{200f}עולם", "שלום \u{200f}עולם"),
    ] {
        assert_eq!(text::<CompanyName>(given).as_str(), stored, "{given:?}");
    }
}

#[test]
fn a_line_has_a_visible_character_and_no_control_characters() {
    assert_eq!(
        accepts::<Line>(&["a", "Łódź", "", " ", "\u{feff}", "a\nb", "a\u{85}b"]),
        [true, true, false, false, false, false, false]
    );
}

#[test]
fn a_text_of_invisible_characters_alone_is_rejected() {
    let invisible = [
        "\u{ad}",
        "\u{34f}",
        "\u{61c}",
        "\u{115f}",
        "\u{1160}",
        "\u{17b4}",
        "\u{180e}",
        "\u{200b}",
        "\u{200c}",
        "\u{200d}",
        "\u{200e}",
        "\u{2060}",
        "\u{2063}",
        "\u{206a}",
        "\u{2800}",
        "\u{3164}",
        "\u{fe0f}",
        "\u{feff}",
        "\u{ffa0}",
        "\u{fff9}",
        "\u{1d159}",
        "\u{1d173}",
        "\u{e0001}",
        "\u{e0041}",
        "\u{e0100}",
        "\u{3000}",
    ];
    for text in invisible {
        let repeated = format!("{text} {text}");
        assert_eq!(accepts::<Line>(&[text, &repeated]), [false, false], "{text:?}");
        assert_eq!(accepts::<Description>(&[text, &repeated]), [false, false], "{text:?}");
        assert_eq!(accepts::<Email>(&[&format!("{text}@{text}"), &format!("a@{text}")]), [false, false], "{text:?}");
    }
}

#[test]
fn characters_that_change_the_direction_and_noncharacters_are_rejected_anywhere() {
    let bidirectional = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    for c in bidirectional.chain(['\u{fdd0}', '\u{fffe}', '\u{ffff}', '\u{10ffff}', '\0', '\u{1b}', '\u{9f}']) {
        for text in [format!("a{c}b"), format!("{c}ab"), format!("ab{c}")] {
            assert_eq!(accepts::<Line>(&[&text]), [false], "{text:?}");
            assert_eq!(accepts::<Description>(&[&text]), [false], "{text:?}");
            assert_eq!(accepts::<Email>(&[&format!("{text}@b")]), [false], "{text:?}");
        }
    }
    for c in ['\u{2028}', '\u{2029}'] {
        assert_eq!(accepts::<Line>(&[&format!("a{c}b"), &format!("ab{c}")]), [false, false], "{c:?}");
    }
}

#[test]
fn the_length_counts_after_normalization() {
    let decomposed = "e\u{301}".repeat(200);
    assert_eq!(text::<CompanyName>(&decomposed).as_str(), "é".repeat(200));
    let padded = format!("{}{}{}", " ".repeat(50), "a".repeat(200), "\u{200b}".repeat(50));
    assert_eq!(text::<CompanyName>(&padded).as_str(), "a".repeat(200));
    // NFC decomposes this letter.
    assert_eq!(accepts::<CompanyName>(&[&"\u{958}".repeat(100), &"\u{958}".repeat(101)]), [true, false]);
}

#[test]
fn a_sort_key_ignores_case_accents_and_width() {
    for (name, key) in [
        ("apple", "apple"),
        ("Äpfel", "apfel"),
        ("ÁPPLE", "apple"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Ｓｔｒａｓｓｅ", "strasse"),
        ("ＡＣＭＥ", "acme"),
        ("İstanbul", "istanbul"),
        ("Ísland ﬁnance", "island finance"),
        ("Łódź", "lodz"),
        ("Ørsted Æro", "orsted aero"),
        ("ΠΑΡΊΣΙΟΣ", "παρισιοσ"),
        ("παρίσιος", "παρισιοσ"),
        ("ЙОГ", "иог"),
        ("ｶﾞ", "カ"),
        ("ガ", "カ"),
        ("a\u{200b}b\u{ad}c", "abc"),
        ("100% _ \\", "100% _ \\"),
        ("日本", "日本"),
    ] {
        assert_eq!(sort_key::of(name), key, "{name}");
        assert_eq!(sort_key::of(&nfc(name)), key, "{name}");
        let nfd = icu_normalizer::DecomposingNormalizerBorrowed::new_nfd();
        assert_eq!(sort_key::of(&nfd.normalize(name)), key, "{name}");
    }
}

#[test]
fn names_interleave_whatever_their_accents() {
    let mut names = ["zoo", "Émile", "apple", "eagle", "Äpfel", "ábc", "Zürich", "emil", "ÁPPLET"];
    names.sort_by_key(|name| sort_key::of(name));
    assert_eq!(names, ["ábc", "Äpfel", "apple", "ÁPPLET", "eagle", "emil", "Émile", "zoo", "Zürich"]);
}

proptest! {
    #[test]
    fn a_piece_of_a_name_is_a_piece_of_its_key(before in any_text(), piece in any_text(), after in any_text()) {
        let whole = sort_key::of(&format!("{before}{piece}{after}"));
        prop_assert!(whole.contains(&sort_key::of(&piece)), "{:?} in {:?}", piece, whole);
    }

    #[test]
    fn a_sort_key_is_the_key_of_itself_and_of_every_form_of_the_name(name in any_text()) {
        let key = sort_key::of(&name);
        prop_assert_eq!(&sort_key::of(&key), &key);
        prop_assert_eq!(&sort_key::of(&nfc(&name)), &key);
        prop_assert_eq!(&sort_key::of(&name.to_lowercase()), &key);
        prop_assert_eq!(&sort_key::of(&icu_casemap::CaseMapper::new().fold_string(&name)), &key);
    }
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
fn an_email_begins_and_ends_with_something_visible() {
    for text in ["a@a\u{200d}", "\u{200c}a@a"] {
        Email::try_from(text.to_owned()).unwrap_err();
    }
    Email::try_from("a\u{200d}b@a.example".to_owned()).unwrap();
}

#[test]
fn an_email_has_one_at_sign_and_something_on_both_sides() {
    assert_eq!(accepts::<Email>(&["a@b", "a@b@c", "@b", "a@", "a b@c"]), [true, false, false, false, false]);
}

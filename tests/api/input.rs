//! Invalid input: what each field accepts and rejects. All problems are reported together, and a rejected request
//! changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id, product};
use crate::support::{Answer, Client};

/// A request, and the place of a field in it.
struct Field {
    path: String,
    method: Method,
    body: Value,
    /// All places that must have the same value. The first is also looked up in the response.
    at: &'static [&'static str],
    answer: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Line(usize),
    Lines(usize),
    Code,
    Email,
    Country,
    Currency,
}

/// A text, and the codes of the errors for it; empty if it is accepted.
type Case = (String, &'static [&'static str]);

impl Kind {
    fn cases(self) -> Vec<Case> {
        match self {
            Self::Line(most) => line(most),
            // Like a line, except for line breaks and tabs.
            Self::Lines(most) => line(most)
                .into_iter()
                .map(|(text, codes)| if text.contains(['\n', '\r', '\t']) { (text, &[][..]) } else { (text, codes) })
                .chain(all(&["\n\t\n"], &["invalid_format"]))
                .collect(),
            Self::Code => [
                all(&["9", "A", "a.b_c-d", "0-", &"x".repeat(64)], &[]),
                all(&[&"x".repeat(65)], &["too_long"]),
                all(&["é", "a b", "a\n", " a", "-a", ".a", "_a", "😀", "a\0", "a\u{feff}", "א"], &["invalid_format"]),
                all(&[""], &["too_short"]),
            ]
            .concat(),
            Self::Email => [
                all(&["a@b", "a+b@c.example", "grüße@例え.example", &format!("{}@b", "x".repeat(252))], &[]),
                all(&[&format!("{}@b", "x".repeat(253))], &["too_long"]),
                all(
                    &[
                        "abc",
                        "a@b@c",
                        "@bc",
                        "ab@",
                        " a@b",
                        "a@b\n",
                        "a b@c",
                        "a@b\0",
                        "a@\u{feff}b",
                        "a\u{85}@b",
                        "a@\u{200b}",
                        "a\u{202e}@b",
                    ],
                    &["invalid_format"],
                ),
                all(&["a@"], &["invalid_format", "too_short"]),
                all(&[""], &["too_short"]),
            ]
            .concat(),
            Self::Country => closed(&["BE", "SS"], &["be", "XX", "B\0", "  ", "😀😀", "BEL", "BE\n", " BE", "B", ""]),
            Self::Currency => {
                closed(&["EUR", "JPY"], &["eur", "XXX", "XAU", "E\0R", "   ", "EURO", "EUR\n", " EUR", ""])
            }
        }
    }
}

fn all(texts: &[&str], codes: &'static [&'static str]) -> Vec<Case> {
    texts.iter().map(|text| ((*text).to_owned(), codes)).collect()
}

fn closed(kept: &[&str], refused: &[&str]) -> Vec<Case> {
    [all(kept, &[]), all(refused, &["not_allowed"])].concat()
}

fn line(most: usize) -> Vec<Case> {
    [
        // The length is counted in characters, not in bytes or UTF-16 units.
        all(&[&"x".repeat(most), &"😀".repeat(most)], &[]),
        all(
            &[
                "  in  between ",
                "שלום \u{200f}עולם",
                "👩‍👩‍👧",
                "x\u{feff}y",
                "\u{feff}z",
                "I ❤\u{fe0f}",
                "\u{200b}Zu\u{308}rich\u{3164}",
                "<'\"\\%_{}>",
                "\u{a0}nb\u{2003}",
            ],
            &[],
        ),
        all(&[&"é".repeat(most + 1)], &["too_long"]),
        all(&[""], &["too_short"]),
        all(
            &[
                "   ",
                "\u{a0}\u{2003}",
                "\u{feff}",
                "a\0b",
                "\0",
                "a\nb",
                "a\r",
                "\tb",
                "a\u{1b}b",
                "a\u{7f}",
                "\u{85}",
                "a\u{9f}",
                "\u{200b}",
                "\u{3164}\u{2800}\u{e0041}",
                "a\u{202e}b",
                "\u{2067}a",
                "a\u{fdd0}",
            ],
            &["invalid_format"],
        ),
    ]
    .concat()
}

impl Field {
    async fn send(&self, client: &Client, text: &Value, code: usize) -> Answer {
        let mut body = self.body.clone();
        if body.get("code").is_some() {
            body["code"] = json!(format!("p{code}"));
        }
        for at in self.at {
            *place(&mut body, at) = text.clone();
        }
        client.send(self.method.clone(), &self.path, Some(body.to_string().into())).await
    }
}

/// A place in a body. It is created if it does not exist.
fn place<'a>(body: &'a mut Value, pointer: &str) -> &'a mut Value {
    pointer.split('/').skip(1).fold(body, |body, part| match part.parse::<usize>() {
        Ok(index) => &mut body[index],
        Err(_) => &mut body[part],
    })
}

fn fields(world: &World) -> Vec<Field> {
    let field = |method: Method, path: &str, body: &Value, at, answer, kind| Field {
        method,
        path: path.to_owned(),
        body: body.clone(),
        at,
        answer,
        kind,
    };
    let mut fields = Vec::new();
    let mut customer = company("Northwind");
    customer["administration"] = json!("customer");
    customer["admin_email"] = json!("it@northwind.example");
    let reseller = format!("/v1/resellers/{}", id(&world.other_reseller_id));
    let own: &[(&[&str], Kind)] = &[(&["/admin_email"], Kind::Email), (&["/currency"], Kind::Currency)];
    let common: &[(&[&str], Kind)] = &[
        (&["/company_name"], Kind::Line(200)),
        (&["/address/line1"], Kind::Line(200)),
        (&["/address/line2"], Kind::Line(200)),
        (&["/address/line3"], Kind::Line(200)),
        (&["/address/city"], Kind::Line(200)),
        (&["/address/postal_code"], Kind::Line(20)),
        (&["/address/state"], Kind::Line(200)),
        (&["/address/country"], Kind::Country),
        (&["/contact/name"], Kind::Line(200)),
        (&["/contact/email"], Kind::Email),
        (&["/contact/phone"], Kind::Line(40)),
        (&["/contact/extension"], Kind::Line(20)),
        (&["/external_id"], Kind::Line(64)),
    ];
    for (at, kind) in common.iter().chain(own) {
        fields.push(field(Method::POST, "/v1/customers", &customer, at, at[0], *kind));
    }
    for (at, kind) in common {
        fields.push(field(Method::PATCH, &reseller, &json!({}), at, at[0], *kind));
    }
    let post =
        |path: &str, body: &Value, at: &'static [&'static str], kind| field(Method::POST, path, body, at, at[0], kind);
    let mut new = product("p");
    new["certificate_types"].as_array_mut().unwrap().truncate(1);
    new["prices"].as_array_mut().unwrap().truncate(1);
    new["terms"] = json!([12]);
    fields.push(post("/v1/products", &new, &["/name"], Kind::Line(200)));
    fields.push(post("/v1/products", &new, &["/description"], Kind::Lines(2000)));
    fields.push(post("/v1/products", &new, &["/certificate_types/0/name"], Kind::Line(200)));
    fields.push(post("/v1/products", &new, &["/certificate_types/0/code", "/prices/0/certificate_type"], Kind::Code));
    fields.push(post("/v1/products", &new, &["/prices/0/unit_price/currency"], Kind::Currency));
    new.as_object_mut().unwrap().remove("code");
    fields.push(post("/v1/products", &new, &["/code"], Kind::Code));
    fields.push(post(
        &world.active("/allocations"),
        &json!({ "certificate_type": "dv" }),
        &["/reference"],
        Kind::Line(255),
    ));
    fields.push(field(Method::PATCH, &world.active(""), &json!({}), &["/external_id"], "/external_id", Kind::Line(64)));
    let add = basket(&world.product_id, 1);
    let (at, answer) = (&["/subscriptions/0/external_id"], "/subscriptions/0/external_id");
    fields.push(field(Method::POST, &world.customer("/subscriptions"), &add, at, answer, Kind::Line(64)));
    let (disable, suspend) = (format!("{reseller}/disable"), world.active("/suspend"));
    fields.push(field(Method::POST, &disable, &json!({}), &["/reason"], "/disabled/reason", Kind::Line(500)));
    fields.push(field(Method::POST, &suspend, &json!({}), &["/reason"], "/suspended/reason", Kind::Line(500)));
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_break_their_rule_are_refused_with_the_place_and_the_reason() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for field in fields(&world) {
        for (text, codes) in field.kind.cases().into_iter().filter(|(_, codes)| !codes.is_empty()) {
            let mut expected: Vec<_> =
                field.at.iter().flat_map(|at| codes.iter().map(|code| (at.to_string(), code.to_string()))).collect();
            expected.sort();
            let found = field.send(&world.admin, &json!(text), 0).await.violations();
            assert_eq!(found, expected, "{} {:?} {text:?}", field.path, field.at);
        }
        for other in [json!(1), json!(true), json!([]), json!({}), json!(["x"])] {
            let found = field.send(&world.admin, &other, 0).await.violations();
            let expected: Vec<_> = field.at.iter().map(|at| (at.to_string(), "invalid_type".to_owned())).collect();
            assert_eq!(found, expected, "{} {:?} {other}", field.path, field.at);
        }
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_character_is_malformed_wherever_it_stands() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for field in fields(&world) {
        let mut body = field.body.clone();
        *place(&mut body, field.at[0]) = json!("HALF");
        for half in [r#""a\ud800""#, r#""\udc00b""#, r#""\ud800\ud800""#, "\"\u{1}\""] {
            let body = body.to_string().replace("\"HALF\"", half).into_bytes();
            let answer = world.admin.send(field.method.clone(), &field.path, Some(body)).await;
            answer.problem(400, "malformed_request");
        }
        let latin = body.to_string().replace("HALF", "caf_").into_bytes();
        let latin = latin.iter().map(|byte| if *byte == b'_' { 0xe9 } else { *byte }).collect();
        let answer = world.admin.send(field.method.clone(), &field.path, Some(latin)).await;
        answer.problem(400, "malformed_request");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

/// A text as it is stored: in NFC, without invisible characters at both ends.
fn stored(text: &str) -> String {
    let text = icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(text);
    text.trim_matches(|c: char| c.is_whitespace() || "\u{feff}\u{200b}\u{3164}".contains(c)).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_keep_their_rule_come_back_normalized() {
    let world = World::new().await;
    for (number, field) in fields(&world).into_iter().enumerate() {
        for (text, _) in field.kind.cases().into_iter().filter(|(_, codes)| codes.is_empty()) {
            let code = number * 1000 + text.chars().map(|c| c as usize).sum::<usize>() % 977;
            let answer = field.send(&world.admin, &json!(text), code).await;
            assert!((200..300).contains(&answer.status), "{} {:?} {text:?}: {}", field.path, field.at, answer.body);
            let kept = answer.body.pointer(field.answer).unwrap();
            assert_eq!(*kept, json!(stored(&text)), "{} {:?}", field.path, field.at);
            if let Some((resource, _)) = field.path.rsplit_once('/').filter(|_| field.at == ["/reason"]) {
                world.admin.act(&format!("{resource}/enable")).await.ok();
            }
        }
    }
}

//! The rules, as far as they can be checked on the source text.

use std::fmt;

use crate::source::{Source, balanced, has_word, names_module};

/// The maximum number of lines of a file.
const LENGTH: usize = 500;

/// The small files of the domain that may derive traits of diesel and utoipa, so that an id, a text or a label is
/// declared once and not once per ring. `label!` and similar macros expand in other files too.
const LEAVES: &[&str] = &["domain/id.rs", "domain/label.rs", "domain/money.rs", "domain/text.rs"];

/// The files that may create a scope; authorization.rs declares the type. A webhook endpoint receives what its tenant may
/// see.
const SCOPE_MAKERS: &[&str] =
    &["api/middleware/authenticate.rs", "main.rs", "domain/authorization.rs", "domain/webhooks.rs", "ops/demo.rs"];

/// The table that maps every error to its code.
const PROBLEM: &str = "api/contract/problem.rs";

/// The files of `store` with tenant data.
const TENANTS: [&str; 13] = [
    "allocations",
    "api_keys",
    "customers",
    "inventory",
    "invoices",
    "orders",
    "price_lists",
    "renewal_failures",
    "reports",
    "resellers",
    "subscriptions",
    "webhook_deliveries",
    "webhooks",
];

/// Lists of a subscription. The subscription was looked up in scope before.
const LISTS_OF_ONE: &[(&str, &str)] = &[("store/allocations.rs", "list")];

/// A breach of a rule.
#[derive(Debug)]
pub struct Breach {
    pub rule: &'static str,
    pub line: usize,
    path: String,
    code: String,
    says: &'static str,
    remedy: &'static str,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, line, path, code, says, remedy } = self;
        write!(f, "src/{path}:{line}: {code}\n  rule {rule}: {says}\n  to do: {remedy}")
    }
}

/// A rule that a single line can break.
struct Rule {
    number: &'static str,
    says: &'static str,
    remedy: &'static str,
    is_broken: fn(&Source, &str) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        number: "1",
        says: "`domain` uses nothing of the other rings, no server and no runtime",
        remedy: "pass in what the domain needs, or move this to `ops`",
        is_broken: |source, line| {
            let rings = ["store", "ops", "api", "jobs", "platform", "service"];
            source.ring() == "domain"
                && (has_any_word(line, &["actix_web", "tokio"]) || rings.iter().any(|ring| names_module(line, ring)))
        },
    },
    Rule {
        number: "1",
        says: "`domain` has no async code and no clock",
        remedy: "make it a plain function, and pass the instant in",
        is_broken: |source, line| {
            source.ring() == "domain" && (has_any_word(line, &["async", "await"]) || line.contains("::now("))
        },
    },
    Rule {
        number: "2",
        says: "only `store`, `db` and the leaf files of `domain` use diesel",
        remedy: "move the query to `store`, or convert the type there with `TryFrom<Row>`",
        is_broken: |source, line| {
            let crates = ["diesel", "diesel_async", "diesel_migrations", "diesel_derive_newtype"];
            has_any_word(line, &crates) && !["store", "platform"].contains(&source.ring()) && !source.is_one_of(LEAVES)
        },
    },
    Rule {
        number: "2",
        says: "only `api`, service.rs and main.rs use actix and utoipa; the leaf files of `domain` may use utoipa",
        remedy: "move this to `api`, or build the DTO there with `From<&domain::X>`",
        is_broken: |source, line| {
            let utoipa = ["utoipa", "utoipa_actix_web", "utoipa_swagger_ui"];
            let outside = !["api", "service", "main"].contains(&source.ring());
            outside && (has_word(line, "actix_web") || (has_any_word(line, &utoipa) && !source.is_one_of(LEAVES)))
        },
    },
    Rule {
        number: "3",
        says: "main → service → { api, jobs } → ops → { store, domain }; no other direction, and `ops` is never skipped",
        remedy: "call a use case in `ops`; move what both sides need to an inner ring",
        is_broken: |source, line| {
            let outside: &[&str] = match source.ring() {
                // The platform has the clock, which the store makes ids with, and the pool, which it must not use.
                "store" if names_module(line, "db") => return true,
                "store" | "platform" => &["ops", "api", "jobs", "service"],
                "ops" => &["api", "jobs", "service"],
                // The table of errors also maps the errors of the store, but it must not call functions of the store.
                "api" if source.path == PROBLEM && !calls_into(line, "store") => &["jobs"],
                "api" => &["store", "jobs", "service"],
                "jobs" => &["store", "api", "service"],
                _ => &[],
            };
            outside.iter().any(|ring| names_module(line, ring))
        },
    },
    Rule {
        number: "3",
        says: "only `ops` starts a transaction",
        remedy: "write a use case in `ops` and call it; in `store`, use the connection that is passed in",
        is_broken: |source, line| {
            let opens = [".transaction(", ".read(async"].iter().any(|call| line.contains(call));
            let by_hand = ["begin_transaction", "commit_transaction", "rollback_transaction", "build_transaction"];
            let by_hand = by_hand.iter().any(|call| line.contains(call));
            source.ring() != "platform" && (by_hand || (opens && source.ring() != "ops"))
        },
    },
    Rule {
        number: "4",
        says: "only the state machine changes a state",
        remedy: "add a command to the state machine in `domain`, and `save` its result",
        is_broken: |_, line| ["set_status", "set_state"].iter().any(|name| line.contains(&format!("fn {name}"))),
    },
    Rule {
        number: "5",
        says: "only authentication, the command line and the jobs create a `Scope`",
        remedy: "use the scope of the actor, with `reseller()` or `sees()`",
        is_broken: |source, line| {
            let made = line.contains("Scope::Partner") || line.contains("Scope::Reseller");
            made && source.ring() != "jobs" && !source.is_one_of(SCOPE_MAKERS)
        },
    },
    Rule {
        number: "6",
        says: "only `domain::billing::quote` computes an amount",
        remedy: "get the amount from a quote",
        is_broken: |source, line| {
            // In `api`, a type of the same name is the DTO of the computed result.
            let made = line.contains("Calculation::new(") && source.ring() != "api";
            (made || line.contains(".amount()"))
                && !source.is_one_of(&["domain/billing/quote.rs", "domain/billing/proration.rs"])
        },
    },
    Rule {
        number: "7",
        says: "time and ids come from platform/clock.rs",
        remedy: "use the `Clock` or the instant that is passed in",
        is_broken: |source, line| {
            let made = ["Utc::now", "Local::now", "SystemTime::now", "Uuid::now_v", "Uuid::new_v", "Timestamp::now"];
            source.path != "platform/clock.rs" && made.iter().any(|call| line.contains(call))
        },
    },
    Rule {
        number: "7",
        says: "only config.rs reads settings",
        remedy: "add a setting there, and pass it in",
        is_broken: |source, line| line.contains("env::var") && source.path != "config.rs",
    },
    Rule {
        number: "7",
        says: "money is integers, so code that handles money uses no floats",
        remedy: "use minor units in an i64",
        is_broken: |source, line| {
            ["domain", "store", "ops", "jobs"].contains(&source.ring()) && has_any_word(line, &["f32", "f64"])
        },
    },
    Rule {
        number: "9",
        says: "api/contract/problem.rs maps every error by name",
        remedy: "name the variants, so that a new one does not compile until it has a code",
        is_broken: |source, line| {
            let rest = line.trim_start().strip_prefix("_ =>").map(str::trim);
            source.path == PROBLEM && rest.is_some_and(|maps_to| maps_to != "{}")
        },
    },
    Rule {
        number: "10",
        says: "nothing panics",
        remedy: "return an error, or use a type that excludes this case",
        is_broken: |_, line| {
            let calls = [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];
            let macros = ["panic!", "todo!", "unimplemented!", "unreachable!"];
            calls.iter().chain(&macros).any(|panic| line.contains(panic))
        },
    },
    Rule {
        number: "10",
        says: "nothing is unsafe",
        remedy: "use a safe crate",
        is_broken: |_, line| has_word(line, "unsafe"),
    },
];

/// Whether a line names a function of a module, not a type.
fn calls_into(line: &str, module: &str) -> bool {
    line.split(&format!("{module}::")).skip(1).any(|rest| rest.starts_with(char::is_lowercase))
}

fn has_any_word(line: &str, words: &[&str]) -> bool {
    words.iter().any(|word| has_word(line, word))
}

fn breach(source: &Source, line: usize, rule: &Rule) -> Breach {
    Breach {
        rule: rule.number,
        line: line + 1,
        path: source.path.clone(),
        code: source.lines.get(line).map_or("", |code| code.trim()).to_owned(),
        says: rule.says,
        remedy: rule.remedy,
    }
}

/// The rules that a single line can break.
pub fn of_lines(source: &Source) -> Vec<Breach> {
    let lines = source.lines.iter().enumerate();
    lines
        .flat_map(|(at, line)| {
            RULES.iter().filter(|rule| (rule.is_broken)(source, line)).map(move |rule| breach(source, at, rule))
        })
        .collect()
}

/// The places of `start` in the code: the line, and the code from there on.
fn places(source: &Source, start: &'static str) -> impl Iterator<Item = (usize, String)> {
    let code = source.lines.join("\n");
    let starts: Vec<_> = code.match_indices(start).map(|(at, _)| at).collect();
    starts.into_iter().map(move |at| (code[..at].matches('\n').count(), code[at + start.len()..].to_owned()))
}

/// Rule 4 for SQL: only the status of charges, which have no state machine, may be set on its own.
pub fn of_status_columns(source: &Source) -> Vec<Breach> {
    const RULE: Rule = Rule {
        number: "4",
        says: "only `save` writes a status column, together with the whole aggregate",
        remedy: "let the state machine decide, and save its result",
        is_broken: |_, set| {
            let others = set.replace("charges::status.eq(", "");
            others.contains("status.eq(") || others.contains("state.eq(")
        },
    };
    places(source, ".set")
        .filter(|(_, rest)| source.ring() == "store" && rest.starts_with('('))
        .filter(|(_, rest)| (RULE.is_broken)(source, &rest[..balanced(rest)]))
        .map(|(line, _)| breach(source, line, &RULE))
        .collect()
}

/// Rule 5: functions that look up rows contain the tenant filter.
pub fn of_finders(source: &Source) -> Vec<Breach> {
    const RULE: Rule = Rule {
        number: "5",
        says: "functions that look up tenant data take a `Scope`",
        remedy: "take `scope: Scope` and filter by it, so that rows out of scope are not found",
        is_broken: |source, function| {
            let name = function.split('(').next().unwrap_or_default();
            let finds = ["find", "lock", "hold", "exists"].contains(&name) || name.starts_with("list");
            let parameters = function.split('{').next().unwrap_or_default();
            finds && !has_word(parameters, "Scope") && !LISTS_OF_ONE.contains(&(source.path.as_str(), name))
        },
    };
    let of_tenants = TENANTS.iter().any(|name| source.path == format!("store/{name}.rs"));
    places(source, "pub async fn ")
        .filter(|(_, function)| of_tenants && (RULE.is_broken)(source, function))
        .map(|(line, _)| breach(source, line, &RULE))
        .collect()
}

/// Rule 9: one error enum per ring.
pub fn of_errors(sources: &[Source]) -> Vec<Breach> {
    const RULE: Rule = Rule {
        number: "9",
        says: "each ring has one error enum",
        remedy: "make it a variant of the error enum of the ring",
        is_broken: |_, rest| {
            rest.split(|c: char| !c.is_alphanumeric()).next().is_some_and(|name| name.ends_with("Error"))
        },
    };
    let rings = ["domain", "store", "ops", "jobs", "api"];
    let of_ring = |ring: &str| {
        let found = sources.iter().filter(|source| source.ring() == ring).flat_map(|source| {
            let enums = places(source, "pub enum ").filter(move |(_, rest)| (RULE.is_broken)(source, rest));
            enums.map(move |(line, _)| breach(source, line, &RULE))
        });
        found.skip(1).collect::<Vec<_>>()
    };
    rings.into_iter().flat_map(of_ring).collect()
}

/// Rule 10: no file is long.
pub fn of_length(source: &Source) -> Vec<Breach> {
    const RULE: Rule = Rule {
        number: "10",
        says: "no file has more than 500 lines",
        remedy: "move a part with a clear name to its own file",
        is_broken: |source, _| source.length > LENGTH,
    };
    if (RULE.is_broken)(source, "") { vec![breach(source, LENGTH, &RULE)] } else { Vec::new() }
}

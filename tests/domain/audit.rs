//! The audit trail: the contents of a change, and what a check of the chain finds.

use chrono::{TimeDelta, TimeZone, Utc};
use partner_platform::domain::authorization::Role;
use partner_platform::domain::events::audit::{Broken, Change, Entry, Link, Outcome};
use partner_platform::domain::events::{Reference, ResourceType};
use partner_platform::domain::id::{AuditEntryId, ResellerId};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

fn entry(number: usize, actor: &str) -> Entry {
    Entry {
        id: AuditEntryId(Uuid::from_u128(number as u128)),
        customer_id: None,
        occurred_at: Utc.with_ymd_and_hms(2027, 1, 1, 12, 0, 0).unwrap() + TimeDelta::seconds(number as i64),
        actor: actor.to_owned(),
        role: Role::Admin,
        reseller_id: None,
        source_address: Some("192.0.2.17".to_owned()),
        request_id: number.to_string(),
        operation: "suspendSubscription".to_owned(),
        resource: Some((ResourceType::Subscription, Uuid::nil())),
        outcome: Outcome::Succeeded,
        status: 200,
        code: None,
        changes: Vec::new(),
        changes_truncated: None,
    }
}

fn sealed(entries: &[Entry]) -> Vec<(Entry, Link)> {
    let mut end = Link::start();
    let seal = |entry: &Entry| {
        end = end.next(entry);
        (entry.clone(), end.clone())
    };
    entries.iter().map(seal).collect()
}

fn verify(trail: &[(Entry, Link)]) -> Result<Link, Broken> {
    trail.iter().try_fold(Link::start(), |link, (entry, sealed)| link.verify(entry, sealed))
}

/// Checks a trail in batches, as far as possible.
fn follow(trail: &[(Entry, Link)], batch: usize, known: &[Link]) -> Result<Link, Broken> {
    let end = trail.chunks(batch).try_fold(Link::start(), |link, entries| link.follow(entries, known))?;
    end.reaches(known).map(|()| end)
}

/// The links of a trail, including the one before its first entry.
fn links(trail: &[(Entry, Link)]) -> Vec<Link> {
    [Link::start()].into_iter().chain(trail.iter().map(|(_, link)| link.clone())).collect()
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec("[a-z]{1,8}", 2..20)
        .prop_map(|actors| actors.iter().enumerate().map(|(number, actor)| entry(number, actor)).collect())
}

fn any_fields() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![any::<i32>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from), Just(Value::Null)];
    prop::collection::btree_map("[a-f]", value, 0..6).prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #[test]
    fn an_untouched_trail_holds(entries in any_entries()) {
        let trail = sealed(&entries);
        prop_assert_eq!(verify(&trail), Ok(trail.last().unwrap().1.clone()));
    }

    #[test]
    fn an_entry_that_says_something_else_is_found(entries in any_entries(), which in any::<prop::sample::Index>()) {
        let mut trail = sealed(&entries);
        let which = which.index(trail.len());
        trail[which].0.actor.push('x');
        let position = i64::try_from(which).unwrap() + 1;
        prop_assert_eq!(verify(&trail), Err(Broken::Altered { position, id: entries[which].id }));
    }

    #[test]
    fn an_entry_that_is_gone_is_found(entries in any_entries(), which in any::<prop::sample::Index>()) {
        let mut trail = sealed(&entries);
        let which = which.index(trail.len() - 1);
        trail.remove(which);
        prop_assert_eq!(verify(&trail), Err(Broken::Missing(i64::try_from(which).unwrap() + 1)));
    }

    #[test]
    fn two_entries_that_changed_places_are_found(entries in any_entries(), which in any::<prop::sample::Index>()) {
        let mut swapped = entries.clone();
        let which = which.index(entries.len() - 1);
        swapped.swap(which, which + 1);
        let seals = sealed(&entries).into_iter().map(|(_, link)| link);
        let trail: Vec<_> = swapped.into_iter().zip(seals).collect();
        prop_assert!(verify(&trail).is_err());
    }

    #[test]
    fn a_trail_holds_that_went_on_from_where_it_is_known_to_have_been(
        entries in any_entries(),
        batch in 1..25_usize,
        ends in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let trail = sealed(&entries);
        let links = links(&trail);
        let known: Vec<_> = ends.iter().map(|end| end.get(&links).clone()).collect();
        prop_assert_eq!(follow(&trail, batch, &known), Ok(links.last().unwrap().clone()));
    }

    #[test]
    fn a_trail_that_was_rewritten_is_found_by_whoever_knows_a_link_behind_that(
        entries in any_entries(),
        batch in 1..25_usize,
        which in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        let known = end.get(&links(&sealed(&entries))).clone();
        let (mut rewritten, which) = (entries.clone(), which.index(entries.len()));
        rewritten[which].actor.push('x');
        let found = follow(&sealed(&rewritten), batch, std::slice::from_ref(&known));
        if usize::try_from(known.position).unwrap() > which {
            prop_assert_eq!(found, Err(Broken::Rewritten(known.position)));
        } else {
            prop_assert!(found.is_ok());
        }
    }

    #[test]
    fn a_trail_that_was_cut_off_is_found_by_whoever_knows_a_link_behind_that(
        entries in any_entries(),
        batch in 1..25_usize,
        length in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        let trail = sealed(&entries);
        let known = end.get(&links(&trail)).clone();
        let length = length.index(trail.len());
        let found = follow(&trail[..length], batch, std::slice::from_ref(&known));
        let (left, expected) = (i64::try_from(length).unwrap(), known.position);
        if expected > left {
            prop_assert_eq!(found, Err(Broken::CutOff { found: left, expected }));
        } else {
            prop_assert_eq!(found, Ok(trail[..length].last().map_or(Link::start(), |(_, link)| link.clone())));
        }
    }

    #[test]
    fn a_link_is_read_as_it_is_printed(entries in any_entries()) {
        for link in links(&sealed(&entries)) {
            prop_assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn a_change_has_just_the_fields_that_differ(before in any_fields(), after in any_fields()) {
        let resource = Reference { kind: ResourceType::Customer, id: Uuid::nil(), version: None };
        // A resource has the same fields before and after.
        let mut after = after;
        for (name, value) in &before {
            after.entry(name).or_insert_with(|| value.clone());
        }
        after.retain(|name, _| before.contains_key(name));
        let change = Change::between(resource, Some(before.clone().into()), Some(after.clone().into()));
        match change {
            None => prop_assert_eq!(before, after),
            Some(change) => {
                let (old, new) = (change.before.unwrap(), change.after.unwrap());
                for (name, value) in &before {
                    let differs = value != &after[name];
                    prop_assert_eq!(old.get(name), Some(value).filter(|_| differs));
                    prop_assert_eq!(new.get(name), after.get(name).filter(|_| differs));
                }
            }
        }
    }
}

#[test]
fn what_follows_from_other_fields_is_no_change() {
    let resource = Reference { kind: ResourceType::Customer, id: Uuid::nil(), version: None };
    let shown = |at: &str| Some(json!({ "name": "A", "updated_at": at, "actions": [at], "inventory": [at] }));
    assert_eq!(Change::between(resource, shown("1"), shown("2")), None);
    let new = Change::between(resource, None, shown("1")).unwrap();
    assert_eq!(Value::Object(new.after.unwrap()), json!({ "name": "A", "inventory": ["1"] }));
}

#[test]
fn what_is_no_place_of_a_chain_is_no_link() {
    let seal = "0".repeat(64);
    for text in
        ["", "2", "2:", "2:00", "-1:", ":", "x:", &format!("0:{seal}"), &format!("-2:{seal}"), &format!("2:{seal}0")]
    {
        assert!(text.parse::<Link>().is_err(), "{text}");
    }
    assert!(format!("2:{seal}").parse::<Link>().is_ok());
}

/// Unordered fields, with every type of value.
fn fields() -> Map<String, Value> {
    let fields = json!({ "version": 2, "status": "active", "a": null, "of": { "z": [1, true], "b": "é\n\"" } });
    fields.as_object().unwrap().clone()
}

#[test]
fn entries_are_sealed_in_the_same_form_for_ever() {
    let mut full = entry(1, "api_key:1");
    full.occurred_at += TimeDelta::microseconds(123_450);
    full.reseller_id = Some(ResellerId(Uuid::from_u128(2)));
    full.outcome = Outcome::Refused;
    full.status = 409;
    full.code = Some("version_conflict".to_owned());
    let resource_id = Uuid::from_u128(3);
    let change = |resource_type, before, after| Change { resource_type, resource_id, before, after };
    full.changes = vec![
        change(ResourceType::Subscription, Some(fields()), Some(fields())),
        change(ResourceType::PriceList, None, Some(fields())),
        change(ResourceType::ApiKey, Some(fields()), None),
    ];
    let empty = Entry { source_address: None, resource: None, ..entry(2, "system") };
    let seals: Vec<_> = sealed(&[full, empty]).iter().map(|(_, link)| link.to_string()).collect();
    // If this fails, all trails that an earlier release sealed would be reported as altered.
    assert_eq!(
        seals,
        [
            "1:46b108ca5270f9b019f0ace192a747ae1f6db00bcb8a2f2532af2c66351a8ddb",
            "2:7a376283950766a5e652a578b50e6b5ae253a960c7a0c79b726491eb49b23242"
        ]
    );
}

//! The audit trail: what a change says, and what the chain finds.

use chrono::{TimeDelta, TimeZone, Utc};
use partner_platform::domain::access::Role;
use partner_platform::domain::audit::{Broken, Change, Entry, Link, Outcome};
use partner_platform::domain::event::{Reference, ResourceType};
use partner_platform::domain::id::AuditEntryId;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

fn entry(number: usize, actor: &str) -> Entry {
    Entry {
        id: AuditEntryId(Uuid::from_u128(number as u128)),
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

//! The cache of credentials: in any order of events, nothing is used for longer than a second after it was changed, and
//! nothing that was removed comes back.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use partner_platform::domain::authorization::Role;
use partner_platform::domain::credentials::credential::Credential;
use partner_platform::domain::credentials::secret::SecretHash;
use partner_platform::domain::id::{ApiKeyId, ResellerId, Version};
use partner_platform::domain::parties::reseller::ResellerStatus;
use partner_platform::ops::credential_cache::{AccessCache, BELIEVED_FOR, MOST, Question};
use proptest::prelude::*;

use crate::samples::{START, id, noon};

const SECRET: SecretHash = SecretHash([7; 32]);

/// A credential that shows the version that it belongs to.
fn as_of(version: i64) -> Credential {
    Credential {
        id: id::<ApiKeyId>(1),
        role: Role::Admin,
        partner_id: None,
        is_revoked: false,
        expires_at: Some(noon(START) + TimeDelta::seconds(version)),
        secret_ends_at: None,
        reseller_is_disabled: false,
    }
}

fn version_of(credential: &Credential) -> i64 {
    (credential.expires_at.unwrap() - noon(START)).num_seconds()
}

#[derive(Debug, Clone)]
enum Step {
    /// So many milliseconds pass.
    Wait(u64),
    /// The credentials change. This instance learns of its own changes by `Forget`.
    Change,
    /// A change by this instance is committed; older versions are removed from the cache.
    Forget,
    /// A query to the database is about to start.
    Ask,
    /// The database executes one of the queries.
    Read(prop::sample::Index),
    /// The result of one of the queries arrives: only the version, or also the credential.
    Answer(prop::sample::Index, bool),
    /// A request uses the cache.
    Use,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..700_u64).prop_map(Step::Wait),
        1 => Just(Step::Change),
        1 => Just(Step::Forget),
        4 => Just(Step::Ask),
        4 => any::<prop::sample::Index>().prop_map(Step::Read),
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, whole)| Step::Answer(which, whole)),
        4 => Just(Step::Use),
    ];
    prop::collection::vec(step, 0..80)
}

#[derive(Default)]
struct Database {
    /// When each version ended. The last one has not ended.
    over: Vec<Instant>,
}

impl Database {
    fn version(&self) -> i64 {
        i64::try_from(self.over.len()).unwrap()
    }

    fn over_since(&self, version: i64) -> Option<Instant> {
        self.over.get(usize::try_from(version).unwrap()).copied()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_believed_a_second_after_it_was_over_or_once_it_was_forgotten(steps in any_steps()) {
        let cache = AccessCache::default();
        let mut now = Instant::now();
        let (mut database, mut least) = (Database::default(), 0);
        let (mut asked, mut read): (Vec<Question>, Vec<(Question, i64)>) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Change => database.over.push(now),
                Step::Forget => {
                    cache.forget();
                    least = database.version();
                }
                Step::Ask => asked.push(cache.ask(now)),
                Step::Read(which) if !asked.is_empty() => {
                    let question = asked.swap_remove(which.index(asked.len()));
                    read.push((question, database.version()));
                }
                Step::Answer(which, whole) if !read.is_empty() => {
                    let (question, version) = read.swap_remove(which.index(read.len()));
                    if whole {
                        cache.keep_credential(question, Version(version), SECRET, &as_of(version));
                    } else {
                        cache.learn(question, Version(version));
                    }
                }
                Step::Use => if let Some(credential) = cache.credential(&SECRET, now) {
                    let version = version_of(&credential);
                    prop_assert!(version >= least, "{version} was removed from the cache");
                    let over = database.over_since(version).map(|over| now - over);
                    prop_assert!(over.is_none_or(|over| over < BELIEVED_FOR), "{version} has ended {over:?} ago");
                },
                Step::Read(_) | Step::Answer(..) => {}
            }
        }
    }
}

fn at(minute: &str) -> DateTime<Utc> {
    minute.parse().unwrap()
}

#[test]
fn what_was_read_is_remembered_for_as_long_as_its_version_is_asked_for() {
    let (cache, start) = (AccessCache::default(), Instant::now());
    let after = |millis| start + Duration::from_millis(millis);
    cache.keep_credential(cache.ask(start), Version(3), SECRET, &as_of(3));
    assert_eq!(cache.credential(&SECRET, after(999)), Some(as_of(3)));
    assert_eq!(cache.credential(&SECRET, after(1000)), None, "nothing is cached");
    cache.learn(cache.ask(after(1500)), Version(3));
    assert_eq!(cache.credential(&SECRET, after(2499)), Some(as_of(3)));
    cache.learn(cache.ask(after(2400)), Version(4));
    assert_eq!(cache.credential(&SECRET, after(2401)), None, "the version is another one");
    cache.learn(cache.ask(after(2402)), Version(3));
    assert_eq!(cache.credential(&SECRET, after(2402)), None, "also if that version was wrong");
    assert_eq!(cache.credential(&SecretHash([8; 32]), after(0)), None);
}

#[test]
fn resellers_are_remembered_like_keys() {
    let (cache, start, reseller) = (AccessCache::default(), Instant::now(), id::<ResellerId>(2));
    cache.keep_reseller(cache.ask(start), Version(3), reseller, ResellerStatus::Disabled);
    assert_eq!(cache.reseller(reseller, start), Some(ResellerStatus::Disabled));
    assert_eq!(cache.reseller(reseller, start + BELIEVED_FOR), None);
    assert_eq!(cache.reseller(id(3), start), None);
    let question = cache.ask(start);
    cache.forget();
    cache.keep_reseller(question, Version(3), reseller, ResellerStatus::Enabled);
    assert_eq!(cache.reseller(reseller, start), None);
}

#[test]
fn no_more_is_remembered_than_there_is_room_for() {
    let (cache, start) = (AccessCache::default(), Instant::now());
    let secret = |number: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        SecretHash(hash)
    };
    let remembered =
        |cache: &AccessCache| (0..=MOST).filter(|it| cache.credential(&secret(*it), start).is_some()).count();
    for number in 0..=MOST {
        cache.keep_credential(cache.ask(start), Version(1), secret(number), &as_of(1));
        if number + 1 == MOST {
            assert_eq!(remembered(&cache), MOST);
        }
    }
    assert_eq!(remembered(&cache), 1);
}

#[test]
fn a_use_is_written_once_a_minute_and_again_when_that_failed() {
    let (cache, key) = (AccessCache::default(), id::<ApiKeyId>(1));
    for second in ["12:34:56.789Z", "12:34:57Z"] {
        cache.note_use(key, at(&format!("2027-01-01T{second}")));
        assert_eq!(cache.pending_uses(), [(key, at("2027-01-01T12:34:00Z"))]);
    }
    let being_written = cache.pending_uses();
    cache.note_use(key, at("2027-01-01T12:35:01Z"));
    cache.uses_are_written(&being_written);
    assert_eq!(cache.pending_uses(), [(key, at("2027-01-01T12:35:00Z"))], "the key was used again meanwhile");
    cache.uses_are_written(&cache.pending_uses());
    cache.note_use(key, at("2027-01-01T12:35:59Z"));
    cache.note_use(key, at("2027-01-01T12:30:00Z"));
    assert!(cache.pending_uses().is_empty());
    cache.note_use(id(2), at("2027-01-01T12:35:59Z"));
    cache.note_use(id(0), at("2027-01-01T12:35:59Z"));
    assert!(cache.pending_uses().is_sorted() && cache.pending_uses().len() == 2);
}

//! Unknown keys. Each is cached for some time, and an address that has sent too many must wait. So guessing keys causes
//! almost no load on the database.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::domain::credentials::secret::SecretHash;

/// The maximum number of unknown keys from one address in a window. After that, the database is not queried. Lookups
/// that are already running can exceed the limit.
pub const MOST_UNKNOWN: u32 = 60;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(60);

/// How long an unknown key is cached. Nobody can know a key before it is created, so this matters only for rows that
/// are inserted manually.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// The maximum number of unknown keys, and of addresses.
const MOST: usize = 10_000;

/// The cache of unknown keys.
#[derive(Debug, Default)]
pub struct Strangers {
    secrets: HashMap<SecretHash, Instant>,
    addresses: HashMap<IpAddr, (Instant, u32)>,
}

/// Whether a key may be looked up in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The lookup is allowed.
    Open,
    /// The key was unknown a moment ago.
    Unknown,
    /// The address has sent too many unknown keys.
    TooOften {
        /// Seconds until the address may try again.
        seconds_left: u64,
    },
}

impl Strangers {
    /// Checks whether a key from an address may be looked up in the database.
    #[must_use]
    pub fn check(&self, secret: &SecretHash, source: Option<IpAddr>, now: Instant) -> Admission {
        if self.secrets.get(secret).is_some_and(|since| is_recent(*since, now, REMEMBERED_FOR)) {
            return Admission::Unknown;
        }
        match source.and_then(|source| self.addresses.get(&network(source))) {
            Some((began, unknown)) if *unknown >= MOST_UNKNOWN && is_recent(*began, now, WINDOW) => {
                let elapsed = now.saturating_duration_since(*began);
                Admission::TooOften { seconds_left: (WINDOW - elapsed).as_secs().max(1) }
            }
            _ => Admission::Open,
        }
    }

    /// Caches an unknown key, and counts it for its address.
    pub fn note(&mut self, secret: SecretHash, source: Option<IpAddr>, now: Instant) {
        make_room(&mut self.secrets, |since| is_recent(*since, now, REMEMBERED_FOR));
        self.secrets.insert(secret, now);
        let Some(source) = source else { return };
        make_room(&mut self.addresses, |(began, _)| is_recent(*began, now, WINDOW));
        let (began, unknown) = self.addresses.entry(network(source)).or_insert((now, 0));
        if !is_recent(*began, now, WINDOW) {
            (*began, *unknown) = (now, 0);
        }
        *unknown += 1;
    }
}

fn is_recent(since: Instant, now: Instant, span: Duration) -> bool {
    now.saturating_duration_since(since) < span
}

/// A client with one IPv6 address controls its whole /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

fn make_room<K: Eq + std::hash::Hash, V>(all: &mut HashMap<K, V>, is_recent: impl Fn(&V) -> bool) {
    if all.len() >= MOST {
        all.retain(|_, value| is_recent(value));
    }
    if all.len() >= MOST {
        all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: u8) -> SecretHash {
        SecretHash([number; 32])
    }

    #[test]
    fn an_unknown_key_is_remembered_for_some_seconds() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        strangers.note(secret(1), None, now);
        assert_eq!(strangers.check(&secret(1), None, now + Duration::from_secs(9)), Admission::Unknown);
        assert_eq!(strangers.check(&secret(1), None, now + REMEMBERED_FOR), Admission::Open);
        assert_eq!(strangers.check(&secret(2), None, now), Admission::Open);
    }

    #[test]
    fn an_address_with_too_many_unknown_keys_waits_for_the_next_minute_and_others_do_not() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let here: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        for number in 0..60 {
            assert_eq!(strangers.check(&secret(number), Some(here), now), Admission::Open);
            strangers.note(secret(number), Some(here), now);
        }
        let later = now + Duration::from_secs(20);
        for same_network in ["2001:db8:1:2:3::4", "2001:db8:1:2::1"] {
            let found = strangers.check(&secret(200), Some(same_network.parse().unwrap()), later);
            assert_eq!(found, Admission::TooOften { seconds_left: 40 });
        }
        for other in ["2001:db8:1:3::4", "192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(strangers.check(&secret(200), Some(other.parse().unwrap()), later), Admission::Open);
        }
        assert_eq!(strangers.check(&secret(200), Some(here), now + WINDOW), Admission::Open);
        strangers.note(secret(200), Some(here), now + WINDOW);
        assert_eq!(strangers.check(&secret(201), Some(here), now + WINDOW), Admission::Open);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        for number in 0..30_000_u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            strangers.note(SecretHash(hash), Some(IpAddr::V4(number.into())), now);
        }
        assert!(strangers.secrets.len() <= MOST && strangers.addresses.len() <= MOST);
    }
}

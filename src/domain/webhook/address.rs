//! Where events may be sent. Whoever names an address would have the service call it from inside: so only what the
//! whole internet reaches may be named, and what the operator allows besides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::domain::refusal::{Violation, ViolationCode};
use crate::domain::text::WebhookUrl;

/// What of IPv4 is for other uses than to be reached by everyone (IANA, special-purpose addresses, and multicast), and
/// where Azure answers its own machines alone, by an address that is public for anybody else.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([168, 63, 129, 16], 32),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// All of IPv6 that is given out for the internet.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What of that is for other uses: protocols with Teredo, and documentation.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// IPv6 that leads to an IPv4 address inside of it: written as IPv6, translated (NAT64), or tunnelled (6to4).
const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// Whether an address is one that the whole internet reaches.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match (address, inner(address)) {
        (IpAddr::V4(address), _) | (IpAddr::V6(_), Some(address)) => {
            !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
        }
        (IpAddr::V6(address), None) => {
            GLOBAL_UNICAST.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
        }
    }
}

/// The IPv4 address that an IPv6 address leads to.
fn inner(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let bits = address.to_bits();
    if MAPPED.contains(&address) || NAT64.contains(&address) {
        Some(Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32))
    } else if SIX_TO_FOUR.contains(&address) {
        Some(Ipv4Addr::from_bits((bits >> 80) as u32))
    } else {
        None
    }
}

/// Which addresses may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    allowed: Vec<IpNet>,
}

impl Addresses {
    /// Those that are public, and these.
    #[must_use]
    pub fn public_and(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether an address may be called, over TLS.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        is_public(address) || self.allow(address)
    }

    /// Whether an address is one that the operator allows besides: to these, it goes without TLS too.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        let inner = inner(address).map(IpAddr::V4);
        let is_in = |net: &IpNet| net.contains(&address) || inner.is_some_and(|inner| net.contains(&inner));
        self.allowed.iter().any(is_in)
    }

    /// The URL that a text stands for, if that can be called as far as one can tell without asking for names. An
    /// address is told however it is written: `http://0x7f.1` is 127.0.0.1.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: &WebhookUrl) -> Result<Url, Violation> {
        let wrong = |code, detail: String| Err(Violation::new("/url", code, detail));
        let Ok(url) = Url::parse(text.as_str()) else {
            return wrong(ViolationCode::InvalidFormat, "This is not a valid URL. Correct it.".to_owned());
        };
        if !url.username().is_empty() || url.password().is_some() {
            let detail = "The URL must not have a user or a password. Verify the signature of each message instead.";
            return wrong(ViolationCode::NotAllowed, detail.to_owned());
        }
        if url.fragment().is_some() {
            return wrong(
                ViolationCode::NotAllowed,
                "The URL must not have a fragment, because it is never sent. Remove `#` and the text after it."
                    .to_owned(),
            );
        }
        let (is_permitted, is_allowed) = match url.host() {
            Some(Host::Ipv4(address)) => (self.permit(address.into()), self.allow(address.into())),
            Some(Host::Ipv6(address)) => (self.permit(address.into()), self.allow(address.into())),
            Some(Host::Domain(name)) if is_this_machine(name) => {
                let allows = self.allow(Ipv4Addr::LOCALHOST.into()) || self.allow(Ipv6Addr::LOCALHOST.into());
                (allows, allows)
            }
            // What it stands for is known when it is called.
            Some(Host::Domain(_)) => (true, !self.allowed.is_empty()),
            None => return wrong(ViolationCode::InvalidFormat, "This URL has no host. Add one.".to_owned()),
        };
        if !is_permitted {
            let detail =
                "This host is not on the public internet. Use a public host, or ask the operator to allow this one.";
            return wrong(ViolationCode::NotAllowed, detail.to_owned());
        }
        if url.scheme() != "https" && !is_allowed {
            return wrong(ViolationCode::NotAllowed, "Only https is allowed. Use an https URL.".to_owned());
        }
        Ok(url)
    }
}

/// Whether a name is this machine's by definition (RFC 6761).
fn is_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

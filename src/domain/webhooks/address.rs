//! Which addresses webhooks may call. A tenant chooses the URL, and the service calls it from inside the provider's
//! network. So only public addresses are allowed, and addresses that the operator allows explicitly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::domain::refusal::{Violation, ViolationCode};
use crate::domain::text::WebhookUrl;

/// IPv4 ranges that are not public (IANA special-purpose addresses and multicast), and a public address with which
/// Azure serves only its own machines.
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

/// All IPv6 addresses that are assigned for the internet.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The special-purpose ranges in [`GLOBAL_UNICAST`]: protocols including Teredo, and documentation.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// IPv6 ranges that contain an IPv4 address: mapped, translated (NAT64) or tunnelled (6to4).
const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// Whether the whole internet can reach the address.
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

/// The IPv4 address that an IPv6 address leads to, if any.
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

/// The addresses that webhooks may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    allowed: Vec<IpNet>,
}

impl Addresses {
    /// All public addresses, and the `allowed` networks.
    #[must_use]
    pub fn public_and(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether the address may be called over TLS.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        is_public(address) || self.allow(address)
    }

    /// Whether the operator explicitly allows the address. These addresses may also be called without TLS.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        let inner = inner(address).map(IpAddr::V4);
        let is_in = |net: &IpNet| net.contains(&address) || inner.is_some_and(|inner| net.contains(&inner));
        self.allowed.iter().any(is_in)
    }

    /// Returns the URL if it may be called, as far as this can be decided without a name lookup. Detects unusual forms
    /// of addresses: `http://0x7f.1` is 127.0.0.1.
    ///
    /// # Errors
    /// What is wrong with the URL.
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
            // The address of a name is checked when it is called.
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

/// Whether the name means the local machine by definition (RFC 6761).
fn is_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

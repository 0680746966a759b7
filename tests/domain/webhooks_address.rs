//! The allowed destinations of events, by address and by URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use partner_platform::domain::refusal::ViolationCode;
use partner_platform::domain::webhooks::address::{Addresses, is_public};
use proptest::prelude::*;

use crate::samples::text;

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "3ffe::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:0808:0808::1",
];

const NOT_PUBLIC: &[&str] = &[
    // This host, private, shared, loopback, link-local.
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.168.0.0",
    "192.168.255.255",
    // Protocols, documentation, relays, benchmarks, multicast, reserved, broadcast.
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    // The address at which a cloud serves its own machines.
    "168.63.129.16",
    // The same addresses embedded in IPv6: mapped, compatible (deprecated), translated, tunnelled.
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::ffff:168.63.129.16",
    "64:ff9b::127.0.0.1",
    "64:ff9b::192.168.1.1",
    "64:ff9b:1::1",
    "64:ff9b:1:0:0:0:8.8.8.8",
    "2002:7f00:0001::1",
    "2002:c0a8:0101::1",
    "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    // Special addresses of IPv6 itself.
    "::",
    "::1",
    "100::1",
    "1fff::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff::1",
    "2001:db8::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
];

#[test]
fn what_the_whole_internet_reaches_is_public_and_nothing_else() {
    for address in PUBLIC {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
    for address in NOT_PUBLIC {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
}

/// The special addresses of IPv4, computed independently with the standard library.
fn is_special(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && b & 0xc0 == 64)
        || (a == 198 && b & 0xfe == 18)
        || [[192, 0, 0], [192, 88, 99]].contains(&[a, b, c])
        || address == Ipv4Addr::new(168, 63, 129, 16)
}

proptest! {
    #[test]
    fn ipv4_is_public_unless_it_is_special(bits: u32, near in prop::sample::select(NOT_PUBLIC.to_vec()), low: u16) {
        let near: IpAddr = near.parse().unwrap();
        let near = match near { IpAddr::V4(near) => near.to_bits() ^ u32::from(low) << 8, IpAddr::V6(_) => bits };
        for address in [Ipv4Addr::from_bits(bits), Ipv4Addr::from_bits(near)] {
            prop_assert_eq!(is_public(address.into()), !is_special(address), "{}", address);
        }
    }

    #[test]
    fn ipv4_is_the_same_inside_of_ipv6(bits: u32, host: u64) {
        let address = Ipv4Addr::from_bits(bits);
        let nat64 = Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(bits));
        let six_to_four = Ipv6Addr::from_bits(0x2002 << 112 | u128::from(bits) << 80 | u128::from(host));
        for inside in [address.to_ipv6_mapped(), nat64, six_to_four] {
            prop_assert_eq!(is_public(inside.into()), is_public(address.into()), "{}", inside);
        }
    }
}

fn allowing(nets: &[&str]) -> Addresses {
    Addresses::public_and(nets.iter().map(|net| net.parse().unwrap()).collect())
}

/// The problem of a URL.
fn check(addresses: &Addresses, url: &str) -> Option<ViolationCode> {
    addresses.check(&text(url)).err().map(|violation| violation.code)
}

#[test]
fn a_url_names_a_public_host_over_https() {
    use ViolationCode::{InvalidFormat, NotAllowed};
    let only_public = Addresses::default();
    for fine in ["https://receiver.example/", "https://8.8.8.8:8443/a?b=c", "https://[2606:4700::1111]/"] {
        assert_eq!(check(&only_public, fine), None, "{fine}");
    }
    for (url, code) in [
        ("http://receiver.example/", NotAllowed),
        ("http://8.8.8.8/", NotAllowed),
        ("https://user@receiver.example/", NotAllowed),
        ("https://user:pass@receiver.example/", NotAllowed),
        ("https://:pass@receiver.example/", NotAllowed),
        ("https://receiver.example/#part", NotAllowed),
        ("https://receiver.example:99999/", InvalidFormat),
        ("https://[::1/", InvalidFormat),
        ("https://exa%mple/", InvalidFormat),
    ] {
        assert_eq!(check(&only_public, url), Some(code), "{url}");
    }
}

#[test]
fn a_private_address_is_one_however_it_is_written() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0X7F.0.0.0x1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "0",
        "0.0.0.0",
        "10.1",
        "3232235777",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
        "localhost",
        "LocalHost",
        "localhost.",
        "a.localhost",
        "a.LOCALHOST.",
    ] {
        let url = format!("https://{host}/");
        assert_eq!(check(&Addresses::default(), &url), Some(ViolationCode::NotAllowed), "{url}");
        let elsewhere = allowing(&["192.168.7.0/24", "fd12::/16"]);
        assert_eq!(check(&elsewhere, &url), Some(ViolationCode::NotAllowed), "{url} is not in the allowed networks");
    }
}

#[test]
fn what_the_operator_allows_may_be_named_and_without_tls() {
    let some = allowing(&["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"]);
    for fine in [
        "http://127.0.0.1:8080/",
        "http://0x7f.1/",
        "https://127.0.0.1/",
        "http://localhost:9/",
        "http://10.1.2.3/",
        "http://[::ffff:10.1.2.3]/",
        "http://[fd00::1]/",
        "http://receiver.internal/",
        "https://8.8.8.8/",
    ] {
        assert_eq!(check(&some, fine), None, "{fine}");
    }
    for refused in ["https://10.2.0.1/", "http://10.2.0.1/", "http://8.8.8.8/", "https://[::1]/", "https://[fc00::1]/"]
    {
        assert_eq!(check(&some, refused), Some(ViolationCode::NotAllowed), "{refused}");
    }
}

#[test]
fn what_is_permitted_is_public_or_allowed() {
    let some = allowing(&["10.1.0.0/16"]);
    for (address, permits, allows) in [
        ("10.1.0.1", true, true),
        ("::ffff:10.1.0.1", true, true),
        ("10.2.0.1", false, false),
        ("8.8.8.8", true, false),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!((some.permit(address), some.allow(address)), (permits, allows), "{address}");
    }
}

//! Whose request it is: the peer, or whom a trusted proxy names.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address or a block of them: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, all) = match (self.address, canonical(address)) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let shift = all - u32::from(self.bits);
        ours.checked_shr(shift).unwrap_or(0) == theirs.checked_shr(shift).unwrap_or(0)
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address and no block of addresses such as 10.0.0.0/8");
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address = canonical(address.trim().parse().map_err(|_| wrong())?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|b| *b <= most).ok_or_else(wrong)?,
        };
        Ok(Self { address, bits })
    }
}

/// IPv4 in IPv6 is IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The address that counts: the peer's own, or the last in `X-Forwarded-For` that no trusted proxy has.
/// A header of anybody else's is not believed, and neither is what stands before a word that is no address.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &[Network],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|n| n.contains(address));
    let mut client = canonical(peer);
    for header in forwarded.rev() {
        for word in header.rsplit(|b| *b == b',') {
            if !is_trusted(client) {
                return client;
            }
            let Some(address) = std::str::from_utf8(word).ok().and_then(|w| read(w.trim())) else {
                return client;
            };
            client = address;
        }
    }
    client
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]:567`.
fn read(word: &str) -> Option<IpAddr> {
    let word = word.trim_matches('"');
    let bare = word.strip_prefix('[').and_then(|w| w.split_once(']')).map_or(word, |(inside, _)| inside);
    let address =
        bare.parse::<IpAddr>().ok().or_else(|| word.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()));
    address.map(canonical)
}

/// What limits count by: an IPv4 address, or the /64 that one household has.
pub fn household(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> =
            ["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|n| n.parse().unwrap()).to_vec();
        let client = |peer: &str, headers: &[&str]| {
            let headers: Vec<&[u8]> = headers.iter().map(|h| h.as_bytes()).collect();
            client_address(peer.parse().unwrap(), headers.into_iter(), &trusted).to_string()
        };
        assert_eq!(client("5.5.5.5", &["1.1.1.1"]), "5.5.5.5");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        // What the client itself wrote comes first and does not count.
        assert_eq!(client("127.0.0.1", &["9.9.9.9, 1.1.1.1, 10.2.3.4"]), "1.1.1.1");
        assert_eq!(client("127.0.0.1", &["9.9.9.9", "1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("::ffff:127.0.0.1", &["[2001:db8::1]:44"]), "2001:db8::1");
        assert_eq!(client("127.0.0.1", &["1.1.1.1, unknown"]), "127.0.0.1");
        assert_eq!(client("fd00::7", &["1.1.1.1:55"]), "1.1.1.1");
        assert_eq!(household("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::");
        for bad in ["", "x", "1.1.1.1/33", "::/129", "1.1.1.1/x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
    }
}

//! The visit token, made here as the site script makes it: 50 bits as ten symbols of Crockford's base32 and
//! a Luhn check symbol over the same alphabet. Written from the definition alone, apart from the product's
//! own reader, so that the two check each other.

pub const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
pub const LEN: usize = 11;
pub type Token = [u8; LEN];

/// The token of a 50-bit visit number (higher bits are dropped).
pub fn token(number: u64) -> Token {
    let mut t = [b'0'; LEN];
    for (i, symbol) in t.iter_mut().take(10).enumerate() {
        *symbol = ALPHABET[(number >> (45 - 5 * i) & 31) as usize];
    }
    t[10] = check(number);
    t
}

fn check(number: u64) -> u8 {
    let mut sum = 0;
    for i in 0..10u64 {
        // i counts from the right; the rightmost symbol is doubled.
        let p = (number >> (5 * i) & 31) * if i % 2 == 0 { 2 } else { 1 };
        sum += p / 32 + p % 32;
    }
    ALPHABET[((32 - sum % 32) % 32) as usize]
}

pub fn text(t: &Token) -> &str {
    std::str::from_utf8(t).unwrap_or_default()
}

/// Cyrillic capitals for the Latin ones that look alike: what a Russian keyboard makes of a retyped token.
pub fn look_alike(t: &Token) -> String {
    t.iter()
        .map(|b| match b {
            b'A' => 'А',
            b'B' => 'В',
            b'C' => 'С',
            b'E' => 'Е',
            b'H' => 'Н',
            b'K' => 'К',
            b'M' => 'М',
            b'P' => 'Р',
            b'T' => 'Т',
            b'X' => 'Х',
            other => char::from(*other),
        })
        .collect()
}

/// The same token with one symbol changed: the check symbol no longer fits.
pub fn damaged(t: &Token, place: usize, by: u8) -> Token {
    let mut out = *t;
    let i = place % LEN;
    let was = ALPHABET.iter().position(|a| *a == t[i]).unwrap_or(0);
    out[i] = ALPHABET[(was + 1 + usize::from(by % 31)) % 32];
    out
}

/// Outside its brackets a token is believed only if it holds a letter; all digits might be a phone.
pub fn has_letter(t: &Token) -> bool {
    t.iter().any(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_pairs() {
        for (n, want) in [
            (0, "00000000000"),
            (1, "0000000001Y"),
            (31, "000000000Z1"),
            (32, "0000000010Z"),
            (1023, "00000000ZZ2"),
            (123_456_789_012, "003JZ9J6GMG"),
            (1_125_899_906_842_623, "ZZZZZZZZZZA"),
            (777_777_777_777_777, "P3CA02H73HV"),
            (617_654_315_427_036, "HHR3D1196WD"),
        ] {
            assert_eq!(text(&token(n)), want);
        }
    }
}

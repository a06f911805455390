//! Ids of records: 15 symbols in which case counts, and 3 more that say which of them are capitals.
//!
//! <https://help.salesforce.com/s/articleView?id=000385585>

const SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The id with all 18 symbols; `None` when it is no id.
pub(crate) fn long(id: &str) -> Option<String> {
    let short = match id.len() {
        15 => id,
        18 => id.get(..15)?,
        _ => return None,
    };
    if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let mut long = short.to_owned();
    for five in short.as_bytes().chunks(5) {
        let bits = five.iter().enumerate().filter(|(_, b)| b.is_ascii_uppercase());
        let place: usize = bits.map(|(n, _)| 1 << n).sum();
        long.push(char::from(*SUFFIX.get(place)?));
    }
    (id.len() == 15 || id.eq_ignore_ascii_case(&long)).then_some(long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_more_symbols() {
        // From the vendor's samples: a record's short and long form.
        assert_eq!(long("a00D0000008pQRA").as_deref(), Some("a00D0000008pQRAIA2"));
        assert_eq!(long("003q000000KvQ1t").as_deref(), Some("003q000000KvQ1tAAF"));
        assert_eq!(long("003q000000KvQ1tAAF").as_deref(), Some("003q000000KvQ1tAAF"));
        for bad in ["", "003q000000KvQ1", "003q000000KvQ1tAAA", "003q000000KvQ1?", "003q000000KvQ1яя"] {
            assert_eq!(long(bad), None, "{bad}");
        }
    }
}

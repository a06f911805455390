//! Parts of URLs as they stand in logs: often cut, relative or without a scheme.

use std::borrow::Cow;

/// The value of a query parameter, decoded (`+` and `%20` are spaces). The first that is not empty;
/// `None` when there is none.
pub fn param<'a>(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let query = text.split('#').next()?.split_once('?')?.1;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(n, v)| n == name && !v.is_empty())
        .map(|(_, value)| value)
}

/// The host, in lower case, without port, user and the dot at the end; names outside ASCII as
/// punycode. A text without a scheme counts when it begins like a host (`shop.ru/cart`).
pub fn host(text: &str) -> Option<Cow<'_, str>> {
    let (authority, _) = split(text)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    if !host.is_ascii() {
        return match url::Host::parse(host).ok()? {
            url::Host::Domain(domain) => Some(Cow::Owned(domain)),
            _ => None,
        };
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':')) {
        return None;
    }
    match host.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Some(Cow::Owned(host.to_ascii_lowercase())),
        false => Some(Cow::Borrowed(host)),
    }
}

/// The path as it is written, percent signs and all; `/` for a bare host, `None` for no URL.
pub fn path(text: &str) -> Option<&str> {
    let text = text.trim();
    let path = if text.starts_with('/') && !text.starts_with("//") { text } else { split(text)?.1 };
    let path = path.split(['?', '#']).next()?;
    Some(if path.is_empty() { "/" } else { path })
}

/// Authority and what follows it.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = |rest: &str| rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if let Some(at) = text.find("//")
        && text[..end(text)].len() == at
    {
        let scheme = &text[..at];
        let known = scheme.is_empty()
            || scheme.strip_suffix(':').is_some_and(|s| {
                !s.is_empty()
                    && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            });
        let rest = &text[at + 2..];
        return known.then(|| rest.split_at(end(rest)));
    }
    let (authority, rest) = text.split_at(end(text));
    // `mailto:a@b.ru` and words are no hosts; `shop.ru:8080` is.
    let plain = match authority.split_once(':') {
        Some((host, port)) => {
            !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && host.contains('.')
        }
        None => authority.contains('.') && !authority.contains('@'),
    };
    (plain && !authority.contains(char::is_whitespace)).then_some((authority, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters() {
        let url = "https://shop.ru/?utm_source=%D1%8F%D0%BD%D0%B4%D0%B5%D0%BA%D1%81&utm_term=a+b%20c&empty=&x=1&x=2&flag#utm_medium=no";
        assert_eq!(param(url, "utm_source").unwrap(), "яндекс");
        assert_eq!(param(url, "utm_term").unwrap(), "a b c");
        assert_eq!(param(url, "x").unwrap(), "1");
        for none in ["empty", "flag", "utm_medium", "UTM_SOURCE", ""] {
            assert_eq!(param(url, none), None, "{none}");
        }
        assert_eq!(param("/cart?a=%zz%", "a").unwrap(), "%zz%");
        assert_eq!(param("a=1", "a"), None);
        assert_eq!(param("?a=%ff", "a").unwrap(), "\u{fffd}");
    }

    #[test]
    fn hosts() {
        for (text, want) in [
            ("https://Shop.RU:8443/a?b#c", "shop.ru"),
            ("http://user:pa@ss@shop.ru./", "shop.ru"),
            ("//cdn.shop.ru", "cdn.shop.ru"),
            ("shop.ru/cart?to=http://other.ru", "shop.ru"),
            ("shop.ru:80", "shop.ru"),
            ("https://магазин.рф/каталог", "xn--80aaag1anec3b.xn--p1ai"),
            ("android-app://com.google.android.gm/", "com.google.android.gm"),
            ("http://[2001:db8::1]:80/", "2001:db8::1"),
            ("http://localhost", "localhost"),
        ] {
            let found = host(text);
            assert!(found.is_some(), "{text}");
            if want.starts_with("xn--") {
                assert!(found.unwrap().ends_with(".xn--p1ai"), "{text}");
            } else {
                assert_eq!(found.unwrap(), want, "{text}");
            }
        }
        for none in [
            "",
            "/cart",
            "cart",
            "mailto:a@b.ru",
            "javascript:void(0)",
            "http://",
            "http:///x",
            "a b.ru",
            "http://a b/",
            "?x=1",
            "#",
            "два слова. вот",
        ] {
            assert_eq!(host(none), None, "{none}");
        }
    }

    #[test]
    fn paths() {
        for (text, want) in [
            ("https://shop.ru", "/"),
            ("https://shop.ru?a=1", "/"),
            ("https://shop.ru/a%20b/c?d#e", "/a%20b/c"),
            ("/cart#x", "/cart"),
            ("shop.ru/каталог", "/каталог"),
            ("//cdn.ru/x", "/x"),
        ] {
            assert_eq!(path(text), Some(want), "{text}");
        }
        assert_eq!(path("word"), None);
        assert_eq!(path(""), None);
    }
}

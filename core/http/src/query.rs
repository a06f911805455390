//! Query strings.

/// `name=value&...` with what must be percent-encoded; for query strings and form bodies.
pub fn encode<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        out.append_pair(name.as_ref(), value.as_ref());
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn encodes_every_script() {
        let query = super::encode([("filter[name]", "Ирина & co"), ("q", "a=b")]);
        assert_eq!(query, "filter%5Bname%5D=%D0%98%D1%80%D0%B8%D0%BD%D0%B0+%26+co&q=a%3Db");
    }
}

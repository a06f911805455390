//! A line of a program's output: a message, or what programs print beside them.

/// Objects in a line of text that are looked at.
const LOOKED_AT: usize = 32;

/// The text of a line that begins as a message; `None` for noise: programs print what they should log.
///
/// `is_record` tells whether a text is a record from end to end. A record behind other text (a program that writes
/// `loading... ` without an end of the line) is a row that would get lost as noise, so it is an error.
///
/// # Errors
/// What is wrong with a line that is a message, or holds one.
pub(crate) fn text(line: &[u8], is_record: impl Fn(&[u8]) -> bool) -> Result<Option<&str>, String> {
    let begun = line.trim_ascii_start();
    if begun.starts_with(b"{") {
        return std::str::from_utf8(begun).map(Some).map_err(|_| "it is not UTF-8".into());
    }
    let mut objects = memchr::memchr_iter(b'{', begun).take(LOOKED_AT);
    if objects.any(|at| is_record(&begun[at..])) {
        return Err("a record stands behind other text; each message is a line of its own".into());
    }
    Ok(None)
}

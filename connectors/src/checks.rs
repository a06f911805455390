//! What options of several connectors are checked for, in the same words. `wrong` hears what is wrong with an option
//! and its JSON pointer; what is then given in place of the value is never used.

use std::ops::RangeInclusive;
use std::path::Path;

use chrono::NaiveDate;
use chrono_tz::Tz;

/// `YYYY-MM-DD`
pub(crate) fn day(text: &str, pointer: &str, wrong: &mut dyn FnMut(String, &str)) -> NaiveDate {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap_or_else(|_| {
        wrong(format!("{text:?} is no day; write YYYY-MM-DD"), pointer);
        NaiveDate::default()
    })
}

/// An IANA name.
pub(crate) fn time_zone(name: &str, pointer: &str, wrong: &mut dyn FnMut(String, &str)) -> Tz {
    name.parse().unwrap_or_else(|_| {
        wrong(format!("{name:?} is no time zone; write an IANA name such as Europe/Moscow"), pointer);
        Tz::UTC
    })
}

/// Numbers with their bounds, both included, and their pointers.
pub(crate) fn within(numbers: &[(u64, RangeInclusive<u64>, &str)], wrong: &mut dyn FnMut(String, &str)) {
    for (number, range, pointer) in numbers.iter().filter(|(number, range, _)| !range.contains(number)) {
        wrong(format!("{number} is not from {} to {}", range.start(), range.end()), pointer);
    }
}

/// A pattern of files, or a file whose name looks like a broken one: [`crate::local::find`] finds both.
pub(crate) fn file_pattern(
    pattern: &str,
    base_dir: &Path,
    pointer: &str,
    wrong: &mut dyn FnMut(String, &str),
) {
    if let Err(e) = glob::Pattern::new(pattern)
        && !base_dir.join(pattern).is_file()
    {
        wrong(format!("{pattern:?} is no file pattern: {} at character {}", e.msg, e.pos), pointer);
    }
}

//! When to try again: `Retry-After`, and a growing pause with chance in it.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use rand::Rng;
use throughline_core::http::HttpResponseHead;

/// The longest pause that we choose ourselves.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The least pause of an account that answered 429 and did not say how long.
const LEAST_THROTTLE: Duration = Duration::from_secs(1);

/// How long `Retry-After` asks to wait, in either form (RFC 9110, 10.2.3). A date counts from the
/// answer's own `Date`, so that a clock of ours that is wrong does no harm. Nonsense counts as absent.
pub fn retry_after(head: &HttpResponseHead, now: DateTime<Utc>) -> Option<Duration> {
    let given = head.header("retry-after")?.trim();
    if let Ok(seconds) = given.parse::<f64>() {
        // Some vendors write fractions.
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = http_date(given)?;
    let from = head.header("date").and_then(http_date).unwrap_or(now);
    Some((at - from).to_std().unwrap_or_default())
}

/// The three forms of a date in HTTP (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(date) = DateTime::parse_from_rfc2822(text) {
        return Some(date.to_utc());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|date| date.and_utc())
}

/// The pause after the `attempt`-th attempt (from 1) failed: full jitter under a doubling bound, so
/// that streams that failed together do not come back together.
pub fn backoff(attempt: u32, rng: &mut impl Rng) -> Duration {
    let bound = FIRST_BACKOFF.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_BACKOFF);
    bound.mul_f64(rng.random_range(0.0..=1.0))
}

/// The pause of the whole account after a 429 without `Retry-After`.
pub fn throttle(attempt: u32, rng: &mut impl Rng) -> Duration {
    (LEAST_THROTTLE.saturating_mul(1 << attempt.saturating_sub(1).min(5)) / 2 + backoff(attempt, rng))
        .clamp(LEAST_THROTTLE, LONGEST_BACKOFF)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn after(headers: &[(&str, &str)]) -> Option<Duration> {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap(); // Sun, 06 Nov 1994 08:49:37 GMT
        retry_after(&HttpResponseHead { status: 429, headers, exchange: 1 }, now)
    }

    #[test]
    fn retry_after_in_all_forms() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(after(&[("retry-after", "7")]), seconds(7));
        assert_eq!(after(&[("retry-after", " 0.5 ")]), Some(Duration::from_millis(500)));
        for date in
            ["Sun, 06 Nov 1994 08:50:37 GMT", "Sunday, 06-Nov-94 08:50:37 GMT", "Sun Nov  6 08:50:37 1994"]
        {
            assert_eq!(after(&[("retry-after", date)]), seconds(60), "{date}");
        }
        let skewed =
            [("date", "Sun, 06 Nov 1994 09:00:00 GMT"), ("retry-after", "Sun, 06 Nov 1994 09:00:05 GMT")];
        assert_eq!(after(&skewed), seconds(5));
        assert_eq!(after(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), seconds(0));
        for nonsense in ["", "soon", "-1", "NaN", "1e99", "inf", "Sun, 99 Nov 1994 08:00:00 GMT"] {
            assert_eq!(after(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn backoff_grows_to_a_cap() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        for attempt in [1, 2, 8, 40, u32::MAX] {
            for _ in 0..100 {
                let bound = FIRST_BACKOFF.saturating_mul(1 << (attempt - 1).min(10)).min(LONGEST_BACKOFF);
                assert!(backoff(attempt, &mut rng) <= bound);
                let throttled = throttle(attempt, &mut rng);
                assert!((LEAST_THROTTLE..=LONGEST_BACKOFF).contains(&throttled));
            }
        }
        let twice = || backoff(5, &mut rand::rngs::StdRng::seed_from_u64(1));
        assert_eq!(twice(), twice());
    }
}

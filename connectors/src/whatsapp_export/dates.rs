//! Which of a date's numbers is the day: the phone's language decides it, and the file does not say it.

use chrono::{NaiveDate, NaiveDateTime};
use schemars::JsonSchema;
use serde::Deserialize;

use super::head::Head;

/// The order of the numbers of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
    /// Year, month, day.
    Ymd,
}

const ORDERS: [DateOrder; 3] = [DateOrder::Dmy, DateOrder::Mdy, DateOrder::Ymd];
/// WhatsApp is as old as this.
const YEARS: std::ops::Range<i32> = 2009..2100;

impl DateOrder {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Dmy => "dmy",
            Self::Mdy => "mdy",
            Self::Ymd => "ymd",
        }
    }

    /// The local moment of a head; `None` when there is no such day.
    pub(super) fn moment(self, head: &Head<'_>) -> Option<NaiveDateTime> {
        let [a, b, c] = head.date;
        let (day, month, year, year_digits) = match self {
            Self::Dmy => (a, b, c, head.digits[2]),
            Self::Mdy => (b, a, c, head.digits[2]),
            Self::Ymd => (c, b, a, head.digits[0]),
        };
        let year = match year_digits {
            4 => i32::try_from(year).ok()?,
            2 => 2000 + i32::try_from(year).ok()?,
            _ => return None,
        };
        if !YEARS.contains(&year) {
            return None;
        }
        NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(head.hour, head.minute, head.second)
    }
}

/// Every date of a file, under every order.
#[derive(Debug, Default)]
pub(super) struct Orders {
    tried: [Tried; 3],
    seen: u64,
    /// The first date whose day and month could change places.
    doubtful: Option<(u64, String)>,
}

#[derive(Debug, Default)]
struct Tried {
    /// The first line without such a day.
    broken: Option<(u64, String)>,
    last: Option<NaiveDateTime>,
    /// How often it goes back by more than a day, which a chat never does.
    back: u64,
}

impl Orders {
    pub fn see(&mut self, head: &Head<'_>, line: u64) {
        self.seen += 1;
        let separator = head.style.separator;
        let shown = || head.date.map(|n| n.to_string()).join(&separator.to_string());
        let mut moments = [None; 3];
        for ((order, tried), kept) in ORDERS.iter().zip(&mut self.tried).zip(&mut moments) {
            // No language puts the month first but with slashes; the year goes first with four digits.
            let usual = match order {
                DateOrder::Dmy => head.digits[0] <= 2,
                DateOrder::Mdy => head.digits[0] <= 2 && separator == '/',
                DateOrder::Ymd => head.digits[0] == 4,
            };
            let Some(moment) = order.moment(head).filter(|_| usual) else {
                tried.broken.get_or_insert_with(|| (line, shown()));
                continue;
            };
            if tried.last.is_some_and(|last| last - moment > chrono::TimeDelta::days(1)) {
                tried.back += 1;
            }
            tried.last = Some(moment);
            *kept = Some(moment);
        }
        if let [Some(a), Some(b), _] = moments
            && a != b
        {
            self.doubtful.get_or_insert_with(|| (line, shown()));
        }
    }

    /// The one order that fits, or why there is none.
    pub fn decide(&self) -> Result<DateOrder, String> {
        let fitting: Vec<(DateOrder, &Tried)> =
            ORDERS.into_iter().zip(&self.tried).filter(|(_, t)| t.broken.is_none()).collect();
        match fitting.as_slice() {
            [] => {
                let mut broken: Vec<String> = ORDERS
                    .iter()
                    .zip(&self.tried)
                    .filter_map(|(o, t)| t.broken.as_ref().map(|(line, date)| (o, line, date)))
                    .map(|(order, line, date)| format!("{date} in line {line} is no {}", order.word()))
                    .collect();
                broken.dedup();
                Err(format!("its dates fit no order: {}", broken.join(", ")))
            }
            [(only, _)] => Ok(*only),
            [(first, a), (second, b), ..] => match &self.doubtful {
                None => Ok(*first),
                // A chat goes forward in time: the wrong order jumps to and fro.
                Some(_) if a.back == 0 && b.back > 0 => Ok(*first),
                Some(_) if b.back == 0 && a.back > 0 => Ok(*second),
                Some((line, date)) => Err(format!(
                    "its dates may be read in two ways, {} or {} ({date} in line {line}), and nothing in the file tells which",
                    first.word(),
                    second.word()
                )),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decide(lines: &[&str]) -> Result<DateOrder, String> {
        let mut orders = Orders::default();
        for (line, number) in lines.iter().zip(1..) {
            orders.see(&Head::read(&format!("{line}, 10:00 - А: т")).unwrap(), number);
        }
        orders.decide()
    }

    #[test]
    fn the_order_is_found_where_the_file_tells_it() {
        assert_eq!(decide(&["03.04.2026"]), Ok(DateOrder::Dmy), "dots");
        assert_eq!(decide(&["03-04-2026"]), Ok(DateOrder::Dmy));
        assert_eq!(decide(&["2026-03-04"]), Ok(DateOrder::Ymd));
        assert_eq!(decide(&["2026/03/04"]), Ok(DateOrder::Ymd));
        assert_eq!(decide(&["03/04/26", "13/04/26"]), Ok(DateOrder::Dmy));
        assert_eq!(decide(&["03/04/26", "04/13/26"]), Ok(DateOrder::Mdy));
        assert_eq!(decide(&["03/03/26", "04/04/26"]), Ok(DateOrder::Dmy), "the same in both");
        // In one order the second of March comes before the third of January.
        assert_eq!(decide(&["01/02/26", "02/02/26", "03/02/26", "01/03/26"]), Ok(DateOrder::Dmy));
        assert_eq!(decide(&["1/2/26", "1/3/26", "1/4/26", "2/1/26"]), Ok(DateOrder::Mdy));
    }

    #[test]
    fn a_file_that_does_not_tell_is_an_error() {
        let error = decide(&["05/05/26", "03/04/26"]).unwrap_err();
        assert!(error.contains("dmy or mdy (3/4/26 in line 2)"), "{error}");
        let error = decide(&["13/04/26", "04/13/26"]).unwrap_err();
        assert!(
            error.contains("4/13/26 in line 2 is no dmy") && error.contains("13/4/26 in line 1 is no mdy"),
            "{error}"
        );
        assert!(decide(&["31/02/26"]).is_err());
        assert!(decide(&["1/1/1404"]).is_err(), "another calendar");
    }
}

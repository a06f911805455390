//! Many pages in one answer: commands that the vendor carries out one after the other, each of which begins
//! behind the last record of the one before. See [`Chain`](super::spec::Chain).

use serde_json::{Map, Value};
use throughline_core::{Error, Result};

use super::plan::ChainPlan;
use super::template::Scope;

/// What an answer holds.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    /// The answers to commands, up to the first one with a page that is not full.
    pub good: Vec<&'a str>,
    /// The command that was refused while its predecessors' pages were full, and the refusal.
    pub refused: Option<(String, &'a str)>,
    /// The last page is not full: nothing follows.
    pub ended: bool,
}

impl ChainPlan {
    /// Commands of the request behind so many others: twice as many each time.
    pub fn width(&self, requests: u64) -> u32 {
        1_u32
            .checked_shl(u32::try_from(requests).unwrap_or(u32::MAX))
            .map_or(self.pages, |w| w.min(self.pages))
    }

    /// The commands by their names. `None` when something in them has no value.
    pub fn commands(&self, width: u32, scope: Scope<'_>) -> Option<Value> {
        let encode = |text: String| {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
        };
        let mut commands = Map::new();
        for number in 0..width {
            let last = match number.checked_sub(1) {
                None => scope("last"),
                Some(before) => self
                    .last
                    .text(&|n| if n == "before" { Some(name(before).into()) } else { scope(n) })
                    .map(Value::from),
            };
            let all = |n: &str| if n == "last" { last.clone() } else { scope(n) };
            commands.insert(name(number), self.command.text_with(&all, encode)?.into());
        }
        Some(Value::Object(commands))
    }

    /// The command that was refused, and the refusal, when that is the first thing that is wrong.
    pub fn refusal<'a>(&self, answer: &'a [u8]) -> Option<(String, &'a str)> {
        if self.refusals.members(answer).is_ok_and(|all| all.is_empty()) {
            return None;
        }
        // What is no JSON is seen when it is read.
        self.pages(answer, None).ok()?.refused
    }

    /// Takes an answer apart. `width` is how many commands there were; without it, as many as are answered.
    ///
    /// # Errors
    /// `Protocol` when the answer is no JSON, or one of the commands has no answer at all.
    pub fn pages<'a>(&self, answer: &'a [u8], width: Option<u32>) -> Result<Pages<'a>> {
        let answers = self.answers.members(answer)?;
        let refusals = self.refusals.members(answer)?;
        let of = |all: &[(String, &'a str)], name: &str| all.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        let mut pages = Pages { good: Vec::new(), refused: None, ended: false };
        for number in 0..width.unwrap_or(self.pages) {
            let name = name(number);
            if let Some(refusal) = of(&refusals, &name) {
                pages.refused = Some((name, refusal));
                break;
            }
            let Some(page) = of(&answers, &name) else {
                if width.is_none() {
                    break;
                }
                return Err(Error::protocol(format!(
                    "the vendor answered {} of {} commands and told nothing of {name:?}",
                    pages.good.len(),
                    width.unwrap_or_default()
                ))
                .temporary(None));
            };
            pages.good.push(page);
            if self.records.count(page.as_bytes())? < self.size {
                pages.ended = true;
                break;
            }
        }
        Ok(pages)
    }
}

/// Names sort as the commands stand, also for vendors that sort them.
fn name(number: u32) -> String {
    format!("p{number:03}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::template::Template;
    use crate::records::Path;

    fn plan() -> ChainPlan {
        ChainPlan {
            pages: 50,
            command: Template::parse("list?filter[%3Eid]={last}&from={from}").unwrap(),
            last: Template::parse("$result[{before}][items][1][id]").unwrap(),
            answers: Path::parse("result.result").unwrap(),
            refusals: Path::parse("result.result_error").unwrap(),
            records: Path::parse("items").unwrap(),
            size: 2,
        }
    }

    #[test]
    fn commands_stand_on_each_other_and_grow() {
        let plan = plan();
        assert_eq!([0, 1, 3, 5, 6, 99].map(|n| plan.width(n)), [1, 2, 8, 32, 50, 50]);
        let scope = |n: &str| match n {
            "last" => Some(json!(7)),
            "from" => Some(json!("2026-09-01T00:00:00+00:00")),
            _ => None,
        };
        assert_eq!(
            plan.commands(2, &scope).unwrap(),
            json!({"p000": "list?filter[%3Eid]=7&from=2026-09-01T00%3A00%3A00%2B00%3A00",
                   "p001": "list?filter[%3Eid]=%24result%5Bp000%5D%5Bitems%5D%5B1%5D%5Bid%5D&from=2026-09-01T00%3A00%3A00%2B00%3A00"})
        );
        assert!(plan.commands(1, &|_| None).is_none());
    }

    #[test]
    fn what_stands_behind_the_end_is_passed_over() {
        let plan = plan();
        let full = json!({"items": [{"id": 1}, {"id": 2}]});
        let answer = |result: Value, errors: Value| {
            json!({"result": {"result": result, "result_error": errors}}).to_string()
        };
        let told = |text: &str, width| {
            plan.pages(text.as_bytes(), width).map(|p| (p.good.len(), p.refused.map(|r| r.0), p.ended))
        };
        let short = answer(json!({"p000": full, "p001": {"items": [{"id": 3}]}, "p002": full}), json!([]));
        assert_eq!(told(&short, Some(3)).unwrap(), (2, None, true));
        let error_behind = answer(json!({"p000": {"items": []}}), json!({"p001": {"error": "X"}}));
        assert_eq!(told(&error_behind, Some(2)).unwrap(), (1, None, true));
        let error = answer(json!({"p000": full}), json!({"p001": {"error": "X"}}));
        assert_eq!(told(&error, Some(2)).unwrap(), (1, Some("p001".into()), false));
        // Full pages to the end: there may be more. A command without any answer is no end.
        let whole = answer(json!({"p000": full, "p001": full}), json!([]));
        assert_eq!(told(&whole, Some(2)).unwrap(), (2, None, false));
        assert!(told(&whole, Some(3)).unwrap_err().is_temporary());
        assert_eq!(told(&answer(json!([]), json!([])), None).unwrap(), (0, None, false));
        assert!(told("{\"result\":", Some(1)).unwrap_err().is_temporary());
    }
}

//! The parameters of a list: page, limit, order, with, filters. What amoCRM does not know is refused here, so
//! that a client's mistake does not pass for an empty filter.

use crate::reply::{Reply, pairs};

pub struct Query {
    pub page: u64,
    pub limit: u64,
    /// Everything but the page, in the order given: tells two questions apart.
    pub key: String,
    with: Vec<String>,
    order: Option<(String, bool)>,
    filters: Vec<(String, String, String)>,
    given_limit: bool,
    all: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub to: i64,
}

impl Range {
    pub const ALL: Range = Range { from: i64::MIN, to: i64::MAX };

    /// Both ends belong to it.
    pub fn contains(self, at: i64) -> bool {
        (self.from..=self.to).contains(&at)
    }
    pub fn is_open(self) -> bool {
        self.from == i64::MIN && self.to == i64::MAX
    }
}

pub struct Order {
    pub by_time: bool,
    pub by_updated: bool,
    pub descending: bool,
}

impl Query {
    /// # Errors
    /// The 400 answer for parameters amoCRM would not accept.
    pub fn parse(query: &str, max: u64) -> Result<Query, Reply> {
        let mut q = Query {
            page: 1,
            limit: 50.min(max),
            key: String::new(),
            with: Vec::new(),
            order: None,
            filters: Vec::new(),
            given_limit: false,
            all: pairs(query),
        };
        for (k, v) in &q.all {
            let number = |most: u64| {
                v.parse::<u64>()
                    .ok()
                    .filter(|n| (1..=most).contains(n))
                    .ok_or_else(|| Reply::invalid(k, &format!("a number from 1 to {most} is needed")))
            };
            match k.as_str() {
                "page" => {
                    q.page = number(u64::from(u32::MAX))?;
                    continue;
                }
                "limit" => {
                    q.limit = number(max)?;
                    q.given_limit = true;
                    continue;
                }
                "with" => q.with.extend(v.split(',').map(str::to_owned)),
                _ => {
                    if let Some(field) = k.strip_prefix("order[").and_then(|r| r.strip_suffix(']')) {
                        if !matches!(field, "created_at" | "updated_at" | "id") {
                            return Err(Reply::invalid(k, "created_at, updated_at or id"));
                        }
                        let descending = match v.as_str() {
                            "asc" => false,
                            "desc" => true,
                            _ => return Err(Reply::invalid(k, "asc or desc")),
                        };
                        q.order = Some((field.to_owned(), descending));
                    } else if let Some(rest) = k.strip_prefix("filter[") {
                        let (name, index) = rest
                            .split_once(']')
                            .ok_or_else(|| Reply::invalid(k, "filter[name] is needed"))?;
                        let index = index.trim_start_matches('[').trim_end_matches(']');
                        q.filters.push((name.to_owned(), index.to_owned(), v.clone()));
                    } else {
                        return Err(Reply::invalid(k, "unknown parameter"));
                    }
                }
            }
            q.key.push_str(&format!("{k}={v}&"));
        }
        for name in ["created_at", "updated_at", "closed_at"] {
            for (n, index, v) in &q.filters {
                let ok = n != name
                    || match index.as_str() {
                        "" => v.split(',').count() <= 2 && v.split(',').all(|p| p.parse::<i64>().is_ok()),
                        "from" | "to" => v.parse::<i64>().is_ok(),
                        _ => false,
                    };
                if !ok {
                    return Err(Reply::invalid(&format!("filter[{n}][{index}]"), "unix seconds are needed"));
                }
            }
        }
        Ok(q)
    }

    /// # Errors
    /// The 400 answer, when a filter is used that this list does not have.
    pub fn only_known(&self, known: &[&str]) -> Result<(), Reply> {
        match self.filters.iter().find(|(n, _, _)| !known.contains(&n.as_str())) {
            Some((n, _, _)) => Err(Reply::invalid(&format!("filter[{n}]"), "this list has no such filter")),
            None => Ok(()),
        }
    }

    pub fn with(&self, name: &str) -> bool {
        self.with.iter().any(|w| w == name)
    }

    pub fn has_no_filter(&self) -> bool {
        self.filters.is_empty()
    }

    pub fn order(&self) -> Order {
        match &self.order {
            None => Order { by_time: false, by_updated: false, descending: false },
            Some((f, descending)) => {
                Order { by_time: f != "id", by_updated: f == "updated_at", descending: *descending }
            }
        }
    }

    /// `filter[x][from]`, `filter[x][to]`, `filter[x]=from,to` or one instant.
    pub fn range(&self, name: &str) -> Range {
        let mut r = Range { from: i64::MIN, to: i64::MAX };
        for (_, index, v) in self.filters.iter().filter(|(n, _, _)| n == name) {
            match index.as_str() {
                "from" => r.from = v.parse().unwrap_or(r.from),
                "to" => r.to = v.parse().unwrap_or(r.to),
                _ => {
                    let (a, b) = v.split_once(',').unwrap_or((v, v));
                    r = Range { from: a.parse().unwrap_or(r.from), to: b.parse().unwrap_or(r.to) };
                }
            }
        }
        r
    }

    /// Values of `filter[x]=a,b` and `filter[x][]=a`.
    pub fn words(&self, name: &str) -> Vec<String> {
        self.filters
            .iter()
            .filter(|(n, _, _)| n == name)
            .flat_map(|(_, _, v)| v.split(',').map(str::to_owned))
            .collect()
    }

    pub fn ids(&self, name: &str) -> Vec<u64> {
        self.words(name).iter().filter_map(|w| w.parse().ok()).collect()
    }

    /// True without such a filter.
    pub fn one_of(&self, name: &str, id: u64) -> bool {
        let mut any = false;
        for (_, _, v) in self.filters.iter().filter(|(n, _, _)| n == name) {
            any = true;
            if v.split(',').any(|p| p.parse() == Ok(id)) {
                return true;
            }
        }
        !any
    }

    /// [`Query::key`] without the filters of that name.
    pub fn key_but(&self, filter: &str) -> String {
        let kept = self.all.iter().filter(|(k, _)| k != "page" && k != "limit" && !k.starts_with(filter));
        kept.map(|(k, v)| format!("{k}={v}&")).collect()
    }

    /// The same question for another page.
    pub fn with_page(&self, page: u64) -> String {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        for (k, v) in self.all.iter().filter(|(k, _)| k != "page") {
            out.append_pair(k, v);
        }
        if !self.given_limit {
            out.append_pair("limit", &self.limit.to_string());
        }
        out.append_pair("page", &page.to_string());
        out.finish()
    }
}

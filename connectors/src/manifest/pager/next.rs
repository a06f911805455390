//! Where the next page is, by each kind of paging.

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result};

use super::{Page, Pager, Place, notice, number};
use crate::manifest::client::{Answer, Connection};
use crate::manifest::moments::us;
use crate::manifest::spec::{AuthKind, PagingKind};
use crate::manifest::state::Turn;

impl Pager {
    /// The turn behind this page; `None` at the end.
    pub(super) fn next(
        &mut self,
        connection: &Connection,
        turn: &Turn,
        at: &Place<'_>,
        answer: &Answer,
        page: &mut Page,
        label: &str,
    ) -> Result<Option<Turn>> {
        let found = page.found.records;
        let paging = &self.plan.spec.paging;
        let short = page
            .short
            .unwrap_or_else(|| paging.short_page_ends && paging.size.is_some_and(|size| found < size));
        match self.plan.paging.kind {
            PagingKind::None => Ok(None),
            PagingKind::Page | PagingKind::Offset => {
                if self.plan.incremental.as_ref().is_some_and(|i| i.ordered) && !turn.unordered {
                    return self.next_ordered(turn, at, answer, page, label, short);
                }
                if !self.more(turn, answer, found, short)? {
                    return Ok(None);
                }
                Ok(Some(self.plain(turn, found)))
            }
            PagingKind::Cursor => {
                let cursor = self.pointer(answer)?;
                if cursor.is_some() && cursor == turn.cursor {
                    return Err(self.loops("the cursor"));
                }
                Ok(cursor.map(|cursor| Turn {
                    pages: turn.pages + 1,
                    cursor: Some(cursor),
                    ..Turn::default()
                }))
            }
            PagingKind::Next => {
                let Some(link) = self.pointer(answer)? else { return Ok(None) };
                let url = self.clean(connection, &link)?;
                if Some(&url) == turn.url.as_ref() {
                    return Err(self.loops("the link to the next page"));
                }
                Ok(Some(Turn { pages: turn.pages + 1, url: Some(url), ..Turn::default() }))
            }
            PagingKind::Keyset => {
                let all = self.plan.paging.left.is_some() && page.left.is_some_and(|left| found >= left);
                if found == 0 || short || all {
                    return Ok(None);
                }
                let last = self.last_key(turn, page)?;
                if last == turn.last {
                    return Err(self.loops("the last key"));
                }
                Ok(Some(Turn { pages: turn.pages + 1, last, ..Turn::default() }))
            }
        }
    }

    fn plain(&self, turn: &Turn, found: u64) -> Turn {
        let mut next = turn.clone();
        next.pages += 1;
        if self.plan.paging.kind == PagingKind::Offset {
            // The record looked at twice does not count.
            next.offset = self.offset(turn) - self.first() + found;
        }
        next
    }

    fn more(&self, turn: &Turn, answer: &Answer, found: u64, short: bool) -> Result<bool> {
        if answer.empty {
            return Ok(false);
        }
        if let Some(path) = &self.plan.paging.more {
            return Ok(path.find(&answer.body)?.is_some_and(truthy));
        }
        let looked_at_twice = u64::from(
            self.plan.paging.kind == PagingKind::Offset && self.offset(turn) < self.first() + turn.offset,
        );
        // A page without a new record is the last one, whatever total the vendor tells: the count shows it.
        if let Some(path) = &self.plan.paging.total
            && let Some(total) = number(path, answer)?
        {
            return Ok(found > looked_at_twice && self.offset(turn) - self.first() + found < total);
        }
        Ok(found > looked_at_twice && !short)
    }

    /// Ordered windows go on at the last time seen.
    fn next_ordered(
        &mut self,
        turn: &Turn,
        at: &Place<'_>,
        answer: &Answer,
        page: &mut Page,
        label: &str,
        short: bool,
    ) -> Result<Option<Turn>> {
        let Some(times) = self.times(page, at) else {
            self.before = None;
            page.events.push(notice(
                "order_not_kept",
                format!("{label}: the records are not in the order that was asked for; the window is read again, page by page"),
            ));
            return Ok(Some(Turn { unordered: true, ..Turn::default() }));
        };
        let here = turn.anchor.or(at.span.from);
        if let (Some((first, _)), Some(anchor)) = (times, turn.anchor)
            && first < anchor
        {
            page.events.push(notice(
                "order_not_kept",
                format!("{label}: the vendor does not keep to {{from}}; pages are counted"),
            ));
            return Ok(Some(Turn { unordered: true, ..Turn::default() }));
        }
        if !self.more(turn, answer, page.found.records, short)? {
            return Ok(None);
        }
        let resolution = self.plan.incremental.as_ref().map_or(1, |i| us(i.resolution).max(1));
        let reached = times.map(|(_, last)| last - last.rem_euclid(resolution));
        Ok(Some(match reached {
            Some(reached) if here.is_none_or(|here| reached > here) => {
                Turn { anchor: Some(reached), ..Turn::default() }
            }
            // More records of one moment than a page holds.
            _ => self.plain(turn, page.found.records),
        }))
    }

    /// First and last time of a page; `None` when they are not in order or cannot be read.
    fn times(&self, page: &Page, at: &Place<'_>) -> Option<Option<(InstantUs, InstantUs)>> {
        let (plan, spec) = (self.plan.incremental.as_ref()?, self.plan.spec.incremental.as_ref()?);
        let mut range: Option<(InstantUs, InstantUs)> = None;
        for batch in &page.batches {
            let column = batch.column_by_name(&spec.cursor)?;
            let format = ArrayFormatter::try_new(column, &FormatOptions::default()).ok()?;
            for row in 0..batch.num_rows() {
                if column.is_null(row) {
                    return None;
                }
                let time = plan.format.read(&format.value(row).to_string(), at.windows.zone())?;
                range = match range {
                    None => Some((time, time)),
                    Some((_, last)) if time < last => return None,
                    Some((first, _)) => Some((first, time)),
                };
            }
        }
        Some(range)
    }

    pub(super) fn last_key(&self, turn: &Turn, page: &Page) -> Result<Option<String>> {
        let Some(name) = &self.plan.spec.paging.column else { return Ok(None) };
        let mut last = turn.last.clone();
        for batch in &page.batches {
            let wrong = |what: &str| {
                Error::protocol(format!(
                    "stream {:?}: {what} the column {name:?}, which pages are turned by",
                    self.plan.spec.name
                ))
            };
            let column = batch.column_by_name(name).ok_or_else(|| wrong("the records have not"))?;
            let format = ArrayFormatter::try_new(column, &FormatOptions::default())?;
            for row in 0..batch.num_rows() {
                if column.is_null(row) || column.data_type() == &DataType::Null {
                    return Err(wrong("a record is without"));
                }
                let key = format.value(row).to_string();
                if let (Some(Ok(a)), Ok(b)) = (last.as_ref().map(|l| l.parse::<i128>()), key.parse::<i128>())
                    && b <= a
                {
                    return Err(wrong("the records are not ordered by")
                        .hint("ask the vendor for this order in the request"));
                }
                last = Some(key);
            }
        }
        Ok(last)
    }

    /// The cursor or link of an answer.
    fn pointer(&self, answer: &Answer) -> Result<Option<String>> {
        let text = match (&self.plan.paging.path, &self.plan.spec.paging.header) {
            (Some(path), _) if !answer.empty => path.scalar(&answer.body)?,
            (_, Some(header)) => answer.head.header(header).and_then(|value| {
                if header.eq_ignore_ascii_case("link") { next_of_link(value) } else { Some(value.to_owned()) }
            }),
            _ => None,
        };
        Ok(text.filter(|t| !matches!(t.as_str(), "" | "null" | "false")))
    }

    /// The link without host and secrets: it goes into checkpoints.
    fn clean(&self, connection: &Connection, link: &str) -> Result<String> {
        let url = connection.next_url(link)?;
        let mut strip = self.plan.spec.paging.strip.clone();
        let auth = connection.plan.auth.iter().filter(|a| a.spec.kind == AuthKind::Query);
        strip.extend(auth.filter_map(|a| a.spec.name.clone()));
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !strip.iter().any(|s| s == name))
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let mut clean = url.path().to_owned();
        if !kept.is_empty() {
            clean.push('?');
            clean.push_str(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish());
        }
        Ok(clean)
    }

    fn loops(&self, what: &str) -> Error {
        Error::protocol(format!("stream {:?}: {what} did not change from page to page", self.plan.spec.name))
            .hint("the same page would be read for ever")
    }
}

fn truthy(json: &str) -> bool {
    let inner = json.trim_matches(['[', ']', '{', '}', '"']).trim();
    !matches!(inner, "" | "null" | "false" | "0")
}

/// The target of `rel="next"` in a Link header (RFC 8288).
fn next_of_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once('<') {
        let (target, behind) = behind.split_once('>')?;
        let params = behind.split_once('<').map_or(behind, |(p, _)| p);
        let is_next = params.split(';').any(|p| {
            let p = p.trim().trim_end_matches(',').trim();
            p.strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|r| r.eq_ignore_ascii_case("next")))
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let header =
            r#"<https://a.example/?page=1>; rel="prev", <https://a.example/?page=3&x=<1>; rel="next""#;
        assert_eq!(next_of_link(r#"</x?page=3>; title="a"; rel="last next""#).as_deref(), Some("/x?page=3"));
        assert_eq!(
            next_of_link(r#"<https://a/1>; rel="prev", <https://a/3>; rel=next"#).as_deref(),
            Some("https://a/3")
        );
        assert_eq!(next_of_link("garbage <"), None);
        assert_eq!(next_of_link(header).as_deref(), Some("https://a.example/?page=3&x=<1"));
    }

    #[test]
    fn what_counts_as_more() {
        for (json, more) in [
            ("null", false),
            ("false", false),
            ("0", false),
            ("\"\"", false),
            ("[]", false),
            ("{}", false),
            ("true", true),
            ("\"x\"", true),
            ("{\"a\":1}", true),
            ("12", true),
        ] {
            assert_eq!(truthy(json), more, "{json}");
        }
    }
}

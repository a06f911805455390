//! The streams of a manifest: their pages, windows, days and parents.

use super::{
    ChainPlan, Compiler, CountPlan, DaysPlan, IncrementalPlan, PagingPlan, StreamPlan, is_word, topic, uses,
};
use crate::manifest::moments::{Format, duration, pattern_is_good};
use crate::manifest::spec::{Manifest, OrderOf, Paging, PagingKind, Stream};
use crate::manifest::template::Template;
use crate::records::Selector;

impl Compiler<'_> {
    pub(super) fn stream(&mut self, manifest: &Manifest, index: usize) -> Option<StreamPlan> {
        let spec = manifest.streams.get(index)?;
        let at = format!("/streams/{index}");
        if !is_word(&spec.name) {
            self.p.add(format!("{at}/name"), "a stream's name is small letters, digits and _");
        }
        if manifest.streams.iter().take(index).any(|s| s.name == spec.name) {
            self.p.add(format!("{at}/name"), format!("there are two streams {:?}", spec.name));
        }
        let known = self.names.len();
        let paging = self.paging(&at, spec);
        let incremental = self.incremental(&at, spec);
        let days = self.days(&at, spec);
        let parent = self.parent(&at, spec, manifest, index);
        // By what is written, not by what was found good: one mistake is not to make another.
        let windowed = spec.incremental.is_some()
            || spec.days.is_some()
            || parent.and_then(|i| manifest.streams.get(i)).is_some_and(|s| s.incremental.is_some());
        if windowed {
            self.names.extend(["from".into(), "to".into()]);
        }
        let chain = self.chain(&at, spec);
        if chain.is_some() {
            self.names.push("chain".into());
        }
        let mut request = self.request(&format!("{at}/request"), &spec.request);
        if let Some(chain) = chain {
            if !uses(&request, "chain") {
                self.p.add(
                    format!("{at}/request"),
                    "nothing in the request uses {chain}: no page would be asked for",
                );
            }
            request.topic = topic(spec.paging.chain.as_ref().map_or("", |c| &c.command));
            request.chain = Some(std::sync::Arc::new(chain));
        }
        let count = spec.count.as_ref().and_then(|count| {
            Some(CountPlan {
                request: count.request.as_ref().map(|r| self.request(&format!("{at}/count/request"), r)),
                path: self.path(&format!("{at}/count/path"), &count.path)?,
                at_most: count.at_most,
            })
        });
        self.names.truncate(known);
        let uses = |name: &str| uses(&request, name);
        let turn = match spec.paging.kind {
            PagingKind::None | PagingKind::Next => None,
            PagingKind::Page => Some("page"),
            PagingKind::Offset => Some("offset"),
            PagingKind::Cursor => Some("cursor"),
            PagingKind::Keyset => Some("last"),
        };
        if let Some(name) = turn.filter(|name| !uses(name)) {
            self.p.add(
                format!("{at}/request"),
                format!("nothing in the request uses {{{name}}}: every page would be the first"),
            );
        }
        if (spec.incremental.is_some() || spec.days.is_some()) && !uses("from") {
            self.p.add(
                format!("{at}/request"),
                "nothing in the request uses {from}: every window would read everything",
            );
        }
        let path = self.path(&format!("{at}/records"), &spec.records)?;
        if !spec.carry.is_empty() && !spec.records.contains("[*]") {
            self.p.add(format!("{at}/carry"), "carry needs a [*] in records");
        }
        let lift = spec.lift.iter().map(|(name, from)| (name.clone(), self.lift(&at, name, from))).collect();
        let selector = Selector {
            path,
            lift: Vec::new(),
            single: spec.single,
            may_be_missing: spec.may_be_missing,
            carry: spec.carry.clone(),
        };
        Some(StreamPlan {
            spec: spec.clone(),
            request,
            selector,
            lift,
            paging,
            incremental,
            days,
            parent,
            count,
        })
    }

    /// A path, or one that options name.
    fn lift(&mut self, stream: &str, name: &str, from: &str) -> Template {
        let at = format!("{stream}/lift/{name}");
        let template = self.template(&at, from);
        if template.names().next().is_none() {
            self.path(&at, &template.text(&|_| None).unwrap_or_default());
        }
        template
    }

    fn chain(&mut self, stream: &str, spec: &Stream) -> Option<ChainPlan> {
        let s = spec.paging.chain.as_ref()?;
        let at = format!("{stream}/paging/chain");
        if spec.paging.kind != PagingKind::Keyset {
            self.p.add(&at, "only paging by keyset has chains");
        }
        if !(1..=1000).contains(&s.pages) {
            self.p.add(format!("{at}/pages"), "must be from 1 to 1000");
        }
        let Some(size) = spec.paging.size else {
            self.p
                .add(format!("{stream}/paging"), "a chain needs size: it ends with a page that is not full");
            return None;
        };
        let command = self.template(&format!("{at}/command"), &s.command);
        if !command.names().any(|n| n == "last") {
            self.p.add(format!("{at}/command"), "it does not use {last}: every page would be the first");
        }
        let known = self.names.len();
        self.names.push("before".into());
        let last = self.template(&format!("{at}/last"), &s.last);
        self.names.truncate(known);
        Some(ChainPlan {
            pages: s.pages,
            command,
            last,
            answers: self.path(&format!("{at}/answers"), &s.answers)?,
            refusals: self.path(&format!("{at}/refusals"), &s.refusals)?,
            records: self.path(&format!("{stream}/records"), &spec.records)?,
            size,
        })
    }

    fn paging(&mut self, stream: &str, spec: &Stream) -> PagingPlan {
        use PagingKind::{Cursor, Keyset, Next, None, Offset, Page};
        let at = format!("{stream}/paging");
        let Paging { kind, .. } = spec.paging;
        let s = &spec.paging;
        let given: [(&str, bool, &[PagingKind]); 13] = [
            ("size", s.size.is_some(), &[Page, Offset, Cursor, Next, Keyset]),
            ("first", s.first.is_some(), &[Page, Offset]),
            ("path", s.path.is_some(), &[Cursor, Next]),
            ("header", s.header.is_some(), &[Cursor, Next]),
            ("more", s.more.is_some(), &[Page, Offset]),
            ("total", s.total.is_some(), &[Offset]),
            ("left", s.left.is_some(), &[Keyset]),
            ("short_page_ends", s.short_page_ends, &[Page, Offset, Keyset]),
            ("column", s.column.is_some(), &[Keyset]),
            ("start", s.start.is_some(), &[Keyset]),
            ("across_runs", s.across_runs, &[Keyset]),
            ("strip", !s.strip.is_empty(), &[Next]),
            ("progress", s.progress.is_some(), &[None, Page, Offset, Cursor, Next, Keyset]),
        ];
        for (key, given, kinds) in given {
            if given && !kinds.contains(&kind) {
                self.p.add(format!("{at}/{key}"), "this kind of paging does not use it");
            }
        }
        let mut needs = |key: &str, given: bool| {
            if !given {
                self.p.add(&at, format!("this kind of paging needs the key {key:?}"));
            }
        };
        match kind {
            None | Page => {}
            Offset => needs("size", s.size.is_some()),
            Cursor | Next => needs("path", s.path.is_some() != s.header.is_some()),
            Keyset => {
                needs("column", s.column.is_some());
                needs("start", s.start.is_some());
            }
        }
        if s.short_page_ends {
            needs("size", s.size.is_some());
        }
        if s.size == Some(0) {
            self.p.add(format!("{at}/size"), "must be at least 1");
        }
        if spec.single && kind != None {
            self.p.add(&at, "a single record has no pages");
        }
        self.names.extend(s.size.map(|_| "size".to_owned()));
        self.names.extend(match kind {
            None | Next => Option::None,
            Page => Some("page".to_owned()),
            Offset => Some("offset".to_owned()),
            Cursor => Some("cursor".to_owned()),
            Keyset => Some("last".to_owned()),
        });
        PagingPlan {
            kind,
            path: self.maybe_path(&format!("{at}/path"), s.path.as_ref()),
            more: self.maybe_path(&format!("{at}/more"), s.more.as_ref()),
            total: self.maybe_path(&format!("{at}/total"), s.total.as_ref()),
            left: self.maybe_path(&format!("{at}/left"), s.left.as_ref()),
            progress: self.maybe_path(&format!("{at}/progress"), s.progress.as_ref()),
        }
    }

    fn incremental(&mut self, stream: &str, spec: &Stream) -> Option<IncrementalPlan> {
        let s = spec.incremental.as_ref()?;
        let at = format!("{stream}/incremental");
        let mut time = |key: &str, text: Option<&String>| {
            text.and_then(|text| self.p.take(&format!("{at}/{key}"), duration(text)))
        };
        let resolution = time("resolution", s.resolution.as_ref());
        let overlap = time("overlap", Some(&s.overlap));
        let lag = time("lag", Some(&s.lag));
        let step = time("step", s.step.as_ref());
        let ordered = s.order == Some(OrderOf::Asc);
        if ordered && spec.key.is_empty() {
            self.p
                .add(format!("{at}/order"), "order needs a key: the records at a page's end are read twice");
        }
        if ordered && !matches!(spec.paging.kind, PagingKind::Page | PagingKind::Offset) {
            self.p
                .add(format!("{at}/order"), "order is for paging by page or offset; the others do not move");
        }
        if step.is_some() && s.start.is_none() {
            self.p.add(format!("{at}/step"), "step needs start: where the first window begins");
        }
        if s.split.is_some() {
            if s.start.is_none() {
                self.p.add(format!("{at}/split"), "split needs start: where the first window begins");
            }
            if spec.paging.left.is_none() && spec.paging.total.is_none() {
                self.p.add(
                    format!("{at}/split"),
                    "split needs left or total in the paging: how many there are",
                );
            }
        }
        if s.split == Some(0) {
            self.p.add(format!("{at}/split"), "must be at least 1");
        }
        if step.is_some_and(|step| step.is_zero()) || resolution.is_some_and(|r| r.is_zero()) {
            self.p.add(&at, "step and resolution are longer than nothing");
        }
        let format = self.p.take(&format!("{at}/format"), Format::parse(&s.format))?;
        Some(IncrementalPlan {
            zone: s.zone.as_ref().map(|z| self.template(&format!("{at}/zone"), z)),
            start: s.start.as_ref().map(|s| self.template(&format!("{at}/start"), s)),
            resolution: resolution.unwrap_or_else(|| format.resolution()),
            overlap: overlap?,
            lag: lag?,
            step,
            ordered,
            format,
        })
    }

    fn days(&mut self, stream: &str, spec: &Stream) -> Option<DaysPlan> {
        let s = spec.days.as_ref()?;
        let at = format!("{stream}/days");
        if spec.incremental.is_some() {
            self.p.add(&at, "a stream has either incremental or days");
        }
        if s.step == 0 || s.step > 3660 {
            self.p.add(format!("{at}/step"), "must be from 1 to 3660 days");
        }
        self.p.take(&format!("{at}/format"), pattern_is_good(&s.format));
        Some(DaysPlan {
            zone: s.zone.as_ref().map(|z| self.template(&format!("{at}/zone"), z)),
            start: self.template(&format!("{at}/start"), &s.start),
        })
    }

    fn parent(&mut self, stream: &str, spec: &Stream, manifest: &Manifest, index: usize) -> Option<usize> {
        let s = spec.parent.as_ref()?;
        let at = format!("{stream}/parent");
        let names: Vec<&str> = manifest.streams.iter().map(|s| s.name.as_str()).collect();
        self.p.known(&format!("{at}/stream"), "stream", &s.stream, &names);
        let parent = names.iter().position(|n| *n == s.stream)?;
        if parent == index || manifest.streams.get(parent).is_some_and(|p| p.parent.is_some()) {
            self.p.add(format!("{at}/stream"), "a parent is another stream without a parent of its own");
            return None;
        }
        if s.columns.is_empty() {
            self.p.add(format!("{at}/columns"), "name at least one column of the parent");
        }
        for (new, column) in &s.add {
            self.p.known(&format!("{at}/add/{new}"), "column", column, &s.columns);
        }
        if let Some(answers) = &s.answers {
            if s.batch.is_none() || spec.paging.kind != PagingKind::None {
                self.p.add(
                    format!("{at}/answers"),
                    "answers is for batches that are answered at once, without pages",
                );
            }
            if spec.key != [answers.clone()] {
                self.p.add(
                    format!("{at}/answers"),
                    "the column must be the stream's key: an answer of nothing takes the place of the one before",
                );
            }
        }
        match s.batch {
            Some(0) => self.p.add(format!("{at}/batch"), "must be at least 1"),
            Some(_) if !s.add.is_empty() => {
                self.p.add(format!("{at}/add"), "a batch has many parents: nothing to add")
            }
            Some(_) => self.names.extend(["parent.ids".into(), "parent.records".into()]),
            None => self.names.extend(s.columns.iter().map(|c| format!("parent.{c}"))),
        }
        Some(parent)
    }
}

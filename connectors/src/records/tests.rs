#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use throughline_core::{ErrorKind, ReadEvent};

use super::*;

#[derive(Default)]
struct Got {
    batches: Vec<RecordBatch>,
    rejects: Vec<(String, String)>,
    notices: Vec<(String, String)>,
}

fn sort(events: Vec<ReadEvent>) -> Got {
    let mut got = Got::default();
    for event in events {
        match event {
            ReadEvent::Batch(b) => got.batches.push(b.rows),
            ReadEvent::Rejected(r) => got.rejects.push((r.place, r.reason)),
            ReadEvent::Notice(n) => got.notices.push((n.code, n.message)),
            other => panic!("{other:?}"),
        }
    }
    got
}

fn pages(pages: &[&str]) -> Got {
    let mut records = RecordsBuilder::new(Limits::default());
    for (i, page) in pages.iter().enumerate() {
        records.begin_page(format!("page {}", i + 1), None);
        records.push_page(page.as_bytes(), &Selector::list(".").unwrap()).unwrap();
    }
    records.finish_page();
    sort(records.take_events())
}

fn one(page: &str) -> RecordBatch {
    let got = pages(&[page]);
    assert_eq!(got.batches.len(), 1);
    got.batches.into_iter().next().unwrap()
}

fn kind(batch: &RecordBatch, column: &str) -> DataType {
    batch.column_by_name(column).unwrap().data_type().clone()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

#[test]
fn scalars_get_the_narrowest_type_that_holds_all() {
    let batch = one(r#"[{"n":null,"b":true,"i":1,"d":1,"t":"a","big":1,"j":{"x":[1, 2]},"mix":1.50},
            {"n":null,"b":null,"i":-9223372036854775808,"d":0.25,"t":"\u0411\n","big":18446744073709551615,"j":[],"mix":"x"},
            {"i":null,"j":{},"mix":{"k":"v"},"new":7}]"#);
    assert_eq!(kind(&batch, "n"), DataType::Null);
    assert_eq!(kind(&batch, "b"), DataType::Boolean);
    assert_eq!(kind(&batch, "i"), DataType::Int64);
    assert_eq!(kind(&batch, "d"), DataType::Decimal128(38, 9));
    assert_eq!(kind(&batch, "big"), DataType::Decimal128(38, 9));
    assert_eq!(batch.column_by_name("i").unwrap().as_primitive::<Int64Type>().value(1), i64::MIN);
    assert_eq!(
        batch.column_by_name("big").unwrap().as_primitive::<Decimal128Type>().value(1),
        18_446_744_073_709_551_615_000_000_000
    );
    assert!(batch.column_by_name("i").unwrap().is_null(2));
    assert_eq!(texts(&batch, "t"), [Some("a".into()), Some("Б\n".into()), None]);
    assert_eq!(texts(&batch, "j"), [Some(r#"{"x":[1, 2]}"#.into()), Some("[]".into()), Some("{}".into())]);
    assert_eq!(texts(&batch, "mix"), [Some("1.50".into()), Some("x".into()), Some(r#"{"k":"v"}"#.into())]);
    let new = batch.column_by_name("new").unwrap();
    assert_eq!((new.null_count(), new.as_primitive::<Int64Type>().value(2)), (2, 7));
}

#[test]
fn drift_from_page_to_page_widens_and_is_told() {
    let got = pages(&[
        r#"[{"a":1,"b":null,"c":{"x":1},"id":1}]"#,
        r#"[{"a":2.5,"b":"x","c":[],"id":2,"late":true}]"#,
        r#"[{"a":"n/a","c":{"x":1,"y":2},"id":3},{"a":1,"id":123456789012345678901234567890123}]"#,
    ]);
    assert_eq!(kind(&got.batches[1], "a"), DataType::Decimal128(38, 9));
    assert_eq!(texts(&got.batches[2], "a"), [Some("n/a".into()), Some("1".into())]);
    assert_eq!(texts(&got.batches[2], "c"), [Some(r#"{"x":1,"y":2}"#.into()), None]);
    assert_eq!(
        texts(&got.batches[2], "id"),
        [Some("3".into()), Some("123456789012345678901234567890123".into())]
    );
    let told: Vec<&str> = got.notices.iter().map(|(c, _)| c.as_str()).collect();
    assert_eq!(told, ["schema_widened", "column_added", "schema_widened", "schema_widened"]);
    assert!(got.notices[0].1.contains("page 2") && got.notices[0].1.contains("decimal"), "{:?}", got.notices);
}

#[test]
fn one_bad_record_goes_alone() {
    let mut records = RecordsBuilder::new(Limits { record_bytes: 100, ..Limits::default() });
    records.begin_page("page 3", Some(9));
    let mut page = br#"{"d":{"x":[{"id":1},17,"#.to_vec();
    page.extend_from_slice(b"{\"id\":2,\"name\":\"\xFF\"},null,[],");
    page.extend_from_slice(
        format!("{{\"id\":3,\"name\":\"{}\"}},{{\"id\":4}}]}}}}", "z".repeat(100)).as_bytes(),
    );
    let found = records.push_page(&page, &Selector::list("d.x").unwrap()).unwrap();
    assert_eq!(found, Found { records: 7, rejected: 5 });
    records.finish_page();
    let got = sort(records.take_events());
    assert_eq!(got.batches[0].num_rows(), 2);
    let places: Vec<&str> = got.rejects.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(
        places,
        ["page 3, record 2", "page 3, record 3", "page 3, record 4", "page 3, record 5", "page 3, record 6"]
    );
    assert!(got.rejects[1].1.contains("UTF-8"), "{:?}", got.rejects);
    assert!(got.rejects[4].1.contains("at most 100"), "{:?}", got.rejects);
}

#[test]
fn a_long_reject_is_cut_and_says_so() {
    let mut records = RecordsBuilder::new(Limits::default());
    let long = format!("{{\"a\":\"{}\"}}", "z".repeat(20 << 20));
    assert!(!records.push(long.as_bytes(), format_args!("file.jsonl:1")));
    match records.take_events().pop() {
        Some(ReadEvent::Rejected(r)) => {
            assert_eq!((r.raw.len(), r.place.as_str()), (1 << 20, "file.jsonl:1"));
            assert!(r.reason.contains("only its first 1048576 bytes"), "{}", r.reason);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn single_records_with_extra_columns() {
    let mut records = RecordsBuilder::new(Limits::default());
    records.begin_page("inbox", None);
    let at = json_string("2026-09-01 \"x\"");
    assert!(records.push_with(br#"{"id":1,"at":"mine"}"#, &[("at", &at), ("n", "5"), ("z", "null")], "1"));
    assert!(!records.push(b"{\"id\":", "2"));
    assert!(!records.push(b"[1]", "3"));
    assert!(!records.push(b"{} {}", "4"));
    assert!(records.push(b" {} ", "5"));
    records.finish_page();
    let got = sort(records.take_events());
    assert_eq!(texts(&got.batches[0], "at"), [Some("2026-09-01 \"x\"".into()), None]);
    assert_eq!(kind(&got.batches[0], "n"), DataType::Int64);
    assert_eq!(got.rejects.len(), 3);
}

#[test]
fn odd_keys_lose_nothing() {
    let mut records = RecordsBuilder::new(Limits { columns: 3, ..Limits::default() });
    records.begin_page("page 1", None);
    records
        .push_page(
            br#"[{"a":1,"b":2,"a":3,"_tl_seq":4,"":5,"c":6,"d":"\u0436","e":null},{"\u0061":7,"c":8}]"#,
            &Selector::list(".").unwrap(),
        )
        .unwrap();
    records.finish_page();
    let got = sort(records.take_events());
    let batch = &got.batches[0];
    assert_eq!(batch.column_by_name("a").unwrap().as_primitive::<Int64Type>().values(), &[3, 7]);
    assert_eq!(texts(batch, MORE), [Some(r#"{"_tl_seq":4,"":5,"d":"\u0436","e":null}"#.into()), None]);
    let codes: Vec<&str> = got.notices.iter().map(|(c, _)| c.as_str()).collect();
    assert_eq!(codes, ["duplicate_key", "key_without_column", "key_without_column", "too_many_columns"]);
}

#[test]
fn half_an_emoji_is_repaired_and_told() {
    let got = pages(&[r#"[{"name":"ok \ud83d"},{"name":"\ud83d\ude00"}]"#]);
    assert_eq!(texts(&got.batches[0], "name"), [Some("ok \u{FFFD}".into()), Some("😀".into())]);
    assert_eq!(got.notices[0].0, "text_repaired");
}

#[test]
fn batches_are_bounded() {
    let mut records = RecordsBuilder::new(Limits { batch_rows: 10, ..Limits::default() });
    records.begin_page("page 1", None);
    let page: Vec<String> = (0..25).map(|i| format!("{{\"id\":{i}}}")).collect();
    records.push_page(format!("[{}]", page.join(",")).as_bytes(), &Selector::list(".").unwrap()).unwrap();
    records.finish_page();
    let rows: Vec<usize> = sort(records.take_events()).batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [10, 10, 5]);
}

fn error(page: &str, selector: &Selector) -> String {
    let mut records = RecordsBuilder::new(Limits::default());
    records.begin_page("page 3", None);
    let error = records.push_page(page.as_bytes(), selector).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    error.to_string()
}

#[test]
fn selectors_that_miss_are_errors_that_help() {
    let list = |path: &str| Selector::list(path).unwrap();
    let hal = r#"{"_page":1,"_embedded":{"leads":[{"id":1}]}}"#;
    assert_eq!(
        error(hal, &list("_embedded.lead")),
        "page 3: no records at \"_embedded.lead\": there is no \"lead\"; the keys there are leads; did you mean \"leads\"?"
    );
    assert_eq!(
        error(hal, &list("_embedded")),
        "page 3: no records at \"_embedded\": it leads to one object, which would take the whole page for one \
         record; lists are at \"_embedded.leads\""
    );
    assert!(error(hal, &list(".")).contains("take the whole page"));
    assert!(error(hal, &list("_page.x")).contains("a number was found"));
    assert!(error(hal, &list("_page")).contains("a list of records was expected"));
    assert!(error("[1]", &Selector { single: true, ..list(".") }).contains("one object was expected"));
}

#[test]
fn empty_in_every_way_vendors_say_it() {
    let mut records = RecordsBuilder::new(Limits::default());
    let list = |path: &str| Selector::list(path).unwrap();
    for page in [r#"{"r":{"items":[]}}"#, r#"{"r":{"items":{}}}"#, r#"{"r":{"items":null}}"#, r#"{"r":[]}"#] {
        assert_eq!(records.push_page(page.as_bytes(), &list("r.items")).unwrap().records, 0, "{page}");
    }
    let missing = Selector { may_be_missing: true, ..list("rows") };
    assert_eq!(records.push_page(br#"{"kind":"x"}"#, &missing).unwrap().records, 0);
}

#[test]
fn nested_lists_and_what_they_carry() {
    let selector = Selector { carry: vec!["id".into()], ..Selector::list("items[*].rows").unwrap() };
    let mut records = RecordsBuilder::new(Limits::default());
    records.begin_page("page 1", None);
    let page = br#"{"items":[{"rows":[{"d":1},{"d":2}],"id":"x"},{"id":7,"rows":[{"d":3}]}]}"#;
    assert_eq!(records.push_page(page, &selector).unwrap().records, 3);
    records.finish_page();
    let got = sort(records.take_events());
    assert_eq!(texts(&got.batches[0], "id"), [Some("x".into()), Some("x".into()), Some("7".into())]);
    let map = RecordsBuilder::new(Limits::default())
        .push_page(br#"{"r":{"5":{"a":1},"7":{"a":2}}}"#, &Selector::list("r[*]").unwrap())
        .unwrap();
    assert_eq!(map.records, 2);
}

#[test]
fn a_cut_page_is_an_error_wherever_it_is_cut() {
    let page = r#"{"_embedded":{"leads":[{"id":1,"name":"Имя"},{"id":2}]}}"#;
    let list = Selector::list("_embedded.leads").unwrap();
    for cut in 0..page.len() {
        let mut records = RecordsBuilder::new(Limits::default());
        let error = records.push_page(&page.as_bytes()[..cut], &list).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "cut at {cut}");
    }
    assert!(error(&page[..20], &list).contains("at byte 20"), "{}", error(&page[..20], &list));
    assert!(error("<html>oops</html>", &list).contains("web page"));
    assert!(error(&format!("{page} x"), &list).contains("behind the end"));
}

/// Bytes are changed, cut and doubled: never a panic, and every record is a row or a reject.
#[test]
fn no_bytes_make_it_panic_or_lose_a_record() {
    let seed = "{\"d\":{\"l\":[{\"id\":1,\"n\":1.50,\"t\":\"Ж\\ud83d\\ude00\\n\",\"o\":{\"a\":[1,{}]},\"b\":true,\"z\":null},\
                {\"id\":18446744073709551616,\"n\":1e-3,\"t\":\"\",\"o\":[],\"b\":\"x\",\"\\u0061\":-0}]}}";
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let selector = Selector::list("d.l").unwrap();
    let mut good = 0;
    for _ in 0..30_000 {
        let mut page = seed.as_bytes().to_vec();
        for _ in 0..=random(3) {
            let at = random(page.len().max(1)).min(page.len().saturating_sub(1));
            if page.is_empty() {
                break;
            }
            match random(4) {
                0 => page[at] = u8::try_from(random(256)).unwrap(),
                1 => page.truncate(at.max(1)),
                2 => page.insert(at, b"{}[],:\"\\01e.-u"[random(14)]),
                _ => drop(page.remove(at)),
            }
        }
        let mut records = RecordsBuilder::new(Limits { batch_rows: 1, ..Limits::default() });
        records.begin_page("page 1", None);
        let Ok(found) = records.push_page_with(&page, &selector, &[("extra", "5 x")]) else { continue };
        records.finish_page();
        let got = sort(records.take_events());
        let rows: usize = got.batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows + got.rejects.len(), usize::try_from(found.records).unwrap());
        assert_eq!(got.rejects.len(), usize::try_from(found.rejected).unwrap());
        good += 1;
        for record in page.split(|b| *b == b'}') {
            records.push(record, "alone");
        }
    }
    assert!(good > 1000, "{good}");
}

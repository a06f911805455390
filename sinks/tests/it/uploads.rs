//! Uploads into Yandex Metrica and Google Analytics, against the simulated company that keeps what came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use company::faults::Rule;
use company::uploads::ga4;
use company::uploads::metrika::File;
use company::{Company, Config, Running, Server};
use futures::StreamExt as _;
use serde_json::{Value, json};
use throughline_behaviour::MemoryTokens;
use throughline_core::{
    Clock as _, Committable, Context, DynSink, Error, ErrorKind, FixedClock, NoteStore, Redactor, Result,
    SinkConnector, Table, TxnId,
};
use throughline_http::{Client, HttpSettings, Limits};

use crate::{stream, try_build};

/// 2026-09-01 00:00:00 UTC.
const NOW: i64 = 1_788_220_800;
const HOUR: i64 = 3600;
const TOKEN: &str = company::metrika::requests::TOKEN;

/// Notes that outlive a process, and that can die between a request and its note.
#[derive(Default)]
struct Notes {
    kept: Mutex<BTreeMap<String, Value>>,
    /// The next write of several notes is lost.
    dies: AtomicBool,
}

#[async_trait]
impl NoteStore for Notes {
    async fn get(&self, key: &str) -> Result<Option<Value>> {
        Ok(self.kept.lock().unwrap().get(key).cloned())
    }
    async fn put(&self, key: &str, value: Option<Value>) -> Result<()> {
        let mut kept = self.kept.lock().unwrap();
        match value {
            Some(value) => kept.insert(key.into(), value),
            None => kept.remove(key),
        };
        Ok(())
    }
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>> {
        let kept = self.kept.lock().unwrap();
        Ok(kept.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
    async fn put_many(&self, notes: Vec<(String, Option<Value>)>) -> Result<()> {
        if self.dies.swap(false, Ordering::SeqCst) {
            return Err(Error::bug("the process died here"));
        }
        for (key, value) in notes {
            self.put(&key, value).await?;
        }
        Ok(())
    }
}

struct World {
    company: Running,
    notes: Arc<Notes>,
    tokens: MemoryTokens,
    now: Mutex<i64>,
}

impl World {
    async fn new() -> Self {
        let cfg = Config { seed: 7, visits: 20, ..Config::default() };
        let options = company::Options { now: Some(NOW), ..company::Options::default() };
        let company = Server::new(Company::new(cfg), options).start().await.unwrap();
        Self { company, notes: Arc::default(), tokens: MemoryTokens::default(), now: Mutex::new(NOW) }
    }

    /// A process of its own.
    fn context(&self) -> (Context, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::at_us(*self.now.lock().unwrap() * 1_000_000));
        let http = Client::new(
            &HttpSettings::default(),
            Arc::new(Limits::default()),
            clock.clone(),
            Redactor::new(),
        )
        .unwrap()
        .with_seed(1);
        let ctx = Context {
            name: "metrica".into(),
            clock: clock.clone(),
            http: Arc::new(http),
            tokens: Arc::new(self.tokens.clone()),
            notes: self.notes.clone(),
            cancel: Default::default(),
            scratch: std::env::temp_dir(),
        };
        (ctx, clock)
    }

    fn metrica(&self, upload: &str, more: Value) -> DynSink {
        let counter = self.company.server.company.cfg.counter_id;
        let mut value = json!({"counter_id": counter, "token": {"$secret": TOKEN}, "upload": upload,
            "table": "rows", "base_url": self.company.url()});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_build("yandex_metrica", ".".as_ref(), value).unwrap()
    }

    fn ga4(&self, more: Value) -> DynSink {
        let mut value = json!({"measurement_id": ga4::MEASUREMENT_ID, "api_secret": {"$secret": ga4::API_SECRET},
            "table": "rows", "base_url": self.company.url()});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_build("ga4_measurement", ".".as_ref(), value).unwrap()
    }

    fn faults(&self, rules: &[&str]) {
        self.company.server.faults.set(rules.iter().map(|r| Rule::parse(r).unwrap()).collect());
    }

    fn files(&self) -> Vec<File> {
        self.company.server.uploads.files()
    }

    async fn stage(&self, sink: &DynSink, txn: &str, rows: &RecordBatch) -> Vec<Committable> {
        let half = rows.num_rows() / 2;
        let halves = vec![rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
        vec![sink.stage(&self.context().0, &table(rows), stream(halves), &TxnId(txn.into())).await.unwrap()]
    }

    async fn commit(&self, sink: &DynSink, txn: &str, staged: &[Committable]) -> Result<String> {
        let (ctx, clock) = self.context();
        let receipt = sink.commit(&ctx, &TxnId(txn.into()), staged).await;
        *self.now.lock().unwrap() = clock.now_us() / 1_000_000;
        receipt.map(|r| r.location)
    }

    async fn epoch(&self, sink: &DynSink, txn: &str, rows: &RecordBatch) -> String {
        let staged = self.stage(sink, txn, rows).await;
        self.commit(sink, txn, &staged).await.unwrap()
    }

    async fn letters(&self, sink: &DynSink, txn: &str) -> Vec<String> {
        let (mut after, mut letters) = (None, Vec::new());
        loop {
            let back = sink.write_back().unwrap();
            let part = back.refused(&self.context().0, &TxnId(txn.into()), after).await.unwrap();
            letters.extend(part.rejects.into_iter().map(|r| format!("{}: {}", r.place, r.reason)));
            after = part.next;
            if after.is_none() {
                return letters;
            }
        }
    }
}

fn table(rows: &RecordBatch) -> Table {
    Table {
        name: "rows".into(),
        schema: rows.schema(),
        key: vec!["id".into()],
        partition_by: None,
        doc: String::new(),
    }
}

/// Id, seconds, identifier, minor units.
type Row<'a> = (&'a str, i64, Option<&'a str>, i64);

fn conversions(rows: &[Row]) -> RecordBatch {
    let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1 * 1_000_000))
        .with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0)))),
        ("type", Arc::new(StringArray::from(vec!["won"; rows.len()]))),
        ("at", Arc::new(at)),
        ("client_id", Arc::new(rows.iter().map(|r| r.2).collect::<StringArray>())),
        ("session_id", Arc::new(StringArray::from(vec!["1700000123"; rows.len()]))),
        ("price_minor", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.3)))),
        ("value_minor", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.3)))),
        ("currency", Arc::new(StringArray::from(vec!["RUB"; rows.len()]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// So many conversions of the last day.
fn many(count: usize) -> RecordBatch {
    let ids: Vec<String> = (0..count).map(|n| format!("won:{n}")).collect();
    let rows: Vec<Row> = ids.iter().map(|id| (id.as_str(), NOW - HOUR, Some("77"), 100)).collect();
    conversions(&rows)
}

fn texts(rows: &[&[(&str, &str)]]) -> RecordBatch {
    let names: Vec<&str> = rows[0].iter().map(|(name, _)| *name).collect();
    let column = |name: &str| -> ArrayRef {
        let cell = |row: &&[(&str, &str)]| {
            row.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()).filter(|v| !v.is_empty())
        };
        Arc::new(rows.iter().map(cell).collect::<StringArray>())
    };
    RecordBatch::try_from_iter(names.iter().map(|name| (*name, column(name)))).unwrap()
}

#[tokio::test]
async fn each_conversion_goes_once_and_what_cannot_go_is_told() {
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    sink.check(&world.context().0).await.unwrap();
    let old = NOW - 22 * 86_400;
    let mut rows = vec![
        ("won:1", NOW - HOUR, Some("1693559481123456789"), 1_500_000),
        ("won:2", NOW - 20 * 86_400, Some("5"), 7),
        ("won:old", old, Some("6"), 1),
        ("won:older", old, Some("6"), 1),
        ("won:nobody", NOW - HOUR, None, 1),
        ("won:later", NOW + HOUR, Some("8"), 1),
    ];
    let told = world.epoch(&sink, "t1", &conversions(&rows)).await;
    assert!(told.ends_with("2 offline conversions uploaded"), "{told}");
    let files = world.files();
    assert_eq!((files.len(), files[0].lines, files[0].kind), (1, 2, "BASIC"));
    let row = &files[0].rows[0];
    let cell = |name: &str| row[name].as_str();
    assert_eq!(cell("ClientId"), "1693559481123456789");
    assert_eq!((cell("Target"), cell("DateTime")), ("deal_won", (NOW - HOUR).to_string().as_str()));
    assert_eq!((cell("Price"), cell("Currency")), ("15000.00", "RUB"));
    assert_eq!(files[0].rows[1]["Price"], "0.07");
    let letters = world.letters(&sink, "t1").await;
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters.iter().any(|l| l.starts_with("2 rows: ") && l.contains("21 days")), "{letters:?}");
    assert!(
        letters.iter().any(|l| l.contains("no identifier")) && letters.iter().any(|l| l.contains("future"))
    );

    // The next epoch has them all again, one changed, and one more. Only that goes.
    rows[0].3 = 999;
    rows.push(("won:3", NOW - HOUR, Some("9"), 5));
    world.epoch(&sink, "t2", &conversions(&rows)).await;
    let files = world.files();
    assert_eq!((files.len(), files[1].lines), (2, 1));
    assert_eq!(files[1].rows[0]["ClientId"], "9");
    // Committed again, by a fresh process too, nothing goes.
    let staged = world.stage(&sink, "t3", &conversions(&rows)).await;
    world.commit(&sink, "t3", &staged).await.unwrap();
    world.commit(&world.metrica("offline_conversions", json!({})), "t3", &staged).await.unwrap();
    assert_eq!(world.files().len(), 2);
}

#[tokio::test]
async fn files_are_as_long_as_they_may_be() {
    for (count, files) in
        [(0, vec![]), (1, vec![1]), (999, vec![999]), (1000, vec![1000]), (1001, vec![1000, 1])]
    {
        let world = World::new().await;
        let sink = world.metrica("offline_conversions", json!({}));
        world.epoch(&sink, "t", &many(count)).await;
        assert_eq!(world.files().iter().map(|f| f.lines).collect::<Vec<_>>(), files, "{count}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_looked_up() {
    // It arrived, and the connection broke before the answer.
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    world.faults(&["cut:percent=0,at=1,path=offline_conversions/upload?"]);
    world.epoch(&sink, "t", &many(1500)).await;
    assert_eq!(world.files().iter().map(|f| f.lines).collect::<Vec<_>>(), [1000, 500]);

    // It did not arrive: three minutes later it is not in the list, and goes again.
    for fault in ["503:at=1,path=offline_conversions/upload?", "504:at=1,path=offline_conversions/upload?"] {
        let world = World::new().await;
        let sink = world.metrica("offline_conversions", json!({}));
        world.faults(&[fault]);
        world.epoch(&sink, "t", &many(3)).await;
        assert_eq!(world.files().len(), 1, "{fault}");
        assert!(*world.now.lock().unwrap() >= NOW + 180, "not before it could not show any more");
    }
}

#[tokio::test]
async fn a_process_that_dies_after_sending_sends_nothing_twice() {
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    let staged = world.stage(&sink, "t", &many(3)).await;
    world.notes.dies.store(true, Ordering::SeqCst);
    world.commit(&sink, "t", &staged).await.unwrap_err();
    assert_eq!(world.files().len(), 1, "it was sent");
    // Hours later, with a list that cannot be asked at first.
    *world.now.lock().unwrap() += 5 * HOUR;
    world.faults(&["403:path=offline_conversions/uploadings"]);
    world.commit(&world.metrica("offline_conversions", json!({})), "t", &staged).await.unwrap_err();
    assert_eq!(world.files().len(), 1);
    world.faults(&[]);
    world.commit(&world.metrica("offline_conversions", json!({})), "t", &staged).await.unwrap();
    world.epoch(&sink, "t2", &many(4)).await;
    assert_eq!(world.files().iter().map(|f| f.lines).collect::<Vec<_>>(), [3, 1]);
}

#[tokio::test]
async fn what_nobody_can_tell_stops_the_run_until_a_person_decides() {
    for (decision, files) in [("sent", 0), ("again", 1)] {
        let world = World::new().await;
        let rows = conversions(&[("lead:1", NOW - HOUR, Some("1.2"), 100)]);
        let events = json!({"events": {"won": "deal_won"}});
        let sink = world.ga4(events.clone());
        world.faults(&["503:path=/mp/collect"]);
        let staged = world.stage(&sink, "t", &rows).await;
        let error = world.commit(&sink, "t", &staged).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.is_temporary(), "the epoch stays prepared");
        let said = format!("{error} {:?}", error);
        assert!(said.contains("unknown = \"again\"") && !said.contains(ga4::API_SECRET), "{said}");
        world.faults(&[]);
        world.commit(&sink, "t", &staged).await.unwrap_err();
        assert!(world.company.server.uploads.events().is_empty(), "nothing goes while nobody decided");
        let mut decided = events;
        decided["unknown"] = decision.into();
        world.commit(&world.ga4(decided), "t", &staged).await.unwrap();
        assert_eq!(world.company.server.uploads.events().len(), files, "{decision}");
        // It is settled, whatever was decided.
        world.epoch(&sink, "t2", &rows).await;
        assert_eq!(world.company.server.uploads.events().len(), files);
    }
}

#[tokio::test]
async fn refusals_are_letters_or_errors() {
    // A file that Metrica refuses: its rows are letters, and tried again with the next epoch.
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    world.faults(&["400:at=1,path=offline_conversions/upload?"]);
    world.epoch(&sink, "t1", &many(2)).await;
    let letters = world.letters(&sink, "t1").await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters[0].starts_with("won:0: Metrica refused (400)"), "{letters:?}");
    assert!(world.files().is_empty());
    world.epoch(&sink, "t2", &many(2)).await;
    assert_eq!(world.files().len(), 1);

    // A right that is missing: nothing was taken, and the run says so.
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    let staged = world.stage(&sink, "t", &many(2)).await;
    world.faults(&["403:path=offline_conversions/upload?"]);
    let error = world.commit(&sink, "t", &staged).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(!format!("{error:?} {error}").contains(TOKEN));
    world.faults(&["429:at=1,path=offline_conversions/upload?"]);
    world.commit(&sink, "t", &staged).await.unwrap();
    assert_eq!(world.files().len(), 1);
    // A wrong token is known before.
    let wrong = world.metrica("chats", json!({"token": {"$secret": "nonsense"}}));
    assert_eq!(wrong.check(&world.context().0).await.unwrap_err().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn what_metrica_made_of_a_file_is_told_later() {
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    // Browsers that begin so are known to nobody.
    world.epoch(&sink, "t1", &conversions(&[("won:1", NOW - HOUR, Some("00001"), 1)])).await;
    assert!(world.letters(&sink, "t1").await.is_empty());
    let mut told = Vec::new();
    for txn in ["t2", "t3", "t4"] {
        world.epoch(&sink, txn, &conversions(&[])).await;
        told.extend(world.letters(&sink, txn).await);
    }
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert!(told[0].starts_with("upload 12: ") && told[0].contains("LINKAGE_FAILURE"), "{told:?}");
}

#[tokio::test]
async fn two_runs_at_once_and_an_epoch_that_is_dropped() {
    let world = World::new().await;
    let (a, b) =
        (world.metrica("offline_conversions", json!({})), world.metrica("offline_conversions", json!({})));
    let staged = world.stage(&a, "t", &many(1500)).await;
    let (one, two) = tokio::join!(world.commit(&a, "t", &staged), world.commit(&b, "t", &staged));
    one.unwrap();
    two.unwrap();
    assert_eq!(world.files().iter().map(|f| f.lines).sum::<usize>(), 1500);

    let staged = world.stage(&a, "u", &many(1600)).await;
    a.abort(&world.context().0, &TxnId("u".into())).await.unwrap();
    assert!(world.commit(&a, "u", &staged).await.is_err());
    a.abort(&world.context().0, &TxnId("never".into())).await.unwrap();
    assert_eq!(world.files().iter().map(|f| f.lines).sum::<usize>(), 1500);
    // Staged again under its name, it goes.
    world.epoch(&a, "u", &many(1600)).await;
    assert_eq!(world.files().iter().map(|f| f.lines).sum::<usize>(), 1600);
}

#[tokio::test]
async fn chats_orders_and_costs() {
    let world = World::new().await;
    let at = "2026-08-31T21:30:00Z";
    let chats = texts(&[
        &[
            ("id", "telegram:1"),
            ("at", at),
            ("platform", "telegram"),
            ("client_id", "77"),
            ("username", "anna, \"t\""),
            ("user_id_there", "5"),
            ("phone", ""),
        ],
        &[("id", "vk:1"), ("at", at), ("platform", "vk"), ("client_id", "77"), ("username", "b")],
        &[("id", "viber:1"), ("at", at), ("platform", "viber"), ("client_id", "78")],
    ]);
    let sink = world.metrica("chats", json!({}));
    world.epoch(&sink, "c", &chats).await;
    let letters = world.letters(&sink, "c").await;
    assert_eq!(letters.len(), 2, "{letters:?}");

    let order = |status: &str, revenue: &str| {
        texts(&[&[
            ("id", "amocrm:shop:1"),
            ("created_at", at),
            ("order_status", status),
            ("client_ids", "77"),
            ("emails", "a@example.com"),
            ("phones", ""),
            ("client_uniq_id", "p1"),
            ("revenue_minor", revenue),
            ("currency", "RUB"),
        ]])
    };
    // An order is known by its id: sent again when it changed, and only then; a lost answer is no question.
    let orders = world.metrica("simple_orders", json!({"time_zone": "Europe/Moscow"}));
    world.faults(&["cut:percent=0,at=1,path=simple_orders"]);
    world.epoch(&orders, "o1", &order("IN_PROGRESS", "")).await;
    world.epoch(&orders, "o2", &order("IN_PROGRESS", "")).await;
    world.epoch(&orders, "o3", &order("PAID", "1500000")).await;

    let costs = texts(&[
        &[
            ("id", "1"),
            ("day", "2026-08-20"),
            ("source", "vk"),
            ("medium", "cpc"),
            ("campaign", "осень"),
            ("content", ""),
            ("term", ""),
            ("cost_minor", "123450"),
            ("currency", "RUB"),
            ("clicks", "77"),
        ],
        &[("id", "2"), ("day", "2026-08-31"), ("source", "vk"), ("cost_minor", "1"), ("currency", "RUB")],
        &[("id", "3"), ("day", "2026-08-20"), ("source", ""), ("cost_minor", "1"), ("currency", "RUB")],
        &[("id", "4"), ("day", "2026-08-20"), ("source", "x"), ("cost_minor", "1"), ("currency", "???")],
    ]);
    let expenses = world.metrica("expenses", json!({"provider": "студия"}));
    world.epoch(&expenses, "e", &costs).await;
    assert_eq!(world.letters(&expenses, "e").await.len(), 3);

    let files = world.files();
    let of = |kind: &str| -> Vec<&BTreeMap<String, String>> {
        files.iter().filter(|f| f.kind == kind).flat_map(|f| &f.rows).collect()
    };
    let cells = |row: &BTreeMap<String, String>, names: &[&str]| -> Vec<String> {
        names.iter().map(|n| row[*n].clone()).collect()
    };
    let chat = of("CHATS");
    assert_eq!(chat.len(), 1);
    assert_eq!(
        cells(chat[0], &["ClientId", "DateTime", "ChatPlatform", "ChatUsername", "ChatUserID"]),
        ["77", "1788211800", "telegram", "anna, \"t\"", "5"]
    );
    let last = of("ORDERS");
    assert_eq!(last.len(), 3, "twice when the answer was lost, and when it changed");
    assert_eq!(
        cells(last[2], &["id", "create_date_time", "order_status", "revenue", "currency"]),
        ["amocrm:shop:1", "01.09.2026 00:30", "PAID", "15000.00", "RUB"]
    );
    let cost = of("EXPENSES");
    assert_eq!(cost.len(), 1);
    assert_eq!(
        cells(cost[0], &["Date", "UTMSource", "UTMCampaign", "Expenses", "Clicks"]),
        ["2026-08-20", "vk", "осень", "1234.50", "77"]
    );
    assert_eq!(files.iter().find(|f| f.kind == "EXPENSES").unwrap().provider, "студия");
}

#[tokio::test]
async fn events_of_google_analytics() {
    let world = World::new().await;
    let sink = world.ga4(json!({}));
    let report = sink.check(&world.context().0).await.unwrap();
    assert!(report.warnings[0].contains("every event with success"), "{report:?}");
    for (count, requests) in [(1, 1), (24, 1), (25, 1), (26, 2), (51, 3)] {
        let world = World::new().await;
        let sink = world.ga4(json!({}));
        world.epoch(&sink, "t", &many(count)).await;
        let events = world.company.server.uploads.events();
        assert_eq!(events.len(), count);
        let asked = world.company.server.stats.snapshot();
        assert_eq!(asked.requests.values().sum::<u64>(), requests, "{count}");
    }
    let rows = conversions(&[
        ("won:1", NOW - HOUR, Some("1234567890.1700000000"), 1_500_000),
        ("won:2", NOW - HOUR, Some("2.2"), 7),
        ("won:old", NOW - 73 * HOUR, Some("2.2"), 7),
        ("won:nobody", NOW - HOUR, None, 7),
    ]);
    // An answer that is lost: a purchase may go again, Google drops the second by its transaction.
    world.faults(&["503:at=1,path=/mp/collect"]);
    world.epoch(&sink, "t1", &rows).await;
    world.epoch(&sink, "t2", &rows).await;
    let events = world.company.server.uploads.events();
    assert_eq!(events.len(), 2);
    let first = events.iter().find(|e| e.client_id == "1234567890.1700000000").unwrap();
    assert_eq!((first.name.as_str(), first.timestamp_micros), ("purchase", (NOW - HOUR) * 1_000_000));
    assert_eq!(
        first.params,
        json!({"session_id": "1700000123", "engagement_time_msec": 1, "transaction_id": "won:1", "value": 15000.0,
            "currency": "RUB"})
    );
    let letters = world.letters(&sink, "t1").await;
    assert!(letters.len() == 2 && letters.iter().any(|l| l.contains("72 hours")), "{letters:?}");
}

#[tokio::test]
async fn a_person_sees_before_what_would_go_and_that_it_stays() {
    let world = World::new().await;
    let sink = world.metrica("offline_conversions", json!({}));
    let back = sink.write_back().unwrap();
    assert!(back.consent().unwrap().starts_with("upload offline conversions to Yandex Metrica, counter "));
    let rows = stream(vec![many(3)]);
    let found = back.differences(&world.context().0, rows, 2).await.unwrap();
    assert_eq!((found.changed, found.fields.len()), (3, 2));
    assert_eq!(found.fields[0].after.as_deref(), Some("77,deal_won,1788217200,1.00,RUB"));
    assert!(world.files().is_empty());
    let undone = back.undo(&world.context().0, &TxnId("t".into()), true).await.unwrap();
    assert_eq!((undone.records, undone.left_in_all), (0, 1));
    // A table that lacks a column is told, with those it has.
    let lacks = texts(&[&[("id", "1"), ("at", "2026-08-31T21:30:00Z")]]);
    let error = sink
        .stage(&world.context().0, &table(&lacks), stream(vec![lacks]), &TxnId("x".into()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("client_id"), "{error}");
    // A row that comes twice would go twice.
    let twice = conversions(&[("a", NOW - HOUR, Some("1"), 1), ("a", NOW - HOUR, Some("1"), 1)]);
    let batches = futures::stream::iter([Ok(twice.clone())]).boxed();
    assert!(sink.stage(&world.context().0, &table(&twice), batches, &TxnId("y".into())).await.is_err());
}

#[tokio::test]
async fn files_are_those_of_the_documentation() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/api/analytics/samples");
    let (Ok(sample), Ok(event)) = (
        std::fs::read_to_string(format!("{folder}/yandex-metrica/offline_conversions.csv")),
        std::fs::read_to_string(format!("{folder}/google-analytics-4/measurement_protocol_request.json")),
    ) else {
        eprintln!("SKIPPED: {folder} is not here");
        return;
    };
    let world = World::new().await;
    let cells: Vec<&str> = sample.lines().nth(1).unwrap().split(',').collect();
    let at: i64 = cells[2].parse().unwrap();
    *world.now.lock().unwrap() = at + 10;
    world.company.server.set_now(at + 10).unwrap();
    let sink = world.metrica("offline_conversions", json!({}));
    world.epoch(&sink, "t", &conversions(&[("won:1", at, Some(cells[0]), 1_500_000)])).await;
    let file = &world.files()[0];
    assert_eq!(file.header.join(","), sample.lines().next().unwrap());
    let row: Vec<&str> = file.header.iter().map(|name| file.rows[0][name].as_str()).collect();
    assert_eq!(row, cells);

    let event: Value = serde_json::from_str(&event).unwrap();
    let at = event["timestamp_micros"].as_i64().unwrap();
    *world.now.lock().unwrap() = at / 1_000_000 + 10;
    world.company.server.set_now(at / 1_000_000 + 10).unwrap();
    let client = event["client_id"].as_str().unwrap();
    let deal = event["events"][0]["params"]["transaction_id"].as_str().unwrap();
    world
        .epoch(&world.ga4(json!({})), "e", &conversions(&[(deal, at / 1_000_000, Some(client), 1_500_000)]))
        .await;
    let sent = &world.company.server.uploads.events()[0];
    assert_eq!((sent.client_id.as_str(), sent.timestamp_micros), (client, at));
    let mut params = event["events"][0]["params"].clone();
    params["value"] = 15000.0.into();
    assert_eq!(sent.params, params);
}

#[tokio::test]
async fn the_suite_of_sinks() {
    let world = Arc::new(World::new().await);
    let of = world.clone();
    let suite = throughline_behaviour::SinkSuite::new(
        "metrica",
        move || Ok(of.metrica("offline_conversions", json!({}))),
        move || Ok(world.context().0),
    );
    let report = suite.run().await;
    assert!(report.passed(), "{}", report.text());
}

#[test]
fn options_say_what_is_wrong() {
    let wrong = |name: &str, value: Value| {
        let errors = try_build(name, ".".as_ref(), value).err().unwrap();
        format!("{errors:?}")
    };
    let metrica = |more: Value| {
        let mut value = json!({"counter_id": 1, "token": {"$secret": "t"}, "upload": "chats"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    for (more, says) in [
        (json!({"upload": "everything"}), "everything"),
        (json!({"time_zone": "Moscow"}), "Moscow"),
        (json!({"counter_id": 0}), "counter_id"),
        (json!({"unknown": "maybe"}), "maybe"),
        (json!({"base_url": "api-metrika"}), "base_url"),
    ] {
        assert!(wrong("yandex_metrica", metrica(more)).contains(says), "{says}");
    }
    let ga4 = |id: &str, event: &str| json!({"measurement_id": id, "api_secret": {"$secret": "s"}, "events": {"won": event}});
    assert!(wrong("ga4_measurement", ga4("UA-1", "purchase")).contains("G-XXXXXXXXXX"));
    for event in ["", "1won", "deal won", "ga_won", &"x".repeat(41)] {
        assert!(wrong("ga4_measurement", ga4("G-1A", event)).contains("no name of an event"), "{event}");
    }
}

#[test]
fn readmes_build() {
    for name in ["yandex_metrica", "ga4_measurement"] {
        let connector: Box<dyn SinkConnector> = crate::connector(name);
        let readme = connector.readme();
        let example = readme.split("```toml").nth(1).and_then(|t| t.split("```").next()).unwrap();
        assert!(example.contains(&format!("connector = \"{name}\"")), "{readme}");
    }
}

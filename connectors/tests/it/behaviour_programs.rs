//! The behaviour suite on sources that are other people's programs, and what goes wrong with such: every row comes,
//! whatever became of the program before.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use throughline_behaviour::{MemoryTokens, Report, Suite};
use throughline_connectors::airbyte::AirbyteConnector;
use throughline_connectors::records::Limits;
use throughline_connectors::singer::SingerConnector;
use throughline_core::{ErrorKind, Place, ReadEvent, SourceConnector};

use crate::behaviour::passes;
use crate::programs::{Studio, TOKEN, checkpoints, ids, notices};
use crate::support::{Break, Landing, spec};

/// How one of the protocols says the same.
struct Protocol {
    connector: &'static dyn SourceConnector,
    catalog: &'static str,
    /// Answers what it is asked, and defines `record ID`, `state ID ROWS`, `torn` (the beginning of a record),
    /// `widened ID` (a record whose schema changed) and `last`, the id that it goes on behind.
    words: &'static str,
    /// The id in a checkpoint.
    last: fn(&Value) -> &Value,
}

const SINGER: Protocol = Protocol {
    connector: &SingerConnector,
    catalog: r#"{"streams": [{"stream": "deals", "tap_stream_id": "deals", "key_properties": ["id"],
        "schema": {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"replication-method": "INCREMENTAL"}}]}]}"#,
    words: r#"
[ "$3" = --discover ] && cat "$STUDIO/catalog.json" && exit 0
last=0
[ "$5" = --state ] && last=$(sed -E 's/.*"last":([0-9]+).*/\1/' "$6")
record() { echo "{\"type\":\"RECORD\",\"stream\":\"deals\",\"record\":{\"id\":$1,\"name\":\"Сделка $1\"}}"; }
state() { echo "{\"type\":\"STATE\",\"value\":{\"last\":$1}}"; }
torn() { printf '{"type":"RECORD","stream":"deals","record":{"id":9'; }
widened() {
  echo '{"type":"SCHEMA","stream":"deals","schema":{"properties":{"paid":{}}},"key_properties":["id"]}'
  echo "{\"type\":\"RECORD\",\"stream\":\"deals\",\"record\":{\"id\":$1,\"name\":$1,\"paid\":{\"on\":null}}}"
}
echo '{"type":"SCHEMA","stream":"deals","schema":{},"key_properties":["id"]}'
"#,
    last: |state| &state["last"],
};

const AIRBYTE: Protocol = Protocol {
    connector: &AirbyteConnector,
    catalog: r#"{"type":"CATALOG","catalog":{"streams":[{"name":"deals","json_schema":{"properties":{"id":{"type":"integer"},"name":{"type":"string"}}},"supported_sync_modes":["full_refresh","incremental"],"source_defined_cursor":true,"default_cursor_field":["id"],"source_defined_primary_key":[["id"]]}]}}
"#,
    words: r#"
[ "$1" = check ] && echo '{"type":"CONNECTION_STATUS","connectionStatus":{"status":"SUCCEEDED"}}' && exit 0
[ "$1" = discover ] && cat "$STUDIO/catalog.json" && exit 0
last=0
[ "$6" = --state ] && last=$(sed -E 's/.*"last":([0-9]+).*/\1/' "$7")
data() { echo "{\"type\":\"RECORD\",\"record\":{\"stream\":\"deals\",\"data\":$1,\"emitted_at\":1}}"; }
record() { data "{\"id\":$1,\"name\":\"Сделка $1\"}"; }
state() {
  echo "{\"type\":\"STATE\",\"state\":{\"type\":\"STREAM\",\"stream\":{\"stream_descriptor\":{\"name\":\"deals\"},\"stream_state\":{\"last\":$1}},\"sourceStats\":{\"recordCount\":$2.0}}}"
}
torn() { printf '{"type":"RECORD","record":{"stream":"deals","data":{"id":9'; }
widened() { data "{\"id\":$1,\"name\":$1,\"paid\":{\"on\":null}}"; }
"#,
    last: |state| &state[0]["stream"]["stream_state"]["last"],
};

const BOTH: [&Protocol; 2] = [&SINGER, &AIRBYTE];

/// What a program does with the deals from 1 to `rows`.
#[derive(Clone, Copy)]
struct Deeds<'a> {
    rows: usize,
    /// A state behind so many deals.
    every: usize,
    /// Before the first deal.
    first: &'a str,
    /// In front of the deal `$id`, and behind it, before the state that may follow.
    before: &'a str,
    behind: &'a str,
    /// Behind the last deal; `$since` deals came since the last state.
    end: &'a str,
}

const NEVER: usize = 1_000_000;
const GOOD: Deeds<'_> =
    Deeds { rows: 9, every: 4, first: "", before: "", behind: "", end: "state $rows $since" };

impl Protocol {
    fn script(&self, deeds: Deeds<'_>) -> String {
        let Deeds { rows, every, first, before, behind, end } = deeds;
        let mut script = self.words.to_owned();
        write!(
            script,
            "rows={rows} since=0 id=$((last + 1))\n{first}\nwhile [ $id -le $rows ]; do\n{before}\nrecord $id\n\
             since=$((since + 1))\n{behind}\n[ $((id % {every})) = 0 ] && state $id $since && since=0\nid=$((id + 1))\ndone\n{end}\nexit 0\n"
        )
        .unwrap();
        script
    }

    fn studio(&self, deeds: Deeds<'_>) -> Studio {
        Studio::new(self.connector, self.catalog, &self.script(deeds))
    }

    async fn suite(&self, deeds: Deeds<'_>, extra: Value) -> Report {
        let studio = self.studio(deeds);
        let ctx = studio.world.ctx.clone();
        let world = move || {
            Ok(throughline_core::Context { tokens: Arc::new(MemoryTokens::default()), ..ctx.clone() })
        };
        Suite::of_connector(self.connector, &studio.options(extra), world).run().await
    }

    fn name(&self) -> &str {
        self.connector.name()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_around_every_state() {
    for protocol in BOTH {
        for rows in [0, 1, 3, 4, 5, 7, 8, 9] {
            let report = protocol.suite(Deeds { rows, ..GOOD }, json!({})).await;
            if rows == 0 {
                assert!(report.passed(), "{}", report.text());
                continue;
            }
            passes(&report, &["options", "connection", "rows", "repeatable", "checkpoints"]);
            passes(&report, &["incremental", "dry_read", "cancel"]);
            assert!(report.text().contains(&format!(" read           {rows} row")), "{}", report.text());
            if rows > GOOD.every {
                passes(&report, &["resumable"]);
            }
            if protocol.name() == "airbyte" {
                passes(&report, &["counts"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_whatever_habits_they_have() {
    let habits = [
        // What it was given, before anything; and each state twice.
        ("first", Deeds { first: "state $last 0", ..GOOD }),
        ("twice", Deeds { before: "[ $((id % 4)) = 1 ] && state $((id - 1)) 0", ..GOOD }),
        // Another schema from the middle on.
        ("schema", Deeds { before: "[ $id -ge 6 ] && record() { widened $1; }", ..GOOD }),
        ("noise", Deeds { behind: "echo; echo 'INFO read'; printf 'half of \\377\\n'", ..GOOD }),
        // The last line has no end.
        ("unended", Deeds { end: "printf %s \"$(state $rows $since)\"", ..GOOD }),
        ("carriage", Deeds { end: "printf '%s\\r\\n' \"$(state $rows $since)\"", ..GOOD }),
    ];
    for protocol in BOTH {
        for (habit, deeds) in habits {
            println!("{}, {habit}", protocol.name());
            let report = protocol.suite(deeds, json!({})).await;
            passes(&report, &["rows", "repeatable", "checkpoints", "resumable", "incremental", "cancel"]);
        }
        // More than a batch, without a state and read whole each time.
        let rows = Limits::default().batch_rows + 1;
        let report = protocol.suite(Deeds { rows, ..GOOD }, json!({ "full_refresh": ["deals"] })).await;
        passes(&report, &["rows", "repeatable", "dry_read", "cancel"]);
    }
}

/// Batches end where they are full, states stand where the program gave them, and neither moves a row.
#[tokio::test(flavor = "multi_thread")]
async fn rows_around_every_batch() {
    let batch = Limits::default().batch_rows;
    for protocol in BOTH {
        for every in [NEVER, batch, 5000] {
            for rows in [0, 1, batch - 1, batch, batch + 1] {
                let place = format!("{}: {rows} rows, a state every {every}", protocol.name());
                let studio = protocol.studio(Deeds { rows, every, ..GOOD });
                let (events, error) = studio.read("deals", None).await;
                assert!(error.is_none(), "{place}: {error:?}");
                assert!(ids(&events).into_iter().eq(1..=rows as i64), "{place}");
                let mut came = 0;
                for event in &events {
                    match event {
                        ReadEvent::Batch(batch_of) => {
                            assert!((1..=batch).contains(&batch_of.rows.num_rows()), "{place}");
                            came += batch_of.rows.num_rows();
                        }
                        ReadEvent::Checkpoint(state) => {
                            assert_eq!((protocol.last)(&state.0), &json!(came), "{place}");
                        }
                        _ => {}
                    }
                }
                // From the state in the middle of it, and from the end.
                let states = checkpoints(&events);
                for state in [&states[0], &states[states.len() - 1]] {
                    let behind = (protocol.last)(state).as_i64().unwrap();
                    let (events, error) = studio.read("deals", Some(state.clone())).await;
                    assert!(error.is_none(), "{place}: {error:?}");
                    assert!(
                        ids(&events).into_iter().eq(behind + 1..=rows as i64),
                        "{place}, behind {behind}"
                    );
                }
            }
        }
        // A dry run has enough after one, and the program is stopped although it has more.
        let studio = protocol.studio(Deeds { rows: 3 * batch, every: NEVER, ..GOOD });
        let (events, error) = studio.read_at_most("deals", None, Some(1)).await;
        assert!(error.is_none(), "{error:?}");
        assert!(ids(&events).into_iter().eq(1..=batch as i64) && checkpoints(&events).is_empty());
    }
}

/// Reads on with a program that is well, from what was durable: every deal is there once.
async fn goes_on(protocol: &Protocol, studio: &Studio, mut landing: Landing, durable: usize, place: &str) {
    let source = studio.source(json!({}));
    let ids = |landing: &Landing| {
        let ids = landing.column(&spec(&source, "deals"), "id");
        ids.iter().map(|id| id.parse::<usize>().unwrap()).collect::<Vec<_>>()
    };
    assert!(ids(&landing).into_iter().eq(1..=durable), "{place}: {:?}", ids(&landing));
    studio.program(&protocol.script(GOOD));
    landing.run(&source, &studio.world.ctx, "deals").await.unwrap();
    assert!(ids(&landing).into_iter().eq(1..=GOOD.rows), "{place}: {:?}", ids(&landing));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_told_and_the_next_run_goes_on() {
    let faults = [
        ("exit 3", "exit code 3", ErrorKind::Io),
        ("echo \"refused $STUDIO_TOKEN\" >&2; exit 1", "it said last: refused ***", ErrorKind::Io),
        ("kill -KILL $$", "was ended: signal: 9", ErrorKind::Io),
        // A record that ends in its middle, whatever the exit code says; and one with the next line in it.
        ("torn; exit 0", "is no message", ErrorKind::Protocol),
        ("torn; exit 3", "is no message", ErrorKind::Protocol),
        ("torn; record 10", "is no message", ErrorKind::Protocol),
        ("echo '{\"rubbish\": true}'", "is no message", ErrorKind::Protocol),
        ("printf '{\"type\":\"RECORD\\377\"}\\n'", "it is not UTF-8", ErrorKind::Protocol),
        ("printf 'loading: '; record 10", "behind other text", ErrorKind::Protocol),
    ];
    let env = |studio: &Studio| json!({ "env": { "STUDIO": studio.path(), "STUDIO_TOKEN": TOKEN } });
    for protocol in BOTH {
        for (fault, expected, kind) in faults {
            for at in [1, 4, 6, 9] {
                let place = format!("{}: {fault} at {at}", protocol.name());
                let behind = format!("[ $id = {at} ] && {{ {fault}; }}");
                let studio = protocol.studio(Deeds { behind: &behind, ..GOOD });
                let mut landing = Landing::default();
                let source = studio.source(env(&studio));
                let run = landing.run(&source, &studio.world.ctx, "deals").await;
                let error = run.err().unwrap_or_else(|| panic!("{place}: it went well"));
                let said = error.to_string();
                assert!(said.contains(expected) && error.kind() == kind, "{place}: {error:?}");
                assert!(!said.contains(TOKEN), "{place}: {said}");
                assert!(
                    matches!(error.place(), Some(Place::Stream { stream, .. }) if stream == "deals"),
                    "{place}: {error:?}"
                );
                goes_on(protocol, &studio, landing, (at - 1) / GOOD.every * GOOD.every, &place).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_silent_is_stopped_and_the_next_run_goes_on() {
    for (protocol, silence, expected) in [
        (&SINGER, "exec sleep 600", "wrote nothing for 1 s"),
        (&AIRBYTE, "exec sleep 600", "wrote nothing for 1 s"),
        // Its output has an end, it has none.
        (&SINGER, "exec sleep 600 >&-", "closed its output and did not end"),
    ] {
        let behind = format!("[ $id = 6 ] && {silence}");
        let studio = protocol.studio(Deeds { behind: &behind, ..GOOD });
        let mut landing = Landing::default();
        let source = studio.source(json!({ "time_limit_s": 1 }));
        let error = landing.run(&source, &studio.world.ctx, "deals").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        goes_on(protocol, &studio, landing, 4, expected).await;
    }
}

/// The process is gone behind a checkpoint: durable, and told to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_goes_on_behind_the_last_state() {
    for protocol in BOTH {
        for after in 1..=2 {
            let studio = protocol.studio(GOOD);
            let mut landing = Landing::default();
            let dies = Break { after_checkpoints: Some(after), ..Break::default() };
            let source = studio.source(json!({}));
            landing.run_until(&source, &studio.world.ctx, "deals", dies).await.unwrap();
            goes_on(protocol, &studio, landing, after * GOOD.every, protocol.name()).await;
        }
    }
}

/// What came behind the last state comes again, and nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_last_state_what_is_behind_comes_again() {
    for protocol in BOTH {
        for (every, behind) in [(4, 8), (NEVER, 0)] {
            let studio = protocol.studio(Deeds { every, end: "", ..GOOD });
            let (events, error) = studio.read("deals", None).await;
            assert!(error.is_none(), "{error:?}");
            assert!(ids(&events).into_iter().eq(1..=9), "{}", protocol.name());
            let state = checkpoints(&events).pop();
            assert_eq!(state.as_ref().map_or(0, |s| (protocol.last)(s).as_i64().unwrap()), behind);
            let (again, error) = studio.read("deals", state).await;
            assert!(error.is_none(), "{error:?}");
            assert!(ids(&again).into_iter().eq(behind + 1..=9), "{}", protocol.name());
        }
    }
}

/// A log line that tells of a record loses none; a record of which it is the beginning would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn text_in_front_of_a_record_is_no_noise() {
    for protocol in BOTH {
        let studio = protocol.studio(Deeds { before: "echo \"sent $(record 7) to you\"", ..GOOD });
        let (events, error) = studio.read("deals", None).await;
        assert!(error.is_none(), "{error:?}");
        assert!(ids(&events).into_iter().eq(1..=9));
        assert!(notices(&events).iter().any(|(code, said)| *code == "noise" && said.starts_with("9 ")));
        let studio = protocol.studio(Deeds { before: "[ $id = 7 ] && printf '50%% {done} '", ..GOOD });
        let (events, error) = studio.read("deals", None).await;
        let said = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("a record stands behind other text"), "{said}, {events:?}");
    }
}

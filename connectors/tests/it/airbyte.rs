//! Airbyte sources: good ones, and those that do what sources do.

use std::sync::Arc;

use serde_json::{Value, json};
use throughline_connectors::airbyte::AirbyteConnector;
use throughline_core::{ErrorKind, Options, ReadEvent, ReadRequest, Source, SourceConnector};

use crate::support::World;

const CATALOG: &str = r#"{"type":"LOG","log":{"level":"INFO","message":"discovering"}}
{"type":"CATALOG","catalog":{"streams":[
{"name":"users","json_schema":{"properties":{"id":{"type":"integer"},"name":{"type":["null","string"]}}},
 "supported_sync_modes":["full_refresh","incremental"],"source_defined_cursor":true,
 "default_cursor_field":["id"],"source_defined_primary_key":[["id"]]},
{"name":"log","json_schema":{},"supported_sync_modes":["full_refresh"]}]}}
"#;

struct Studio {
    world: World,
}

impl Studio {
    fn new(script: &str) -> Self {
        let world = World::at("2026-03-01T09:00:00Z");
        let program = world.dir.path().join("source.sh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(
            world.dir.path().join("catalog.json"),
            CATALOG.replace(",\n", ",").replace("[\n", "["),
        )
        .unwrap();
        Self { world }
    }

    fn source(&self) -> Arc<dyn Source> {
        let value = json!({
            "command": "./source.sh", "catalog": "catalog.json", "time_limit_s": 30,
            "config": { "token": { "$secret": "first-refresh-token" } },
            "env": { "STUDIO": self.world.dir.path() },
        });
        let options = Options { name: "crm".into(), value, base_dir: self.world.dir.path().to_path_buf() };
        AirbyteConnector.build(&options).unwrap_or_else(|e| panic!("{e:?}"))
    }

    async fn read(
        &self,
        stream: &str,
        checkpoint: Option<Value>,
    ) -> (Vec<ReadEvent>, Option<throughline_core::Error>) {
        let request = ReadRequest {
            stream: stream.into(),
            checkpoint: checkpoint.map(throughline_core::Checkpoint),
            window: None,
            max_pages: None,
        };
        let mut events = self.source().read(&self.world.ctx, request).await.unwrap();
        let mut all = Vec::new();
        while let Some(event) = futures::StreamExt::next(&mut events).await {
            match event {
                Ok(event) => all.push(event),
                Err(error) => return (all, Some(error)),
            }
        }
        (all, None)
    }
}

fn ids(events: &[ReadEvent]) -> Vec<i64> {
    use arrow::array::AsArray;
    let batches =
        events.iter().filter_map(|e| if let ReadEvent::Batch(b) = e { Some(&b.rows) } else { None });
    batches
        .flat_map(|rows| rows["id"].as_primitive::<arrow::datatypes::Int64Type>().values().to_vec())
        .collect()
}

fn checkpoints(events: &[ReadEvent]) -> Vec<Value> {
    let of = |e: &ReadEvent| if let ReadEvent::Checkpoint(c) = e { Some(c.0.clone()) } else { None };
    events.iter().filter_map(of).collect()
}

fn counts(events: &[ReadEvent]) -> Vec<(u64, u64)> {
    let of = |e: &ReadEvent| if let ReadEvent::Count(c) = e { Some((c.expected, c.read)) } else { None };
    events.iter().filter_map(of).collect()
}

/// `read --config C --catalog K [--state S]`: users behind the id in the state, a state after every second.
const GOOD: &str = r#"
cp "$3" "$STUDIO/seen-config.json"
[ "$1" = check ] && echo '{"type":"CONNECTION_STATUS","connectionStatus":{"status":"SUCCEEDED"}}' && exit 0
[ "$1" = discover ] && cat "$STUDIO/catalog.json" && exit 0
cp "$5" "$STUDIO/seen-catalog.json"
last=0
[ "$6" = --state ] && last=$(sed -E 's/.*"last":([0-9]+).*/\1/' "$7")
state() { echo "{\"type\":\"STATE\",\"state\":{\"type\":\"STREAM\",\"stream\":{\"stream_descriptor\":{\"name\":\"users\"},\"stream_state\":{\"last\":$1}},\"sourceStats\":{\"recordCount\":$2.0}}}"; }
echo '{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"users"},"status":"STARTED"}}}'
echo 'UserWarning: something is deprecated'
since=0
for id in 1 2 3 4 5; do
  [ $id -le $last ] && continue
  echo "{\"type\":\"RECORD\",\"record\":{\"stream\":\"users\",\"data\":{\"id\":$id,\"name\":\"Анна\"},\"emitted_at\":1}}"
  since=$((since + 1))
  [ $((id % 2)) = 0 ] && state $id $since && since=0
done
state 5 $since
exit 0
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_read_whole_and_goes_on_from_each_of_its_states() {
    let studio = Studio::new(GOOD);
    let (events, error) = studio.read("users", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), [1, 2, 3, 4, 5]);
    assert_eq!(counts(&events), [(2, 2), (2, 2), (1, 1)]);
    let states = checkpoints(&events);
    assert_eq!(states.len(), 3);
    assert_eq!(states[0][0]["stream"]["stream_state"], json!({"last": 2}));
    assert!(states[0][0].get("sourceStats").is_none());
    for (state, left) in states.into_iter().zip([vec![3, 4, 5], vec![5], vec![]]) {
        let (events, error) = studio.read("users", Some(state)).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(ids(&events), left);
    }
    let seen = std::fs::read_to_string(studio.world.dir.path().join("seen-catalog.json")).unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["streams"].as_array().unwrap().len(), 1);
    assert_eq!(seen["streams"][0]["sync_mode"], "incremental");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_got_lost_on_the_way_shows_in_the_count() {
    let studio = Studio::new(&GOOD.replace("state 5 $since", "state 5 3"));
    let (events, error) = studio.read("users", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(counts(&events).last(), Some(&(3, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_what_the_source_says() {
    let failing = |kind: &str| {
        format!(
            "echo '{{\"type\":\"RECORD\",\"record\":{{\"stream\":\"users\",\"data\":{{\"id\":1}}}}}}'\n\
             echo '{{\"type\":\"TRACE\",\"trace\":{{\"type\":\"ERROR\",\"error\":{{\"message\":\"refused first-refresh-token\",\"failure_type\":\"{kind}\"}}}}}}'\nexit 1"
        )
    };
    for (kind, expected, temporary) in [
        ("config_error", ErrorKind::Config, false),
        ("transient_error", ErrorKind::Io, true),
        ("system_error", ErrorKind::Io, false),
    ] {
        let (_, error) = Studio::new(&failing(kind)).read("users", None).await;
        let error = error.unwrap();
        assert_eq!((error.kind(), error.is_temporary()), (expected, temporary), "{error}");
        assert!(error.message().contains("refused ***"), "{error}");
    }
    // Exit code 0 does not make it good, and no word of it does not either.
    let (_, error) =
        Studio::new(&failing("system_error").replace("exit 1", "exit 0")).read("users", None).await;
    assert!(error.is_some());
    let incomplete = r#"echo '{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"users"},"status":"INCOMPLETE"}}}'"#;
    let (_, error) = Studio::new(incomplete).read("users", None).await;
    assert!(error.unwrap().message().contains("incomplete"));
    let (_, error) = Studio::new("echo 'Traceback' >&2; exit 2").read("users", None).await;
    let error = error.unwrap();
    assert!(error.message().contains("exit code 2") && error.message().contains("Traceback"), "{error}");
    let (_, error) =
        Studio::new(r#"echo '{"type":"RECORD","record":{"stream":"users"'"#).read("users", None).await;
    assert!(error.unwrap().message().contains("line 1 of the output"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_is_kept_and_used_by_the_next_run_until_the_user_changes_his() {
    let rotating = GOOD.replace(
        "last=0\n",
        "last=0\necho '{\"type\":\"CONTROL\",\"control\":{\"type\":\"CONNECTOR_CONFIG\",\"emitted_at\":1,\"connectorConfig\":{\"config\":{\"token\":\"second-refresh-token\"}}}}'\n",
    );
    let mut studio = Studio::new(&rotating);
    studio.world.ctx.tokens = Arc::new(throughline_behaviour::MemoryTokens::default());
    let token = |studio: &Studio| {
        let seen = std::fs::read_to_string(studio.world.dir.path().join("seen-config.json")).unwrap();
        serde_json::from_str::<Value>(&seen).unwrap()["token"].as_str().unwrap().to_owned()
    };
    studio.read("users", None).await;
    assert_eq!(token(&studio), "first-refresh-token");
    studio.read("users", None).await;
    assert_eq!(token(&studio), "second-refresh-token");
    let report = studio.source().check(&studio.world.ctx).await.unwrap();
    assert_eq!(token(&studio), "second-refresh-token");
    assert!(report.facts.iter().any(|(_, streams)| streams == "users, log"), "{report:?}");
    let value = json!({
        "command": "./source.sh", "catalog": "catalog.json", "env": { "STUDIO": studio.world.dir.path() },
        "config": { "token": { "$secret": "a-new-token-of-the-user" } },
    });
    let options = Options { name: "crm".into(), value, base_dir: studio.world.dir.path().to_path_buf() };
    let changed = AirbyteConnector.build(&options).unwrap_or_else(|e| panic!("{e:?}"));
    changed.check(&studio.world.ctx).await.unwrap();
    assert_eq!(token(&studio), "a-new-token-of-the-user");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_the_source_says() {
    let refused = r#"echo '{"type":"CONNECTION_STATUS","connectionStatus":{"status":"FAILED","message":"no such shop"}}'"#;
    let studio = Studio::new(refused);
    let error = studio.source().check(&studio.world.ctx).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.message().contains("no such shop"), "{error}");
    let studio = Studio::new("true");
    let error = studio.source().check(&studio.world.ctx).await.unwrap_err();
    assert!(error.message().contains("did not say"), "{error}");
}

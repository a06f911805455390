//! Airbyte sources: good ones, and those that do what sources do.

use std::sync::Arc;

use serde_json::{Value, json};
use throughline_connectors::airbyte::AirbyteConnector;
use throughline_core::{ErrorKind, ReadEvent};

use crate::programs::{Studio, TOKEN, checkpoints, ids};

const CATALOG: &str = r#"{"type":"LOG","log":{"level":"INFO","message":"discovering"}}
{"type":"CATALOG","catalog":{"streams":[
{"name":"users","json_schema":{"properties":{"id":{"type":"integer"},"name":{"type":["null","string"]}}},
 "supported_sync_modes":["full_refresh","incremental"],"source_defined_cursor":true,
 "default_cursor_field":["id"],"source_defined_primary_key":[["id"]]},
{"name":"log","json_schema":{},"supported_sync_modes":["full_refresh"]}]}}
"#;

fn program(script: &str) -> Studio {
    Studio::new(&AirbyteConnector, &CATALOG.replace(",\n", ",").replace("[\n", "["), script)
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
    let studio = program(GOOD);
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
    let seen: Value = serde_json::from_str(&studio.seen("seen-catalog.json")).unwrap();
    assert_eq!(seen["streams"].as_array().unwrap().len(), 1);
    assert_eq!(seen["streams"][0]["sync_mode"], "incremental");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_got_lost_on_the_way_shows_in_the_count() {
    let studio = program(&GOOD.replace("state 5 $since", "state 5 3"));
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
        let (_, error) = program(&failing(kind)).read("users", None).await;
        let error = error.unwrap();
        assert_eq!((error.kind(), error.is_temporary()), (expected, temporary), "{error}");
        assert!(error.message().contains("refused ***"), "{error}");
    }
    // Exit code 0 does not make it good, and no word of it does not either.
    let (_, error) = program(&failing("system_error").replace("exit 1", "exit 0")).read("users", None).await;
    assert!(error.is_some());
    let incomplete = r#"echo '{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"users"},"status":"INCOMPLETE"}}}'"#;
    let (_, error) = program(incomplete).read("users", None).await;
    assert!(error.unwrap().message().contains("incomplete"));
    let (_, error) = program("echo 'Traceback' >&2; exit 2").read("users", None).await;
    let error = error.unwrap();
    assert!(error.message().contains("exit code 2") && error.message().contains("Traceback"), "{error}");
    let (_, error) =
        program(r#"echo '{"type":"RECORD","record":{"stream":"users"'"#).read("users", None).await;
    assert!(error.unwrap().message().contains("line 1 of the output"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_is_kept_and_used_by_the_next_run_until_the_user_changes_his() {
    let rotating = GOOD.replace(
        "last=0\n",
        "last=0\necho '{\"type\":\"CONTROL\",\"control\":{\"type\":\"CONNECTOR_CONFIG\",\"emitted_at\":1,\"connectorConfig\":{\"config\":{\"token\":\"second-refresh-token\"}}}}'\n",
    );
    let mut studio = program(&rotating);
    studio.world.ctx.tokens = Arc::new(throughline_behaviour::MemoryTokens::default());
    let token = |studio: &Studio| {
        let seen: Value = serde_json::from_str(&studio.seen("seen-config.json")).unwrap();
        seen["token"].as_str().unwrap().to_owned()
    };
    studio.read("users", None).await;
    assert_eq!(token(&studio), TOKEN);
    studio.read("users", None).await;
    assert_eq!(token(&studio), "second-refresh-token");
    let report = studio.source(json!({})).check(&studio.world.ctx).await.unwrap();
    assert_eq!(token(&studio), "second-refresh-token");
    assert!(report.facts.iter().any(|(_, streams)| streams == "users, log"), "{report:?}");
    let changed = studio.source(json!({ "config": { "token": { "$secret": "a-new-token-of-the-user" } } }));
    changed.check(&studio.world.ctx).await.unwrap();
    assert_eq!(token(&studio), "a-new-token-of-the-user");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_the_source_says() {
    let refused = r#"echo '{"type":"CONNECTION_STATUS","connectionStatus":{"status":"FAILED","message":"no such shop"}}'"#;
    let studio = program(refused);
    let error = studio.source(json!({})).check(&studio.world.ctx).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.message().contains("no such shop"), "{error}");
    let studio = program("true");
    let error = studio.source(json!({})).check(&studio.world.ctx).await.unwrap_err();
    assert!(error.message().contains("did not say"), "{error}");
}

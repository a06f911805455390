//! Singer taps: good ones, and those that do what taps do.

use std::path::Path;

use serde_json::{Value, json};
use throughline_connectors::singer::SingerConnector;
use throughline_core::{ErrorKind, Place, ReadEvent, ReadRequest, SourceConnector};

use crate::programs::{Studio, TOKEN, checkpoints, ids, notices};

const CATALOG: &str = r#"{"streams": [
  {"tap_stream_id": "deals", "stream": "deals", "key_properties": ["id"],
   "schema": {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "price": {"type": "number"}}},
   "metadata": [{"breadcrumb": [], "metadata": {"replication-method": "INCREMENTAL", "replication-key": "id"}}]},
  {"tap_stream_id": "users", "stream": "users", "key_properties": ["id"],
   "schema": {"properties": {"id": {"type": "integer"}}}, "metadata": []}
]}"#;

fn tap(script: &str) -> Studio {
    Studio::new(&SingerConnector, CATALOG, script)
}

/// Prints deals behind the id in the state, a state after every second, and keeps the files it was given.
const GOOD: &str = r#"
cp "$2" "$STUDIO/seen-config.json"; cp "$4" "$STUDIO/seen-catalog.json"
env > "$STUDIO/seen-env"
last=0
[ "$5" = --state ] && last=$(sed -E 's/.*"last":([0-9]+).*/\1/' "$6")
echo '{"type":"SCHEMA","stream":"deals","schema":{},"key_properties":["id"]}'
echo "INFO a line that belongs elsewhere"
for id in 1 2 3 4 5; do
  [ $id -le $last ] && continue
  echo "{\"type\": \"RECORD\", \"stream\": \"deals\", \"record\": {\"id\": $id, \"name\": \"Сделка\", \"price\": 1.50}}"
  [ $((id % 2)) = 0 ] && echo "{\"type\":\"STATE\",\"value\":{\"last\":$id}}"
  [ $id = 3 ] && echo '{"type":"SCHEMA","stream":"deals","schema":{"properties":{"new":{}}},"key_properties":["id"]}'
done
echo '{"type":"ACTIVATE_VERSION","stream":"deals","version":1}'
echo '{"type":"STATE","value":{"last":5}}'
exit ${TAP_EXIT:-0}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_is_read_whole_and_goes_on_from_each_of_its_states() {
    let studio = tap(GOOD);
    let (events, error) = studio.read("deals", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), [1, 2, 3, 4, 5]);
    assert_eq!(checkpoints(&events), [json!({"last": 2}), json!({"last": 4}), json!({"last": 5})]);
    let noise = notices(&events);
    assert!(matches!(noise[..], [("noise", said)] if said.starts_with("1 ")), "{noise:?}");
    for (state, left) in
        [(json!({"last": 2}), vec![3, 4, 5]), (json!({"last": 4}), vec![5]), (json!({"last": 5}), vec![])]
    {
        let (events, error) = studio.read("deals", Some(state)).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(ids(&events), left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_its_settings_and_nothing_of_ours() {
    let studio = tap(GOOD);
    // Set for the whole test process: taps must not see it.
    let secret = ("CARGO_PKG_NAME", std::env::var("CARGO_PKG_NAME").unwrap_or_default());
    studio.read("deals", None).await;
    let seen = |name: &str| studio.seen(name);
    assert_eq!(serde_json::from_str::<Value>(&seen("seen-config.json")).unwrap(), json!({ "token": TOKEN }));
    let catalog: Value = serde_json::from_str(&seen("seen-catalog.json")).unwrap();
    assert_eq!(catalog["streams"][0]["metadata"][0]["metadata"]["selected"], true);
    assert_eq!(catalog["streams"][1]["metadata"][0]["metadata"]["selected"], false);
    assert!(!seen("seen-env").contains(secret.0), "{}", seen("seen-env"));
    // Nothing stays behind.
    let left: Vec<_> =
        std::fs::read_dir(&studio.world.ctx.scratch).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().starts_with("foreign")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_that_fails_after_its_last_line_has_failed() {
    let studio = tap(&format!(
        "{}\n",
        GOOD.replace("exit ${TAP_EXIT:-0}", "echo 'token first-refresh-token expired' >&2; exit 3")
    ));
    let (events, error) = studio.read("deals", None).await;
    let error = error.unwrap();
    assert!(
        error.message().contains("exit code 3") && error.message().contains("token *** expired"),
        "{error}"
    );
    assert!(matches!(error.place(), Some(Place::Stream { stream, .. }) if stream == "deals"), "{error}");
    // What stands before its states was good.
    assert_eq!(checkpoints(&events).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_taps_do_wrong_is_told_with_its_line() {
    for (line, expected, kind) in [
        (r#"{"type":"RECORD","stream":"deals","record":{"id":1"#, "is no message", ErrorKind::Protocol),
        (r#"{"type":"RECORD","stream":"deals"}"#, "RECORD without a record", ErrorKind::Protocol),
        (
            r#"{"type":"SCHEMA","stream":"deals","key_properties":["id","shop"]}"#,
            "the catalog says",
            ErrorKind::Data,
        ),
        (r#"{"type":"BATCH","stream":"deals","manifest":[]}"#, "files (BATCH)", ErrorKind::Unsupported),
    ] {
        let studio = tap(&format!("echo '{line}'"));
        let (events, error) = studio.read("deals", None).await;
        let error = error.unwrap_or_else(|| panic!("{line}: {events:?}"));
        assert!(error.to_string().contains(expected) && error.kind() == kind, "{line}: {error:?}");
        assert!(ids(&events).is_empty());
    }
    // A value that is no object is one record that is rejected.
    let studio = tap(
        r#"echo '{"type":"RECORD","stream":"users","record":[1]}'; echo '{"type":"RECORD","stream":"users","record":{"id":7}}'"#,
    );
    let (events, error) = studio.read("users", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), [7]);
    assert!(events.iter().any(|e| matches!(e, ReadEvent::Rejected(_))));
    // A full read has no checkpoints, and records of others are left out.
    let studio = tap(
        r#"echo '{"type":"RECORD","stream":"deals","record":{"id":1}}'; echo '{"type":"STATE","value":{"a":1}}'; echo '{"type":"NEW"}'"#,
    );
    let (events, error) = studio.read("users", None).await;
    assert!(error.is_none() && checkpoints(&events).is_empty(), "{error:?}");
    let codes: Vec<&str> = notices(&events).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["unknown_message", "other_streams"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_tap_and_all_it_started() {
    let studio = tap(
        "echo $$ > \"$STUDIO/pid\"\necho '{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":{\"id\":1}}'\nexec sleep 600",
    );
    let source = studio.source(json!({}));
    let request = ReadRequest { stream: "users".into(), checkpoint: None, window: None, max_pages: None };
    let mut events = source.read(&studio.world.ctx, request).await.unwrap();
    let pid = studio.path().join("pid");
    while !pid.is_file() || std::fs::read_to_string(&pid).unwrap().trim().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    studio.world.ctx.cancel.cancel();
    let error = loop {
        match futures::StreamExt::next(&mut events).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).join("cmdline").exists(), "the tap still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_that_says_nothing_is_stopped() {
    let studio = tap("exec sleep 600");
    let source = studio.source(json!({ "time_limit_s": 1 }));
    let request = ReadRequest { stream: "users".into(), checkpoint: None, window: None, max_pages: None };
    let mut events = source.read(&studio.world.ctx, request).await.unwrap();
    let error = futures::StreamExt::next(&mut events).await.unwrap().unwrap_err();
    assert!(error.message().contains("wrote nothing for 1 s") && error.is_temporary(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_the_tap_for_its_streams() {
    let studio = tap("[ \"$3\" = --discover ] && cat <<'X'\n{\"streams\": [{\"stream\": \"deals\"}]}\nX");
    let report = studio.source(json!({})).check(&studio.world.ctx).await.unwrap();
    assert_eq!(report.facts, [("streams".to_owned(), "deals".to_owned())]);
    assert!(report.warnings[0].contains("users"), "{report:?}");
    let studio = tap("echo 'no module named tap' >&2; exit 1");
    let error = studio.source(json!({})).check(&studio.world.ctx).await.unwrap_err();
    assert!(error.message().contains("no module named tap"), "{error}");
}

#[test]
fn wrong_options_are_pointed_at() {
    let studio = tap("");
    for (change, pointer) in [
        (json!({ "command": "./nowhere.sh" }), "/command"),
        (json!({ "catalog": "nowhere.json" }), "/catalog"),
        (json!({ "config": 7 }), "/config"),
        (json!({ "comand": "x" }), "/comand"),
        (json!({ "mappings": [{ "into": "dealz", "from": ["deals"], "sql": "" }] }), "/mappings/0/into"),
        (json!({ "mappings": [{ "into": "deals", "from": ["dealz"], "sql": "" }] }), "/mappings/0/from/0"),
    ] {
        let errors = SingerConnector.build(&studio.options(change)).map(|_| ()).unwrap_err();
        assert!(
            matches!(errors[0].place(), Some(Place::Option { pointer: p, .. }) if p == pointer),
            "{pointer}: {errors:?}"
        );
    }
}

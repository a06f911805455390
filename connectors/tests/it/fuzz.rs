//! Files that people put before a source, grown wrong: exported chats, their archives, inboxes. Whatever they hold,
//! reading them ends, with rows, dead letters or an error that is the file's fault.

use futures::StreamExt as _;
use serde_json::json;
use throughline_connectors::telegram_export::TelegramExportConnector;
use throughline_connectors::whatsapp_export::WhatsappExportConnector;
use throughline_core::{Checkpoint, DynSource, ErrorKind, ReadEvent, ReadRequest};

use super::support::World;
use super::webhooks::connector;
use super::whatsapp_export::{SAMPLES, archive};

#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;

use mutate::{PARTS, fuzz, grows_evenly};

const NOW: &str = "2026-09-10T09:00:00Z";

#[derive(Default)]
struct Read {
    rows: usize,
    rejects: usize,
    checkpoint: Option<Checkpoint>,
    error: Option<throughline_core::Error>,
}

fn read(world: &World, source: &DynSource, stream: &str, checkpoint: Option<Checkpoint>) -> Read {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = ReadRequest { stream: stream.into(), checkpoint, window: None, max_pages: None };
    runtime.block_on(async {
        let mut events = source.read(&world.ctx, request).await.unwrap();
        let mut read = Read::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(ReadEvent::Batch(batch)) => read.rows += batch.rows.num_rows(),
                Ok(ReadEvent::Rejected(_)) => read.rejects += 1,
                Ok(ReadEvent::Checkpoint(checkpoint)) => read.checkpoint = Some(checkpoint),
                Ok(_) => {}
                // A panic of the reader's thread is one, too.
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Protocol), "{error}");
                    read.error = Some(error);
                }
            }
        }
        read
    })
}

fn exports(world: &World, path: &str, order: Option<&str>) -> DynSource {
    let mut options =
        json!({"path": path, "operators": ["Студия Роза"], "account": "55", "time_zone": "Europe/Moscow"});
    if let Some(order) = order {
        options["date_order"] = order.into();
    }
    world.build(&WhatsappExportConnector, options)
}

#[test]
fn exported_chats() {
    let world = World::at(NOW);
    let seeds: Vec<Vec<u8>> = SAMPLES.iter().map(|s| s.as_bytes().to_vec()).collect();
    let (deduced, given) = (exports(&world, "chat.txt", None), exports(&world, "chat.txt", Some("dmy")));
    fuzz("exported chats", &seeds, |input, random| {
        world.write("chat.txt", input);
        let source = if random.below(2) == 0 { &deduced } else { &given };
        let done = read(&world, source, "messages", None);
        if done.error.is_none() {
            // Every line is a message's, a dead letter or blank: something came of any that is not.
            let some = input.split(|b| *b == b'\n').any(|l| l.iter().any(u8::is_ascii_alphabetic));
            assert!(!some || done.rows + done.rejects > 0);
            assert!(done.checkpoint.is_some());
        }
    });
}

#[test]
fn exported_telegram_chats() {
    let world = World::at(NOW);
    let seeds: Vec<Vec<u8>> = super::telegram_export::SAMPLES.iter().map(|s| s.as_bytes().to_vec()).collect();
    let source = world.build(&TelegramExportConnector, json!({"path": "chat.json", "account": "55"}));
    fuzz("exported Telegram chats", &seeds, |input, _| {
        world.write("chat.json", input);
        let done = read(&world, &source, "messages", None);
        assert_eq!(done.error.is_none(), done.checkpoint.is_some());
        if input == seeds[0] {
            assert_eq!((done.rows, done.rejects, done.error.is_none()), (4, 0, true));
        }
    });
    for before in
        ["{\"id\":1,\"type\":\"personal_chat\",\"messages\":[", "{\"about\":\"", "{\"chats\":{\"list\":["]
    {
        grows_evenly("exported Telegram chats", before.as_bytes(), b"", PARTS, |input| {
            world.write("chat.json", input);
            read(&world, &source, "messages", None);
        });
    }
}

#[test]
fn long_chats_take_long_and_no_longer() {
    let world = World::at(NOW);
    let source = exports(&world, "chat.txt", Some("dmy"));
    for before in ["12.03.2026, 14:05 - A: ", "[12.03.2026, 14:05:33] A: \u{200e}", ""] {
        grows_evenly("exported chats", before.as_bytes(), b"", PARTS, |input| {
            world.write("chat.txt", input);
            read(&world, &source, "messages", None);
        });
    }
}

#[test]
fn archives_of_chats() {
    let world = World::at(NOW);
    let files = [("media.opus", &[7_u8; 300][..]), ("_chat.txt", SAMPLES[1].as_bytes())];
    let seeds = [archive(&files, true), archive(&files, false), archive(&files[1..], true)];
    let source = exports(&world, "chat.zip", Some("mdy"));
    fuzz("archives of chats", &seeds, |input, _| {
        world.write("chat.zip", input);
        let done = read(&world, &source, "messages", None);
        if input == seeds[0] {
            assert_eq!((done.rows, done.rejects, done.error.is_none()), (5, 0, true));
        }
    });
}

#[test]
fn inboxes() {
    let world = World::at(NOW);
    let callbacks = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/comagic/samples/callbacks.jsonl"));
    let seeds = [
        callbacks.as_bytes().to_vec(),
        callbacks.lines().take(2).collect::<Vec<_>>().join("\n").into_bytes(),
    ];
    let source = world.build(connector("comagic").as_ref(), json!({"inbox": "inbox.jsonl"}));
    fuzz("inboxes", &seeds, |input, random| {
        world.write("inbox.jsonl", input);
        let done = read(&world, &source, "events", None);
        assert!(done.error.is_none(), "{:?}", done.error);
        // Each whole line with something in it is a row or a dead letter, and is read once.
        let whole = input.iter().rposition(|b| *b == b'\n').map_or(&input[..0], |end| &input[..end]);
        let lines = whole.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()).count();
        assert!((lines..=lines + 1).contains(&(done.rows + done.rejects)), "{lines} lines");
        let again = read(&world, &source, "events", done.checkpoint.clone());
        assert_eq!((again.rows, again.rejects), (0, 0));
        // Somebody appends: only that is read, behind a last line that was whole.
        if random.below(4) == 0 && input.ends_with(b"\n") {
            let more = json!({"headers": {":path": "/chat"}, "body": "{}"}).to_string() + "\n";
            world.write("inbox.jsonl", [input, more.as_bytes()].concat());
            let next = read(&world, &source, "events", done.checkpoint);
            assert_eq!((next.rows, next.rejects), (1, 0));
        }
    });
}

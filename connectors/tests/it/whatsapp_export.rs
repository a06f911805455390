//! Exported WhatsApp chats, from files as phones write them to canonical tables.

use std::collections::HashMap;
use std::io::Write as _;

use serde_json::{Value, json};
use throughline_connectors::whatsapp_export::WhatsappExportConnector;
use throughline_core::{DynSource, ErrorKind, ReadEvent, ReadRequest, SourceConnector};

use super::support::{Break, Landing, World, map, readme_options, spec};
use super::webhooks::expect;

const NOW: &str = "2026-09-10T09:00:00Z";

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/whatsapp_export/samples/", $name))
    };
}

/// Chats as phones write them.
pub const SAMPLES: [&str; 3] = [sample!("android_ru.txt"), sample!("ios_en.txt"), sample!("android_ar.txt")];

fn options(path: &str) -> Value {
    json!({"path": path, "operators": ["Студия Роза", "Studio Rose", "استوديو الورد"], "account": "55",
           "time_zone": "Europe/Moscow", "phone_region": "RU"})
}

async fn read(world: &World, options: Value) -> (Vec<Value>, Landing, DynSource) {
    let source = world.build(&WhatsappExportConnector, options);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    let rows = messages(&source, &landing).await;
    (rows, landing, source)
}

async fn tables(source: &DynSource, landing: &Landing) -> HashMap<String, Vec<Value>> {
    map(source, &[("messages".to_owned(), landing.clone())].into()).await
}

async fn messages(source: &DynSource, landing: &Landing) -> Vec<Value> {
    let mut rows = tables(source, landing).await.remove("messages").unwrap();
    rows.sort_by_key(|r| format!("{} {}", r["ts"], r["message_id"]));
    rows
}

async fn fails(name: &str, text: impl AsRef<[u8]>) -> throughline_core::Error {
    let world = World::at(NOW);
    world.write(name, text);
    let source = world.build(&WhatsappExportConnector, options(name));
    let mut landing = Landing::default();
    let error = landing.run(&source, &world.ctx, "messages").await.unwrap_err();
    assert!(landing.batches(&spec(&source, "messages")).is_empty());
    let checked = source.check(&world.ctx).await.unwrap_err();
    assert_eq!(checked.to_string(), error.to_string(), "`check` tells the same");
    error
}

#[tokio::test]
async fn a_chat_of_android_in_russian() {
    let world = World::at(NOW);
    world.write("Чат WhatsApp с контактом Анна.txt", sample!("android_ru.txt"));
    let (rows, landing, source) = read(&world, options("*.txt")).await;
    assert!(landing.rejects.is_empty(), "{:?}", landing.rejects);
    let kinds: Vec<String> = rows
        .iter()
        .map(|r| {
            let text = r.get("text").and_then(Value::as_str).unwrap_or("-").replace('\n', "/");
            format!(
                "{} {} {} {text}",
                &r["ts"].as_str().unwrap()[5..16],
                r["sender_kind"].as_str().unwrap(),
                r["kind"].as_str().unwrap()
            )
        })
        .collect();
    let mut wanted = [
        "03-12T11:04 system system Сообщения и звонки защищены сквозным шифрованием. Третьи лица не могут их прочитать.",
        "03-12T11:05 customer text Здравствуйте! [ID:HHR3D1196WD]",
        "03-12T11:07 operator text Добрый день!/Какой диван?//Есть:/- синий",
        "03-12T11:08 customer media -",
        "03-12T11:08 customer text ок",
        "03-12T11:08 customer text ок",
        "03-13T06:00 operator image вот он",
        "03-13T06:01 customer delete -",
        "03-13T06:02 customer text цена: 5000?",
    ];
    let mut kinds = kinds;
    kinds.sort();
    wanted.sort_unstable();
    assert_eq!(kinds, wanted);
    let first = rows.iter().find(|r| r["token_state"] == "ok").unwrap();
    expect(
        std::slice::from_ref(first),
        &json!([{"platform": "whatsapp", "conversation_id": "whatsapp:55:Анна", "direction": "in", "is_event": false,
                 "channel_account": "55", "contact_name": "Анна", "user_id": null, "phone_e164": null, "token": "HHR3D1196WD"}]),
    );
    assert!(tables(&source, &landing).await["identity_edges"].is_empty());
    let ids: std::collections::HashSet<String> = rows.iter().map(|r| r["message_id"].to_string()).collect();
    assert_eq!(ids.len(), rows.len());
}

#[tokio::test]
async fn a_chat_of_ios_and_one_in_arabic() {
    let world = World::at(NOW);
    std::fs::create_dir(world.path("79161234567")).unwrap();
    world.write("79161234567/_chat.txt", sample!("ios_en.txt"));
    let (rows, landing, source) = read(&world, options("*/_chat.txt")).await;
    assert!(landing.rejects.is_empty(), "{:?}", landing.rejects);
    expect(
        &rows,
        &json!([
            {"kind": "system", "sender_kind": "system", "is_event": true, "ts": "2026-03-12T11:04:10Z"},
            {"kind": "text", "text": "Hello", "ts": "2026-03-12T11:05:33Z", "user_id": "79161234567", "phone_e164": "+79161234567",
             "conversation_id": "whatsapp:55:79161234567", "contact_name": "Anna"},
            {"direction": "out", "sender_kind": "operator", "text": "Hi: which sofa?", "operator_id": "whatsapp_export:Studio Rose",
             "user_id": "79161234567", "contact_name": null, "token_state": null},
            {"kind": "image", "ts": "2026-03-12T21:00:00Z"},
            {"kind": "audio", "text": null, "ts": "2026-03-12T21:00:05Z"},
        ]),
    );
    expect(
        &tables(&source, &landing).await["identity_edges"],
        &json!([{"left_type": "wa_user", "left_value": "79161234567", "right_type": "phone", "right_value": "+79161234567"}]),
    );

    let world = World::at(NOW);
    world.write("محادثة واتساب.txt", sample!("android_ar.txt"));
    let mut with = options("*.txt");
    with["time_zone"] = "Asia/Dubai".into();
    let (rows, landing, _) = read(&world, with).await;
    assert!(landing.rejects.is_empty(), "{:?}", landing.rejects);
    expect(
        &rows,
        &json!([
            {"text": "مرحبا", "ts": "2026-03-12T10:05:00Z", "phone_e164": "+971501234567", "contact_name": null,
             "conversation_id": "whatsapp:55:971501234567"},
            {"text": "أهلا\nكيف أساعدك؟", "direction": "out", "ts": "2026-03-12T20:07:00Z"},
            {"kind": "media", "ts": "2026-03-12T20:08:00Z"},
        ]),
    );
}

#[tokio::test]
async fn exported_again_and_longer_every_message_is_there_once() {
    let whole = sample!("android_ru.txt");
    let world = World::at(NOW);
    let cut = whole.find("13.03.2026, 09:00").unwrap();
    world.write("Чат WhatsApp с контактом Анна.txt", &whole[..cut]);
    let source = world.build(&WhatsappExportConnector, options("*.txt"));
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    let before = messages(&source, &landing).await;
    assert_eq!(before.len(), 6);
    // A second download beside the first.
    world.write("Чат WhatsApp с контактом Анна (1).txt", whole);
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    let after = messages(&source, &landing).await;
    assert_eq!(after.len(), 9, "{after:#?}");
    for row in &before {
        assert!(after.contains(row), "{row} has another id or content");
    }
    // Nothing changed: nothing is read. One goes: the other holds all.
    let rows = landing.column(&spec(&source, "messages"), "id").len();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(landing.column(&spec(&source, "messages"), "id").len(), rows);
    std::fs::remove_file(world.path("Чат WhatsApp с контактом Анна.txt")).unwrap();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(messages(&source, &landing).await.len(), 9);
    assert!(landing.notices.iter().any(|n| n.code == "file_gone"));
}

#[tokio::test]
async fn a_run_that_breaks_off_goes_on_behind_its_last_file() {
    let world = World::at(NOW);
    for i in 0..3 {
        world.write(&format!("{i}.txt"), sample!("android_ru.txt").replace("Анна", &format!("Анна {i}")));
    }
    let source = world.build(&WhatsappExportConnector, options("*.txt"));
    for breaks in 1..=3 {
        let mut landing = Landing::default();
        let at = Break { after_checkpoints: Some(breaks), never_committed: true };
        landing.run_until(&source, &world.ctx, "messages", at).await.unwrap();
        landing.run(&source, &world.ctx, "messages").await.unwrap();
        assert_eq!(messages(&source, &landing).await.len(), 27, "{breaks}");
    }
}

#[tokio::test]
async fn groups_and_strange_names() {
    let world = World::at(NOW);
    world.write(
        "WhatsApp Chat with Диваны.txt",
        "12.03.2026, 14:05 - Иван создал(а) группу «Диваны: опт»\n\
         12.03.2026, 14:06 - +7 916 123-45-67: да\n\
         12.03.2026, 14:06 - ~ Пётр: нет\n\
         12.03.2026, 14:07 - Студия Роза: всем привет\n",
    );
    let (rows, ..) = read(&world, options("*.txt")).await;
    let mut rows = rows;
    rows.sort_by_key(|r| format!("{} {}", r["ts"], r.get("text").unwrap_or(&Value::Null)));
    expect(
        &rows,
        &json!([
            {"sender_kind": "system", "is_event": true},
            {"conversation_id": "whatsapp:55:WhatsApp Chat with Диваны/79161234567", "phone_e164": "+79161234567", "user_id": "79161234567"},
            {"conversation_id": "whatsapp:55:WhatsApp Chat with Диваны/Пётр", "user_id": null, "contact_name": "Пётр"},
            {"conversation_id": "whatsapp:55:WhatsApp Chat with Диваны", "direction": "out", "user_id": null},
        ]),
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_a_dead_letter_with_its_line() {
    let world = World::at(NOW);
    let mut bytes = b"\xef\xbb\xbf\nlost\n12/03/2026, 14:05 - A: one\n".to_vec();
    bytes.extend_from_slice(b"\xff\xfe broken\nmore\n31/02/2026, 14:05 - A: no such day\nand more of it\n");
    bytes.extend_from_slice(b"[12/03/2026, 14:05:00] B: pasted\n12/03/2026, 14:06 - A: two\n");
    bytes.extend_from_slice(b"12/03/2026, 14:07 - A: ");
    bytes.resize(bytes.len() + (2 << 20), b'x');
    bytes.extend_from_slice("\n12/03/2026, 14:08 - A: ".as_bytes());
    for _ in 0..20_000 {
        bytes.extend_from_slice("строка за строкой, и так без конца, ещё и ещё\n".as_bytes());
    }
    bytes.extend_from_slice(b"12/03/2026, 14:09 - A: three");
    world.write("a.txt", bytes);
    let mut with = options("a.txt");
    with["date_order"] = "dmy".into();
    let (rows, landing, _) = read(&world, with).await;
    let texts: Vec<&str> = rows.iter().map(|r| r["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["one\nmore", "two", "three"]);
    let wanted = [
        ("a.txt:2", "the line stands before the first message"),
        ("a.txt:4", "the line is no UTF-8"),
        ("a.txt:6", "the date is none in the order dmy"),
        ("a.txt:10", "the message is longer than a mebibyte"),
        ("a.txt:11", "the message is longer than a mebibyte"),
    ];
    assert_eq!(landing.rejects.len(), wanted.len(), "{:?}", landing.rejects);
    for (reject, (place, reason)) in landing.rejects.iter().zip(wanted) {
        assert!(
            reject.place == place && reject.reason.starts_with(reason),
            "{} {}",
            reject.place,
            reject.reason
        );
    }
    let pasted = String::from_utf8_lossy(&landing.rejects[2].raw).into_owned();
    assert!(pasted.contains("and more of it") && pasted.contains("pasted"), "{pasted}");
    assert_eq!(landing.notices[0].code, "no_operator_in_chat");
}

#[tokio::test]
async fn dates_that_may_be_read_in_two_ways_are_an_error() {
    let error = fails("a.txt", "3/4/26, 2:05 PM - Anna: Hello\n").await;
    assert!(
        error.to_string().contains("a.txt: its dates may be read in two ways, dmy or mdy (3/4/26 in line 1)"),
        "{error}"
    );
    let error = fails("a.txt", "как дела\n").await;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("is no exported chat"), "{error}");
    for order in ["dmy", "mdy"] {
        let world = World::at(NOW);
        world.write("a.txt", "3/4/26, 2:05 PM - Studio Rose: Hello\n");
        let mut with = options("a.txt");
        with["date_order"] = order.into();
        let (rows, ..) = read(&world, with).await;
        let day = if order == "dmy" { "2026-04-03" } else { "2026-03-04" };
        assert_eq!(rows[0]["ts"], format!("{day}T11:05:00Z"));
    }
    // An empty file is an empty chat.
    let world = World::at(NOW);
    world.write("a.txt", "\u{feff}\r\n");
    assert_eq!(read(&world, options("a.txt")).await.0, Vec::<Value>::new());
}

/// An archive as phones write it: deflated or stored, a directory at its end.
pub fn archive(files: &[(&str, &[u8])], deflated: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let packed = if deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let method: u16 = if deflated { 8 } else { 0 };
        let size = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let common = [
            &[20, 0, 0, 8][..],
            &method.to_le_bytes(),
            &[0; 4],
            &crc.sum().to_le_bytes(),
            &size(packed.len()),
            &size(content.len()),
            &u16::try_from(name.len()).unwrap().to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        directory.extend(
            [b"PK\x01\x02\x14\x00", &common[..], &[0; 10], &size(out.len()), name.as_bytes()].concat(),
        );
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), &packed].concat());
    }
    let (at, count) = (out.len() as u32, u16::try_from(files.len()).unwrap());
    out.extend_from_slice(&directory);
    out.extend(
        [
            b"PK\x05\x06\0\0\0\0".as_slice(),
            &count.to_le_bytes(),
            &count.to_le_bytes(),
            &(directory.len() as u32).to_le_bytes(),
            &at.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

#[tokio::test]
async fn archives_hold_the_chat_among_media() {
    let chat = sample!("ios_en.txt").as_bytes();
    let media: &[u8] = &[7; 5000];
    for deflated in [true, false] {
        let world = World::at(NOW);
        let files =
            [("00000004-AUDIO.opus", media), ("notes.txt", b"no chat".as_slice()), ("_chat.txt", chat)];
        world.write("WhatsApp Chat - Anna.zip", archive(&files, deflated));
        let (rows, ..) = read(&world, options("*.zip")).await;
        assert_eq!((rows.len(), rows[1]["conversation_id"].as_str().unwrap()), (5, "whatsapp:55:Anna"));
    }
    let whole = archive(&[("_chat.txt", chat)], true);
    for cut in (0..whole.len()).step_by(37) {
        let error = fails("a.zip", &whole[..cut]).await;
        assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Protocol), "{cut}: {error}");
    }
    // A letter of the chat is another one.
    let mut stored = archive(&[("_chat.txt", chat)], false);
    let at = stored.windows(5).position(|w| w == b"Hello").unwrap();
    stored[at] = b'J';
    let error = fails("a.zip", stored).await;
    assert!(error.to_string().contains("damaged"), "{error}");
    let error = fails("a.zip", archive(&[("a/x.txt", chat), ("y.txt", chat)], true)).await;
    assert!(error.to_string().contains("which of \"a/x.txt\", \"y.txt\" is the chat"), "{error}");
    let error = fails("a.zip", archive(&[("x.jpg", media)], true)).await;
    assert!(error.to_string().contains("no .txt is in it"), "{error}");
}

#[tokio::test]
async fn a_preview_reads_a_little_and_keeps_no_place() {
    let world = World::at(NOW);
    for name in ["a.txt", "b.txt"] {
        world.write(name, sample!("android_ru.txt"));
    }
    let source = world.build(&WhatsappExportConnector, options("*.txt"));
    let request =
        ReadRequest { stream: "messages".into(), checkpoint: None, window: None, max_pages: Some(1) };
    let events: Vec<ReadEvent> = futures_of(source.read(&world.ctx, request).await.unwrap()).await;
    assert_eq!(events.len(), 1);
    assert!(matches!(events[0], ReadEvent::Batch(_)));
}

async fn futures_of(mut stream: throughline_core::ReadStream) -> Vec<ReadEvent> {
    use futures::StreamExt as _;
    let mut all = Vec::new();
    while let Some(event) = stream.next().await {
        all.push(event.unwrap());
    }
    all
}

#[tokio::test]
async fn wrong_options_are_told_and_the_readme_s_work() {
    let world = World::at(NOW);
    let errors = |change: Value| {
        let mut value = options("a.txt");
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let options = throughline_core::Options { name: "x".into(), value, base_dir: world.path("") };
        let errors = WhatsappExportConnector.build(&options).map(|_| ()).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert!(errors(json!({"time_zone": "Moscow"})).contains("no time zone"));
    assert!(errors(json!({"operators": []})).contains("whose messages are ours"));
    assert!(errors(json!({"operators": ["\u{200e} "]})).contains("whose messages are ours"));
    assert!(errors(json!({"account": "a:b"})).contains("without a colon"));
    assert!(errors(json!({"phone_region": "XX"})).contains("no country"));
    assert!(errors(json!({"date_order": "ydm"})).contains("ydm"));
    assert!(errors(json!({"path": "["})).contains("no file pattern"));
    let (name, options) = readme_options(WhatsappExportConnector.readme());
    assert_eq!(name, "whatsapp_export");
    world.build(&WhatsappExportConnector, options);
}

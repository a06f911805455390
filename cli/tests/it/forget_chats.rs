//! Forgetting where a message does not name who wrote it: CoMagic's callbacks, exported chats.

use crate::command::throughline;

const PIPELINE: &str = r#"
[[source]]
name = "comagic"
connector = "comagic"
inbox = "inbox/*.jsonl"

[[source]]
name = "old"
connector = "whatsapp_export"
path = "chats/*.txt"
operators = ["Студия Роза"]
account = "79990001122"
time_zone = "Europe/Moscow"

[[sink]]
connector = "csv"
path = "out"
"#;

const CALLBACKS: &str = include_str!("../../../connectors/src/comagic/samples/callbacks.jsonl");
const CHAT: &str = "12.03.2026, 14:05 - Анна: Здравствуйте\n12.03.2026, 14:06 - Студия Роза: Добрый день\n";

#[test]
fn a_visitor_is_gone_with_every_message_of_his_chats() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["inbox", "chats"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::write(path("pipeline.toml"), PIPELINE).unwrap();
    // The same visitor in the inbox and in an exported chat, and somebody else in both.
    let other = CALLBACKS
        .replace("5001", "6002")
        .replace("900100", "800200")
        .replace("7000", "8000")
        .replace("79161234567", "79031112233")
        .replace("74951234567", "74950000000")
        .replace("Анна Т.", "Борис")
        .replace("Здравствуйте!", "Салют!");
    let inbox = path("inbox/inbox.jsonl");
    std::fs::write(&inbox, format!("{CALLBACKS}{other}")).unwrap();
    std::fs::write(path("chats/79161234567.txt"), CHAT).unwrap();
    std::fs::write(path("chats/79031112233.txt"), CHAT.replace("Анна", "Борис")).unwrap();
    let run = |args: &[&str]| {
        let output = throughline(folder.path(), args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}\n{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let messages = "SELECT platform, coalesce(phone_e164, '-') AS phone, count(*) AS n FROM in_messages GROUP BY 1, 2 ORDER BY 1, 2";
    let shown = || run(&["query", messages, "--format", "csv"]);
    run(&["run"]);
    assert_eq!(
        shown(),
        "platform,phone,n\ncomagic,+79031112233,3\ncomagic,+79161234567,3\nwhatsapp,+79031112233,2\nwhatsapp,+79161234567,2\n"
    );
    let told = run(&["forget", "+79161234567", "--yes"]);
    assert!(told.contains("the files of source \"old\": they are yours"), "{told}");
    let gone = "platform,phone,n\ncomagic,+79031112233,3\nwhatsapp,+79031112233,2\n";
    assert_eq!(shown(), gone);
    run(&["run", "--full-refresh"]);
    assert_eq!(shown(), gone, "it came back");
    let left = std::fs::read_to_string(&inbox).unwrap();
    for word in ["79161234567", "Здравствуйте", "Анна", "5001"] {
        assert!(!left.contains(word), "{word} is in the inbox: {left}");
    }
    for word in ["79031112233", "Салют", "Борис", "6002"] {
        assert!(left.contains(word), "{word} is not in the inbox any more: {left}");
    }
    assert_eq!(std::fs::read_to_string(path("chats/79161234567.txt")).unwrap(), CHAT);
}

//! docs/connectors.md is made from the code, so that it cannot claim what a connector does not do.

use std::fmt::Write as _;

use crate::command::repository;

fn page() -> String {
    let mut text = String::from(
        "# Connectors\n\nMade from the code by a test (`UPDATE_EXPECT=1 cargo test -p throughline --test it -- connectors_page`).\n\
         `throughline connector show NAME` prints the options and the documentation of one.\n\n## Sources\n",
    );
    for connector in throughline_connectors::all() {
        write!(text, "\n### {}\n{}\n\n", connector.name(), connector.summary()).unwrap();
        let streams = connector.catalog().streams;
        if streams.is_empty() {
            text.push_str("Its streams are what you give it: see its README.\n");
            continue;
        }
        text.push_str("| stream | key | incremental | windowed | resumable | deletes | webhook | count |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
        for stream in streams {
            let c = stream.capabilities;
            let cells = [c.incremental, c.windowed, c.resumable, c.deletes, c.webhook, c.count]
                .map(|has| if has { "yes" } else { "" });
            let key = if stream.key.is_empty() { "–".to_owned() } else { stream.key.join(", ") };
            writeln!(text, "| {} | {key} | {} |", stream.name, cells.join(" | ")).unwrap();
        }
    }
    text.push_str(
        "\nincremental: reads only what changed; windowed: honours `--from` and `--to`; resumable: a crash does not \
         start over; deletes: learns of deleted records; webhook: receives instead of asking; count: the vendor \
         gives a total to compare with.\n\n## Sinks\n\n| sink | what |\n| --- | --- |\n",
    );
    let write_back = throughline_sinks::write_back(throughline_connectors::connections());
    for sink in throughline_sinks::all().into_iter().chain(write_back) {
        writeln!(text, "| {} | {} |", sink.name(), sink.summary()).unwrap();
    }
    text
}

#[test]
fn the_page_is_what_the_code_says() {
    let path = repository().join("docs/connectors.md");
    let made = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, made, "run it with UPDATE_EXPECT=1");
}

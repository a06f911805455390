//! The list of printed links: a CSV file with columns of the canonical table `costs`, so that a pipeline reads
//! it as it is, and whoever knows what the printing cost can write it there.

use std::path::Path;

use chrono::NaiveDate;
use throughline_core::{Error, Result};

pub const COLUMNS: [&str; 8] =
    ["day", "system", "source", "medium", "campaign", "ad_id", "cost_minor", "currency"];

#[derive(Debug)]
pub struct Row<'a> {
    /// When it was made.
    pub day: NaiveDate,
    /// The messenger.
    pub source: &'a str,
    pub campaign: &'a str,
    pub token: Option<&'a str>,
    pub currency: &'a str,
}

/// Adds a row, unless the list has this messenger and campaign. Says whether it did.
pub fn add(path: &Path, row: &Row<'_>) -> Result<bool> {
    let wrong = |what: String| Error::config(format!("{}: {what}", path.display()));
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::io("read", path.display(), e)),
    };
    let mut reader = csv::Reader::from_reader(before.as_bytes());
    let headers = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    // An empty file has one empty header or none.
    let columns: Vec<&str> = headers.iter().filter(|h| !h.is_empty()).collect();
    if !columns.is_empty() {
        let place = |name: &str| {
            columns.iter().position(|c| *c == name).ok_or_else(|| {
                wrong(format!("it has no column {name}, so it is no list of links"))
                    .hint("name another file with --links")
            })
        };
        let (source, campaign) = (place("source")?, place("campaign")?);
        for record in reader.records() {
            let record = record.map_err(|e| wrong(e.to_string()))?;
            if record.get(source) == Some(row.source) && record.get(campaign) == Some(row.campaign) {
                return Ok(false);
            }
        }
    }
    let mut text = before;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let day = row.day.to_string();
    let value = |column: &str| match column {
        "day" => day.as_str(),
        "system" => "print",
        "source" => row.source,
        "medium" => "deeplink",
        "campaign" => row.campaign,
        "ad_id" => row.token.unwrap_or_default(),
        "cost_minor" => "0",
        "currency" => row.currency,
        _ => "",
    };
    let mut write = |fields: Vec<&str>| writer.write_record(fields).map_err(|e| wrong(e.to_string()));
    if columns.is_empty() {
        write(COLUMNS.to_vec())?;
        write(COLUMNS.map(value).to_vec())?;
    } else {
        write(columns.iter().map(|c| value(c)).collect())?;
    }
    let lines = writer.into_inner().map_err(|e| wrong(e.to_string()))?;
    text += &String::from_utf8_lossy(&lines);
    replace(path, &text)?;
    Ok(true)
}

/// Under another name first: a pipeline that runs meanwhile sees the old list or the new one.
fn replace(path: &Path, text: &str) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = Path::new(&name);
    let io = |what, e| Error::io(what, path.display(), e);
    std::fs::write(fresh, text).map_err(|e| Error::io("write", fresh.display(), e))?;
    if let Ok(known) = std::fs::metadata(path) {
        std::fs::set_permissions(fresh, known.permissions()).map_err(|e| io("keep the permissions of", e))?;
    }
    std::fs::File::open(fresh).and_then(|f| f.sync_all()).map_err(|e| io("make durable", e))?;
    std::fs::rename(fresh, path).map_err(|e| io("write", e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row<'a>(source: &'a str, campaign: &'a str, token: Option<&'a str>) -> Row<'a> {
        Row { day: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(), source, campaign, token, currency: "RUB" }
    }

    #[test]
    fn a_list_grows_and_keeps_what_people_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.csv");
        assert!(add(&path, &row("whatsapp", "Плакат, метро \"А\"", Some("HHR3D1196WD"))).unwrap());
        assert!(!add(&path, &row("whatsapp", "Плакат, метро \"А\"", Some("HHR3D1196WD"))).unwrap());
        // Somebody wrote the cost, moved a column, and left the last line without an end.
        let edited = "campaign,day,system,source,medium,ad_id,cost_minor,currency,note\nflyer,2026-01-01,print,vk,deeplink,,150000,RUB,\"in the\npark\"";
        std::fs::write(&path, edited).unwrap();
        assert!(!add(&path, &row("vk", "flyer", None)).unwrap());
        assert!(add(&path, &row("telegram", "flyer", None)).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{edited}\nflyer,2026-11-23,print,telegram,deeplink,,0,RUB,\n"));
    }

    #[test]
    fn another_file_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.csv");
        for other in ["a,b\n1,2\n", "source,campaign\n1\n"] {
            std::fs::write(&path, other).unwrap();
            assert!(add(&path, &row("vk", "flyer", None)).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        assert!(add(folder.path(), &row("vk", "flyer", None)).is_err());
    }
}

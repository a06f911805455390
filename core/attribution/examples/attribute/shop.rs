//! A shop that never was: visits, chats, deals and costs as canonical tables, the same bytes for the same number.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringBuilder, new_null_array};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use throughline_core::canonical::table;
use throughline_core::token::VisitToken;

use crate::Done;

/// 2026-07-01T00:00:00Z.
pub const BEGIN_US: i64 = 1_782_864_000_000_000;
const DAYS: i64 = 90;
pub const DAY_US: i64 = 86_400_000_000;
/// What comes later has not happened: the last days are as busy as those before, and some journeys go on.
const END_US: i64 = BEGIN_US + DAYS * DAY_US;
const HOUR_US: i64 = 3_600_000_000;

struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
    /// 1, 2, 3, ... with a tail like x^-exponent.
    fn power_law(&mut self, exponent: f64, most: u64) -> u64 {
        ((1.0 - self.unit()).powf(-1.0 / (exponent - 1.0)) as u64).clamp(1, most)
    }
}

#[derive(Clone, Copy)]
struct Visit {
    ts_us: i64,
    browser: u64,
    campaign: u16,
    keyword: u16,
    number: u32,
}

struct Chat {
    ts_us: i64,
    person: u64,
    visit: u32,
    token_kept: bool,
}

/// Of the 200 campaigns some 12 carry half of the visits.
fn campaign(random: &mut Random) -> (u16, u16) {
    let campaign = (random.power_law(1.6, 200) - 1) as u16;
    (campaign, (random.power_law(1.7, 50) - 1) as u16)
}

/// Writes FOLDER/canonical.
pub fn generate(folder: &Path, visits: u64) -> Done {
    let mut random = Random(ChaCha8Rng::seed_from_u64(42));
    let people = visits * 71 / 1000;
    let mut all: Vec<Visit> = Vec::with_capacity(visits as usize);
    let mut chats = Vec::with_capacity(people as usize);
    let mut browser = 0;
    for person in 0..people {
        browser += 1;
        let journey = random.power_law(2.3, 60).min(visits - all.len() as u64).max(1);
        let mut ts_us = BEGIN_US + random.below((DAYS * DAY_US) as u64) as i64;
        let mut seen = 0;
        while seen < journey && ts_us < END_US {
            // One in ten goes on with another device.
            if seen > 0 && random.below(10) == 0 {
                browser += 1;
            }
            let (campaign, keyword) = campaign(&mut random);
            all.push(Visit { ts_us, browser, campaign, keyword, number: all.len() as u32 });
            ts_us += HOUR_US + random.below((4 * DAY_US) as u64) as i64;
            seen += 1;
        }
        if seen < journey {
            // Has not written yet.
            continue;
        }
        let last = all[all.len() - 1];
        chats.push(Chat {
            ts_us: last.ts_us + 60_000_000 + random.below(1_800_000_000) as i64,
            person,
            visit: last.number,
            token_kept: random.below(20) != 0,
        });
    }
    while (all.len() as u64) < visits {
        browser += 1;
        let journey = random.power_law(2.3, 60).min(visits - all.len() as u64);
        let mut ts_us = BEGIN_US + random.below((DAYS * DAY_US) as u64) as i64;
        for _ in 0..journey {
            if ts_us >= END_US {
                break;
            }
            let (campaign, keyword) = campaign(&mut random);
            all.push(Visit { ts_us, browser, campaign, keyword, number: all.len() as u32 });
            ts_us += HOUR_US + random.below((4 * DAY_US) as u64) as i64;
        }
    }
    // As a source brings them: by time.
    all.sort_unstable_by_key(|v| (v.ts_us, v.number));
    chats.sort_unstable_by_key(|c| (c.ts_us, c.person));

    let canonical = folder.join("canonical");
    write_visits(&canonical, &all, &mut random)?;
    drop(all);
    write_messages(&canonical, &chats)?;
    write_crm(&canonical, &chats, &mut random)?;
    write_costs(&canonical, &mut random)?;
    println!("{{\"visits\":{visits},\"people\":{people},\"browsers\":{browser}}}");
    Ok(())
}

/// Spread over the 50 bits, still one of each.
fn push_token(number: u32, out: &mut String) -> bool {
    let token = VisitToken::from_number(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 14);
    token.inspect(|token| out.push_str(token.as_str())).is_some()
}

fn phone(person: u64) -> String {
    // One in 200 is reached through one of a few switchboards.
    if person.is_multiple_of(200) {
        format!("+7495{:07}", person / 200 % 97)
    } else {
        format!("+79{person:09}")
    }
}

// --- columns ---

/// A table under construction: what is not given is null.
struct Sheet {
    schema: SchemaRef,
    writer: ArrowWriter<std::fs::File>,
}

impl Sheet {
    fn create(canonical: &Path, name: &str) -> Done<Self> {
        let folder = canonical.join(name).join("all");
        std::fs::create_dir_all(&folder)?;
        let file = std::fs::File::create(folder.join("part-0.parquet"))?;
        let schema = table(name).ok_or_else(|| format!("no table {name}"))?.schema();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(128 * 1024))
            .build();
        Ok(Self { writer: ArrowWriter::try_new(file, schema.clone(), Some(properties))?, schema })
    }

    fn write(&mut self, rows: usize, given: Vec<(&str, ArrayRef)>) -> Done {
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|f| {
                given
                    .iter()
                    .find(|(name, _)| name == f.name())
                    .map_or_else(|| new_null_array(f.data_type(), rows), |(_, column)| column.clone())
            })
            .collect();
        for (name, _) in &given {
            assert!(self.schema.column_with_name(name).is_some(), "no column {name}");
        }
        Ok(self.writer.write(&RecordBatch::try_new(self.schema.clone(), columns)?)?)
    }

    fn finish(self) -> Done {
        self.writer.close()?;
        Ok(())
    }
}

fn texts<T>(rows: &[T], mut text: impl FnMut(&T, &mut String) -> bool) -> ArrayRef {
    let mut builder = StringBuilder::new();
    let mut buffer = String::new();
    for row in rows {
        buffer.clear();
        if text(row, &mut buffer) {
            builder.append_value(&buffer);
        } else {
            builder.append_null();
        }
    }
    Arc::new(builder.finish())
}

fn words<T>(rows: &[T], word: impl Fn(&T) -> &'static str) -> ArrayRef {
    texts(rows, |row, out| {
        out.push_str(word(row));
        true
    })
}

fn instants<T>(rows: &[T], instant: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    let column: Int64Array = rows.iter().map(instant).collect();
    Arc::new(column.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("UTC"))
}

macro_rules! text {
    ($rows:expr, |$row:ident| $($format:tt)*) => {
        texts($rows, |$row, out| {
            use std::fmt::Write as _;
            // Writing into a string cannot fail.
            let _ = write!(out, $($format)*);
            true
        })
    };
}

const SOURCES: [(&str, &str, &str); 6] = [
    ("yandex", "cpc", "ad"),
    ("google", "cpc", "ad"),
    ("vk", "social", "social"),
    ("telegram", "cpc", "messenger"),
    ("google", "organic", "organic"),
    ("direct", "direct", "direct"),
];

fn source(campaign: u16) -> (&'static str, &'static str, &'static str) {
    SOURCES[usize::from(campaign) % SOURCES.len()]
}

fn is_paid(campaign: u16) -> bool {
    matches!(source(campaign).2, "ad" | "messenger")
}

fn write_visits(canonical: &Path, all: &[Visit], random: &mut Random) -> Done {
    let mut sheet = Sheet::create(canonical, "visits")?;
    for rows in all.chunks(64 * 1024) {
        let of_ad = |v: &Visit, out: &mut String, text: std::fmt::Arguments<'_>| {
            let _ = std::fmt::Write::write_fmt(out, text);
            is_paid(v.campaign)
        };
        let given: Vec<(&str, ArrayRef)> = vec![
            ("visit_id", text!(rows, |v| "ym:1:{}", 10_000_000_000_u64 + u64::from(v.number))),
            ("started_at", instants(rows, |v| Some(v.ts_us))),
            ("account", words(rows, |_| "1")),
            ("token", texts(rows, |v, out| push_token(v.number, out))),
            (
                "ym_client_id",
                text!(
                    rows,
                    |v| "17{:016}",
                    v.browser.wrapping_mul(6_364_136_223_846_793_005) % 10_000_000_000_000_000
                ),
            ),
            ("traffic_type", words(rows, |v| source(v.campaign).2)),
            ("source", words(rows, |v| source(v.campaign).0)),
            ("medium", words(rows, |v| source(v.campaign).1)),
            ("campaign_id", texts(rows, |v, out| of_ad(v, out, format_args!("7{:07}", v.campaign)))),
            ("campaign", texts(rows, |v, out| of_ad(v, out, format_args!("кампания {}", v.campaign)))),
            (
                "ad_id",
                texts(rows, |v, out| of_ad(v, out, format_args!("9{:04}{:02}", v.campaign, v.keyword % 5))),
            ),
            ("ad", texts(rows, |v, out| of_ad(v, out, format_args!("ad {}", v.keyword % 5)))),
            ("keyword", texts(rows, |v, out| of_ad(v, out, format_args!("купить букет {}", v.keyword)))),
            (
                "entrance_page",
                text!(rows, |v| "https://shop.example/catalog/{}?utm_campaign={}", v.keyword, v.campaign),
            ),
            ("region", words(rows, |v| if v.browser % 3 == 0 { "Москва" } else { "Казань" })),
            ("city", words(rows, |v| if v.browser % 3 == 0 { "Москва" } else { "Казань" })),
            ("country", words(rows, |_| "Russia")),
            ("device", words(rows, |v| if v.browser % 4 == 0 { "desktop" } else { "phone" })),
            ("os", words(rows, |v| if v.browser % 2 == 0 { "android" } else { "ios" })),
            ("browser", words(rows, |v| if v.browser % 2 == 0 { "chrome" } else { "safari" })),
            ("screen", words(rows, |_| "390x844")),
            ("language", words(rows, |_| "ru")),
            ("hits", Arc::new(rows.iter().map(|_| 1 + random.below(9) as i64).collect::<Int64Array>())),
            ("duration_s", Arc::new(rows.iter().map(|_| random.below(900) as i64).collect::<Int64Array>())),
        ];
        sheet.write(rows.len(), given)?;
    }
    sheet.finish()
}

fn write_messages(canonical: &Path, chats: &[Chat]) -> Done {
    let mut sheet = Sheet::create(canonical, "messages")?;
    for rows in chats.chunks(32 * 1024) {
        for answer in [false, true] {
            let user = |c: &Chat, out: &mut String| {
                out.push_str(phone(c.person).trim_start_matches('+'));
                if c.person.is_multiple_of(200) {
                    // Who sits behind a switchboard writes from a phone of his own.
                    out.clear();
                    let _ = std::fmt::Write::write_fmt(out, format_args!("78{:09}", c.person));
                }
                true
            };
            let mut given: Vec<(&str, ArrayRef)> = vec![
                ("platform", words(rows, |_| "whatsapp")),
                ("message_id", text!(rows, |c| "wamid.{}{}", if answer { 'b' } else { 'a' }, c.person)),
                (
                    "conversation_id",
                    texts(rows, |c, out| {
                        out.push_str("whatsapp:1:");
                        let mut id = String::new();
                        user(c, &mut id);
                        out.push_str(&id);
                        true
                    }),
                ),
                ("ts", instants(rows, |c| Some(c.ts_us + if answer { 90_000_000 } else { 0 }))),
                ("direction", words(rows, |_| if answer { "out" } else { "in" })),
                ("sender_kind", words(rows, |_| if answer { "operator" } else { "customer" })),
                ("kind", words(rows, |_| "text")),
                ("text", words(rows, |_| "Здравствуйте! Хочу узнать цену")),
                ("business_number", words(rows, |_| "+74950000000")),
                ("user_id", texts(rows, user)),
            ];
            if !answer {
                given.push(("token", texts(rows, |c, out| c.token_kept && push_token(c.visit, out))));
                given.push(("token_state", words(rows, |c| if c.token_kept { "ok" } else { "invalid" })));
            }
            sheet.write(rows.len(), given)?;
        }
    }
    sheet.finish()
}

fn write_crm(canonical: &Path, chats: &[Chat], random: &mut Random) -> Done {
    let mut contacts = Sheet::create(canonical, "contacts")?;
    for rows in chats.chunks(64 * 1024) {
        contacts.write(
            rows.len(),
            vec![
                ("contact_id", text!(rows, |c| "amocrm:shop:{}", 5_000_000 + c.person)),
                ("name", text!(rows, |c| "Клиент {}", c.person)),
                ("phone_e164", text!(rows, |c| "{}", phone(c.person))),
                ("created_at", instants(rows, |c| Some(c.ts_us))),
            ],
        )?;
    }
    contacts.finish()?;

    // 0.29 won deals with money for everybody, some have two deals.
    let deals: Vec<(u64, i64, u64, u64)> = chats
        .iter()
        .flat_map(|c| {
            let n = 1 + u64::from(random.below(1000) < 73);
            (0..n)
                .map(|i| {
                    (
                        c.person,
                        c.ts_us + HOUR_US + i as i64 * DAY_US,
                        random.below(10),
                        100_000 + random.below(5_000_000),
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let mut sheet = Sheet::create(canonical, "deals")?;
    let state = |kind: u64| match kind {
        0..=3 => "won",
        4..=6 => "lost",
        _ => "open",
    };
    let mut number = 0_u64;
    for rows in deals.chunks(64 * 1024) {
        let first = number;
        number += rows.len() as u64;
        let mut ids = StringBuilder::new();
        for n in first..number {
            ids.append_value(format!("amocrm:shop:{}", 9_000_000 + n));
        }
        sheet.write(
            rows.len(),
            vec![
                ("deal_id", Arc::new(ids.finish())),
                ("created_at", instants(rows, |d| Some(d.1))),
                ("state", words(rows, |d| state(d.2))),
                ("contact_id", text!(rows, |d| "amocrm:shop:{}", 5_000_000 + d.0)),
                ("status", words(rows, |d| state(d.2))),
                ("value_minor", Arc::new(rows.iter().map(|d| d.3 as i64).collect::<Int64Array>())),
                ("currency", words(rows, |_| "RUB")),
                ("closed_at", instants(rows, |d| (d.2 <= 6).then_some(d.1 + 2 * DAY_US))),
                ("updated_at", instants(rows, |d| Some(d.1 + 2 * DAY_US))),
                ("is_deleted", Arc::new(BooleanArray::from(vec![false; rows.len()]))),
            ],
        )?;
    }
    sheet.finish()
}

fn write_costs(canonical: &Path, random: &mut Random) -> Done {
    let days: Vec<(i32, u16, u16)> = (0..DAYS as i32)
        .flat_map(|day| {
            (0..200_u16).filter(|c| is_paid(*c)).flat_map(move |c| (0..5).map(move |ad| (day, c, ad)))
        })
        .collect();
    let first = (BEGIN_US / DAY_US) as i32;
    let mut sheet = Sheet::create(canonical, "costs")?;
    for rows in days.chunks(64 * 1024) {
        let numbers = |f: &mut dyn FnMut() -> i64| {
            Arc::new(rows.iter().map(|_| f()).collect::<Int64Array>()) as ArrayRef
        };
        sheet.write(
            rows.len(),
            vec![
                ("system", words(rows, |r| if r.1 % 6 == 0 { "yandex_direct" } else { "google_ads" })),
                (
                    "day",
                    Arc::new(rows.iter().map(|r| Some(first + r.0)).collect::<arrow::array::Date32Array>()),
                ),
                ("cost_minor", numbers(&mut || 10_000 + random.below(500_000) as i64)),
                ("currency", words(rows, |_| "RUB")),
                ("source", words(rows, |r| source(r.1).0)),
                ("medium", words(rows, |r| source(r.1).1)),
                ("campaign_id", text!(rows, |r| "7{:07}", r.1)),
                ("campaign", text!(rows, |r| "кампания {}", r.1)),
                ("ad_id", text!(rows, |r| "9{:04}{:02}", r.1, r.2)),
                ("ad", text!(rows, |r| "ad {}", r.2)),
            ],
        )?;
    }
    sheet.finish()
}

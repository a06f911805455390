//! The functions on whole columns; docs/sql-functions.md has one example of each, run by `docs`.

use std::sync::Arc;

use arrow::array::{Decimal128Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use throughline_core::{ErrorKind, Param};
use throughline_sql::SqlEngine;

use crate::{batch, lab, lines};

fn text(name: &str, value: &str) -> (String, Param) {
    (name.into(), Param::Text(Some(value.into())))
}

#[tokio::test]
async fn a_mapping_takes_contact_points_out_of_custom_fields() {
    let lab = lab();
    let fields = StringArray::from(vec![
        Some(
            r#"[{"field_code":"PHONE","values":[{"value":"8 (916) 123-45-67"},{"value":"нет"},{"value":"٠٥٠١٢٣٤٥٦٧"}]},{"field_code":"EMAIL","values":[{"value":"А@Б.рф"}]}]"#,
        ),
        Some("[]"),
        None,
        Some("{broken"),
        Some(r#"[{"field_code":"PHONE","values":[]}]"#),
        Some(r#"[{"field_code":"PHONE","values":[{"value":79160000000}]}]"#),
    ]);
    let ids = Int64Array::from_iter_values(1..=6);
    lab.rows("contacts", batch(vec![("id", Arc::new(ids)), ("custom_fields_values", Arc::new(fields))]))
        .await;
    let select = "SELECT id, phone_e164(phone, $region) AS phone FROM ( \
                    SELECT id, unnest(json_list(custom_fields_values, '[field_code=PHONE].values[*].value')) AS phone \
                    FROM contacts) AS p \
                  WHERE phone_e164(phone, $region) IS NOT NULL ORDER BY id, phone";
    let found = lines(&lab.read(select, &[text("region", "RU")]).await.unwrap());
    assert_eq!(found, ["1 | +70501234567", "1 | +79161234567", "6 | +79160000000"]);
    let emirati = lines(&lab.read(select, &[text("region", "AE")]).await.unwrap());
    assert!(emirati.contains(&"1 | +971501234567".to_string()), "{emirati:?}");
    assert_eq!(
        lab.lines(
            "SELECT id, json_list(custom_fields_values, '[*].field_code') AS codes FROM contacts ORDER BY id"
        )
        .await,
        ["1 | [PHONE, EMAIL]", "2 | []", "3 | -", "4 | -", "5 | [PHONE]", "6 | [PHONE]"]
    );
}

#[tokio::test]
async fn functions_take_columns_of_every_shape() {
    let lab = lab();
    let urls = StringArray::from(vec![Some("https://Shop.ru/a?utm_source=%D1%8F"), None, Some("")]);
    let names = StringArray::from(vec![Some("utm_source"), Some("utm_source"), None]);
    let amounts = Decimal128Array::from(vec![Some(12_345_000_000), Some(1), None])
        .with_precision_and_scale(38, 9)
        .unwrap();
    let zones = StringArray::from(vec!["Europe/Moscow", "+03:00", "nowhere"]);
    lab.rows(
        "t",
        batch(vec![
            ("url", Arc::new(urls)),
            ("name", Arc::new(names)),
            ("amount", Arc::new(amounts)),
            ("zone", Arc::new(zones)),
            ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ]),
    )
    .await;
    assert_eq!(
        lab.lines("SELECT url_host(arrow_cast(url, 'Utf8View')), url_param(url, name), url_path(url) FROM t ORDER BY n").await,
        ["shop.ru | я | /a", "- | - | -", "- | - | -"]
    );
    assert_eq!(
        lab.lines("SELECT minor_units(amount, 'RUB'), minor_units(n, 'KWD'), minor_units(decimal_text(amount), 'JPY') FROM t ORDER BY n").await,
        ["1235 | 1000 | 12", "0 | 2000 | 0", "- | 3000 | -"]
    );
    assert_eq!(
        lab.lines("SELECT instant_us(parse_instant('2026-09-01 03:00:00', zone)) FROM t ORDER BY n").await,
        ["1788220800000000", "1788220800000000", "-"]
    );
    assert_eq!(lab.lines("SELECT json_text(n, '') FROM t ORDER BY n").await, ["1", "2", "3"]);
    // Of a thousand rows each is its own.
    let many = "SELECT count(*) FROM generate_series(1, 20000) AS g(n) \
                WHERE json_int('{\"a\":' || CAST(n AS VARCHAR) || '}', 'a') = n";
    assert_eq!(lab.engine.scalar_i64(many).await.unwrap(), 20_000);
}

#[tokio::test]
async fn constants_that_cannot_be_right_are_found_while_planning() {
    let lab = lab();
    lab.rows("t", batch(vec![("a", Arc::new(StringArray::from(vec!["x"])))])).await;
    for (sql, says) in [
        ("SELECT\n json_text(a, 'b[') FROM t", "is not closed"),
        ("SELECT\n json_list(a, '[*]x') FROM t", "\".\" is missing"),
        ("SELECT\n parse_instant(a, 'Europe/Moskow') FROM t", "no time zone"),
        ("SELECT\n phone_e164(a, 'Russia') FROM t", "no country"),
        ("SELECT\n phone_e164(a) FROM t", "takes 2 arguments"),
        ("SELECT\n unix_to_instant(a) FROM t", "a whole number"),
        ("SELECT\n instant_us(a) FROM t", "an instant"),
    ] {
        let e = lab.engine.describe(sql, &[]).await.unwrap_err();
        eprintln!("{e}");
        assert_eq!(e.kind(), ErrorKind::Config, "{sql}: {e}");
        assert!(e.to_string().contains(says), "{sql}: {e}");
        assert!(e.context().contains(&("sql_line", "2".into())), "{sql}: {e}");
    }
    let kinds = lab.engine.describe(
        "SELECT json_list(a, 'b') AS l, parse_instant(a, NULL) AS i, phone_e164(a, '') AS p FROM t",
        &[],
    );
    let kinds = kinds.await.unwrap();
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    assert_eq!(kinds.field(0).data_type(), &texts);
}

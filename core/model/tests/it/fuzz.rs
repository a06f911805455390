//! What reads texts of strangers: no input panics or takes long, and what is read is of its form.

use throughline_core::json_path::JsonPath;
use throughline_core::phone::{self, region};
use throughline_core::token::{VisitToken, read_text};
use throughline_core::{instant, money, url};

#[path = "../../../../tests/fuzz/mutate.rs"]
mod mutate;

use mutate::{PARTS, fuzz, grows_evenly};

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

#[test]
fn tokens() {
    let fixture = include_str!("../fixtures/12_visit_token_text.json");
    let mut from = seeds(&[
        "Здравствуйте! [ID:HHR3D1196WD]",
        "[ id: ннr3-d119\u{200b}6wd ] HHR3D1196WD",
        "promo__HHR3D1196WD",
        "w12345--HHR3D1196WD",
        "［ＩＤ：ＨＨＲ３Ｄ１１９６ＷＤ］",
        "مرحبا HHR3D1196WD [ID:",
    ]);
    from.extend(fixture.split('"').filter(|t| t.len() > 11).take(60).map(|t| t.as_bytes().to_vec()));
    fuzz("tokens", &from, |input, _| {
        let text = String::from_utf8_lossy(input);
        let (state, token) = read_text(&text);
        assert_eq!(token.is_some(), matches!(state.as_str(), "ok" | "edited"), "{state:?} {token:?}");
        for token in
            [token, VisitToken::from_bare(&text), VisitToken::from_carrier(&text)].into_iter().flatten()
        {
            assert_eq!(VisitToken::from_bare(token.as_str()), Some(token));
            assert_eq!(VisitToken::from_number(token.number()), Some(token));
        }
    });
}

#[test]
fn paths_in_json() {
    let paths: Vec<JsonPath> = [
        "",
        "a.b",
        "[0]",
        "[*].a",
        "a.*",
        "questions.*.payload",
        "[code=PHONE].values[*].value",
        "entry[0].changes[*].value",
    ]
    .iter()
    .map(|p| JsonPath::parse(p).unwrap())
    .collect();
    let from = seeds(&[
        r#"{"a":{"b":"x\n\u043f\ud83d\ude00"},"questions":{"q":{"payload":"5"}}}"#,
        r#"[{"code":"PHONE","values":[{"value":"+7 916"},{"value":79161234567}]},null,[],1e5]"#,
        r#"{"entry":[{"changes":[{"value":{"a":[1,2,{"b":"[ID:HHR3D1196WD]"}]}}]}]}"#,
    ]);
    fuzz("paths in JSON", &from, |input, _| {
        let text = String::from_utf8_lossy(input);
        for path in &paths {
            let (first, mut all) = (path.first(&text), Vec::new());
            let each = path.each(&text, &mut |found| all.push(found.into_owned()));
            if let (Ok(first), Ok(())) = (first, each) {
                assert_eq!(first.is_some(), !all.is_empty());
            }
        }
        // A path itself comes from the author of a SELECT, and must not break either.
        let _ = JsonPath::parse(&text);
    });
}

#[test]
fn long_texts_take_long_and_no_longer() {
    let text = |input: &[u8]| String::from_utf8_lossy(input).into_owned();
    grows_evenly("tokens", b"", b" HHR3D1196WD]", PARTS, |input| {
        let text = text(input);
        let _ = (read_text(&text), VisitToken::from_bare(&text), VisitToken::from_carrier(&text));
    });
    let path = JsonPath::parse("a[*].*.b").unwrap();
    grows_evenly("paths", b"{\"a\":[", b"]}", PARTS, |input| {
        let _ = path.each(&text(input), &mut |_| {});
    });
    grows_evenly("phones and addresses", b"+7", b"", PARTS, |input| {
        let text = text(input);
        let _ = (phone::parse(&text, None), url::host(&text), url::path(&text), url::param(&text, "a"));
        let _ = instant::parse(&text, None);
    });
}

#[test]
fn moments_phones_addresses_and_money() {
    let from = seeds(&[
        "2026-09-01T10:15:02.120Z",
        "2026-09-01 10:15:02+03:00",
        "1788256800000",
        "+7 (916) 123-45-67 доб. 5",
        "tel:+7-916-123-45-67;ext=1",
        "+٩٧١ ٥٠ ١٢٣ ٤٥٦٧",
        "https://shop.example/диваны?utm_source=yandex&yclid=77#x",
        "1234567.891",
        "-0,5",
    ]);
    let home = region("RU");
    fuzz("moments, phones, addresses, money", &from, |input, _| {
        let text = String::from_utf8_lossy(input);
        for zone in [None, instant::Zone::parse("Europe/Moscow")] {
            let _ = instant::parse(&text, zone);
        }
        let _ = (instant::parse_date(&text), instant::Zone::parse(&text), region(&text));
        if let Some(phone) = phone::parse(&text, home) {
            let digits = phone.e164.strip_prefix('+').unwrap();
            assert!(digits.len() <= 17 && digits.bytes().all(|b| b.is_ascii_digit()), "{phone:?}");
        }
        let _ = (url::host(&text), url::path(&text), url::param(&text, "utm_source"));
        let _ = money::minor_units(&text, "RUB");
    });
}

#[test]
#[should_panic(expected = "over and over")]
fn a_loop_in_a_loop_is_found() {
    grows_evenly("a slow reader", b"", b"", &[b"a"], |input| {
        let found: usize = (0..input.len() / 768).map(|_| input.iter().filter(|b| **b == b'b').count()).sum();
        assert_eq!(found, 0);
    });
}

#[test]
#[should_panic(expected = "no zeros")]
fn a_panic_is_found() {
    fuzz("a reader that breaks", &[b"{}".to_vec()], |input, _| assert!(!input.contains(&0), "no zeros"));
}

//! Reference cases of visit tokens and phone numbers.

use serde_json::Value;
use throughline_core::phone;
use throughline_core::token::{VisitToken, read_text};

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn visit_tokens_in_text() {
    let fixture = fixture(include_str!("../fixtures/12_visit_token_text.json"));
    let encode = fixture["encode"].as_array().unwrap();
    let messages = fixture["messages"].as_array().unwrap();
    assert!(encode.len() >= 9 && messages.len() >= 21);
    for case in encode {
        let token = VisitToken::from_number(case["number"].as_u64().unwrap()).unwrap();
        assert_eq!(token.as_str(), case["token"], "{case}");
        assert_eq!(VisitToken::from_bare(token.as_str()), Some(token));
    }
    for case in messages {
        let (state, token) = read_text(case["text"].as_str().unwrap());
        assert_eq!(state.as_str(), case["token_state"], "{case}");
        assert_eq!(token.map(|t| t.number()), case["visit_number"].as_u64(), "{case}");
    }
}

#[test]
fn phones_as_the_reference_library_reads_them() {
    let fixture = fixture(include_str!("../fixtures/10_phone_e164.json"));
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let phone =
            phone::parse(case["input"].as_str().unwrap(), phone::region(case["region"].as_str().unwrap()));
        assert_eq!(phone.as_ref().map(|p| p.e164.as_str()), case["e164"].as_str(), "{case}");
        assert_eq!(phone.as_ref().is_some_and(|p| p.valid), case["valid"], "{case}");
        let (region, extension) = phone.map_or((None, None), |p| (p.region, p.extension));
        assert_eq!(region.as_deref(), case["region_out"].as_str(), "{case}");
        assert_eq!(extension.as_deref(), case["extension"].as_str(), "{case}");
    }
}

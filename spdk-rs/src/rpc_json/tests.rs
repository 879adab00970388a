//! SPDK's own parser feeds these tests, as it feeds the server.

use serde::Deserialize;
use serde_json::json;

use super::*;

/// Parses `text` with SPDK, in place, and decodes it.
fn decode_text<P: DeserializeOwned>(text: &str) -> Result<P, String> {
    let mut text = text.as_bytes().to_vec();
    let mut tokens = Vec::with_capacity(64);
    let mut end = std::ptr::null_mut();
    // SAFETY: the text and the room for 64 tokens are as long as is said.
    let count = unsafe {
        let flags = sys::SPDK_JSON_PARSE_FLAG_DECODE_IN_PLACE;
        sys::spdk_json_parse(text.as_mut_ptr().cast(), text.len(), tokens.as_mut_ptr(), 64, &mut end, flags)
    };
    assert!((1..=64).contains(&count), "SPDK refuses {text:?}: {count}");
    // SAFETY: that many tokens were written; text and tokens live during the call.
    unsafe {
        tokens.set_len(count as usize);
        decode_params(tokens.as_ptr())
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    name: String,
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Member {
    slot: u32,
}

#[test]
fn whole_values() {
    let text = r#"{"a":[1,-2,2.5,18446744073709551615],"b":{"c":null,"d":true,"e":false},
        "f":"\u00e9\n\"x","g":[],"h":{}}"#;
    let expected = json!({"a": [1, -2, 2.5, u64::MAX], "b": {"c": null, "d": true, "e": false},
        "f": "é\n\"x", "g": [], "h": {}});
    assert_eq!(decode_text::<Value>(text), Ok(expected));
}

#[test]
fn typed() {
    let expected = Params { name: "r".to_owned(), members: vec![Member { slot: 3 }] };
    assert_eq!(decode_text(r#"{"name":"r","members":[{"slot":3}]}"#), Ok(expected));
}

#[test]
fn errors_name_the_field() {
    let error = |text| decode_text::<Params>(text).unwrap_err();
    assert_eq!(error("{}"), "missing field `name`");
    assert_eq!(error(r#"{"name":1}"#), "name: invalid type: integer `1`, expected a string");
    let nested = error(r#"{"name":"r","members":[{"slot":1},{"slot":"x"}]}"#);
    assert_eq!(nested, "members[1].slot: invalid type: string \"x\", expected u32");
    assert!(error(r#"{"name":"r","nme":1}"#).contains("unknown field `nme`"));
    assert_eq!(error(r#"{"name":"r","name":"s"}"#), "duplicate field `name`");
    assert_eq!(error(r#"["r"]"#), "the parameters must be an object, by name");
    assert_eq!(error(r#"{"name":1e999}"#), "the number 1e999 is out of range");
}

#[test]
fn no_parameters() {
    // SAFETY: null is allowed.
    assert_eq!(unsafe { decode_params::<()>(std::ptr::null()) }, Ok(()));
    assert_eq!(decode_text::<()>("{}"), Ok(()));
    assert!(decode_text::<()>(r#"{"a":1}"#).is_err());
    // SAFETY: null is allowed.
    let missing = unsafe { decode_params::<Params>(std::ptr::null()) };
    assert_eq!(missing.unwrap_err(), "missing field `name`");
}

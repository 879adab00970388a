//! What can't be done is refused, with a reason and a remedy, and changes nothing.

use serde_json::{Value, json};

use crate::drive::{call, faulty, memory};
use crate::in_lab;
use crate::lab::Lab;

#[track_caller]
fn refused(lab: &mut Lab, method: &str, params: Value, code: i64, words: &[&str]) {
    let (found, message) = lab.call(&format!("bdev_basalt_faulty_{method}"), params).unwrap_err();
    assert_eq!(found, code, "{message}");
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

#[test]
fn refusals_of_create() {
    in_lab("refusals::refusals_of_create", |lab| {
        faulty(lab, false);
        let over = |name, base| json!({ "name": name, "base": base });
        refused(lab, "create", over("x", "nowhere"), -19, &["no bdev nowhere", "make that first"]);
        refused(lab, "create", over("x", "m"), -16, &["claimed", "m"]);
        refused(lab, "create", over("f", "m"), -17, &["of this name", "choose another"]);
        refused(lab, "create", over("x", "x"), -22, &["another one than its base"]);
        refused(lab, "create", over("", "m"), -22, &["needs a name"]);
        memory(lab, "n");
        refused(lab, "create", over("m", "n"), -17, &["no bdev of this name", "bdev_get_bdevs"]);
        refused(lab, "create", json!({ "name": "x" }), -32602, &["base"]);
        refused(lab, "create", json!({ "name": "x", "base": "n", "cache": 1 }), -32602, &["cache"]);
        let channel = lab.open("n");
        refused(lab, "create", over("x", "n"), -16, &["claimed", "uses it"]);
        lab.close(channel);
        assert_eq!(lab.call("bdev_basalt_faulty_create", over("x", "n")), Ok(json!("x")));
    });
}

#[test]
fn refusals_of_the_rest() {
    in_lab("refusals::refusals_of_the_rest", |lab| {
        let name = json!({ "name": "f" });
        for method in ["delete", "clear", "release", "get", "vanish", "return"] {
            refused(lab, method, name.clone(), -19, &["no faulty drive", "bdev_basalt_faulty_create"]);
        }
        faulty(lab, false);
        refused(lab, "return", name.clone(), -114, &["it is there"]);
        let rule = |rule: Value| json!({ "name": "f", "rule": rule });
        let hang = json!({ "hang": true });
        let inject = [
            (rule(json!({ "ops": ["read"], "lba": 5000, "do": hang })), -22, "2048 blocks"),
            (rule(json!({ "ops": [], "do": hang })), -22, "name some"),
            (rule(json!({ "ops": ["abort"], "do": hang })), -32602, "rule.ops[0]"),
            (rule(json!({ "ops": ["read"], "do": { "error": "bad" } })), -32602, "rule.do"),
        ];
        for (params, code, words) in inject {
            refused(lab, "inject", params, code, &[words]);
        }
        assert_eq!(call(lab, "get", "f")["rules"], json!([]));
        refused(lab, "clear", json!({ "name": "f", "rule": 1 }), -19, &["no rule 1"]);
        refused(lab, "power_cut", json!({ "name": "f", "keep": "half" }), -32602, &["keep", "half"]);
        call(lab, "vanish", "f");
        refused(lab, "vanish", name, -114, &["not there", "bdev_basalt_faulty_return"]);
    });
}

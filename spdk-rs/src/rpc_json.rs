//! From SPDK's parsed JSON to the types of a method.

use std::slice;

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use spdk_sys as sys;

/// The parameters of a request as `P`.
///
/// Parameters that are missing or `{}` are an empty object, or `()` for a method that takes none. The error
/// text names the field, such as `members[2].slot: invalid type: string "x", expected u32`.
///
/// # Safety
/// `params` is null or a value that SPDK parsed with in-place decoding, which lives during the call.
pub(crate) unsafe fn decode_params<P: DeserializeOwned>(
    params: *const sys::spdk_json_val,
) -> Result<P, String> {
    let value = if params.is_null() {
        Value::Object(Map::new())
    } else {
        // SAFETY: by the contract of this function.
        unsafe { Tokens { next: params }.value() }?
    };
    match &value {
        Value::Object(fields) if fields.is_empty() => {
            decode(value).or_else(|message| decode(Value::Null).map_err(|_: String| message))
        }
        Value::Object(_) => decode(value),
        _ => Err("the parameters must be an object, by name".to_owned()),
    }
}

fn decode<P: DeserializeOwned>(value: Value) -> Result<P, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        if path == "." { error.inner().to_string() } else { format!("{path}: {}", error.inner()) }
    })
}

/// A cursor over SPDK's array of values: an object or array is its begin value, its contents, its end value.
struct Tokens {
    next: *const sys::spdk_json_val,
}

impl Tokens {
    /// # Safety
    /// The cursor stands at the first token of a whole, well-formed value, as SPDK's parser makes it.
    unsafe fn value(&mut self) -> Result<Value, String> {
        // SAFETY: by the contract of this function there is a token.
        let token = unsafe { self.take() };
        match token.type_ {
            sys::SPDK_JSON_VAL_NULL => Ok(Value::Null),
            sys::SPDK_JSON_VAL_TRUE => Ok(Value::Bool(true)),
            sys::SPDK_JSON_VAL_FALSE => Ok(Value::Bool(false)),
            // SAFETY: a token of the parser.
            sys::SPDK_JSON_VAL_NUMBER => number(unsafe { text(token) }),
            // SAFETY: a token of the parser.
            sys::SPDK_JSON_VAL_STRING => Ok(Value::String(unsafe { text(token) }.into_owned())),
            // SAFETY: the cursor stands behind a begin token, so at its contents.
            sys::SPDK_JSON_VAL_ARRAY_BEGIN => unsafe { self.array() },
            // SAFETY: as above.
            sys::SPDK_JSON_VAL_OBJECT_BEGIN => unsafe { self.object() },
            other => Err(format!("unexpected JSON token {other}")),
        }
    }

    /// # Safety
    /// The cursor stands at the contents of an array.
    unsafe fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        // SAFETY: contents are followed by an end token; before it stands a value. SPDK's parser limits the
        // nesting.
        unsafe {
            while self.peek() != sys::SPDK_JSON_VAL_ARRAY_END {
                items.push(self.value()?);
            }
            self.take();
        }
        Ok(Value::Array(items))
    }

    /// # Safety
    /// The cursor stands at the contents of an object.
    unsafe fn object(&mut self) -> Result<Value, String> {
        let mut fields = Map::new();
        // SAFETY: contents are followed by an end token; before it stand a name and a value.
        unsafe {
            while self.peek() != sys::SPDK_JSON_VAL_OBJECT_END {
                let name = text(self.take()).into_owned();
                let value = self.value()?;
                if fields.contains_key(&name) {
                    return Err(format!("duplicate field `{name}`"));
                }
                fields.insert(name, value);
            }
            self.take();
        }
        Ok(Value::Object(fields))
    }

    /// # Safety
    /// The cursor stands at a token.
    unsafe fn peek(&self) -> sys::spdk_json_val_type {
        // SAFETY: by the contract of this function.
        unsafe { (*self.next).type_ }
    }

    /// # Safety
    /// The cursor stands at a token.
    unsafe fn take(&mut self) -> &sys::spdk_json_val {
        // SAFETY: by the contract of this function; one behind the last token of the value is not read.
        unsafe {
            let token = &*self.next;
            self.next = self.next.add(1);
            token
        }
    }
}

/// # Safety
/// A string, name or number token of SPDK's parser.
unsafe fn text(token: &sys::spdk_json_val) -> std::borrow::Cow<'_, str> {
    // SAFETY: such a token names `len` bytes of the parsed text, which lives as long as the token.
    String::from_utf8_lossy(unsafe { slice::from_raw_parts(token.start.cast::<u8>(), token.len as usize) })
}

fn number(text: std::borrow::Cow<'_, str>) -> Result<Value, String> {
    serde_json::from_str::<Number>(&text)
        .map(Value::Number)
        .map_err(|_| format!("the number {text} is out of range"))
}

#[cfg(test)]
#[path = "rpc_json/tests.rs"]
mod tests;

//! Calls as clients wrap them, and their arguments.
//!
//! Pure, and written for bytes that a stranger chose.

use grammers_tl_types::{Deserializable, functions, name_for_id};

use crate::message::{Fields, Malformed};

/// A method's name and its arguments, as a call is answered by.
pub(crate) struct Query<'a> {
    pub(crate) method: &'static str,
    pub(crate) arguments: &'a [u8],
    pub(crate) layer: Option<i32>,
    /// What the client calls the machine it runs on, where it says so.
    pub(crate) device: Option<&'a [u8]>,
}

/// Takes the wrappers off a call: layer, connection set-up, ordering, take-out.
pub(crate) fn unwrap(body: &[u8]) -> Result<Query<'_>, Malformed> {
    let mut fields = Fields(body);
    let (mut layer, mut device) = (None, None);
    // A client nests three or so.
    for _ in 0..16 {
        let method = name_for_id(fields.u32()?);
        match method {
            "invokeWithLayer" => layer = Some(fields.i32()?),
            "initConnection" => device = Some(take_init_connection(&mut fields)?),
            "invokeWithoutUpdates" => {}
            "invokeAfterMsg" | "invokeWithTakeout" => {
                fields.i64()?;
            }
            "invokeAfterMsgs" => {
                fields.u32()?;
                let count = fields.u32()? as usize;
                fields.take(count.checked_mul(8).ok_or(Malformed)?)?;
            }
            "invokeWithMessagesRange" => {
                fields.take(12)?;
            }
            _ => return Ok(Query { method, arguments: fields.0, layer, device }),
        }
    }
    Err(Malformed)
}

/// Takes the fields of `initConnection` up to its query, and returns the device model. Written out because the schema's type nests a JSON value, and
/// reading that recursively would let a stranger choose the depth of the stack.
fn take_init_connection<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], Malformed> {
    let flags = fields.u32()?;
    fields.i32()?;
    let device = fields.bytes()?;
    for _ in 1..6 {
        fields.bytes()?;
    }
    if flags & 1 != 0 {
        fields.u32()?;
        fields.bytes()?;
        fields.i32()?;
    }
    if flags & 2 != 0 {
        skip_json(fields)?;
    }
    Ok(device)
}

fn skip_json(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    let mut values: u64 = 1;
    while values > 0 {
        values -= 1;
        match name_for_id(fields.u32()?) {
            "jsonNull" => {}
            "jsonBool" => drop(fields.u32()?),
            "jsonNumber" => drop(fields.i64()?),
            "jsonString" => drop(fields.bytes()?),
            "jsonArray" | "jsonObject" => {
                fields.u32()?;
                values += u64::from(fields.u32()?);
            }
            "jsonObjectValue" => {
                fields.bytes()?;
                values += 1;
            }
            _ => return Err(Malformed),
        }
    }
    Ok(())
}

/// Reads a method's arguments.
pub(crate) fn arguments<F: Deserializable>(body: &[u8]) -> Result<F, Malformed> {
    let mut cursor = grammers_tl_types::Cursor::from_slice(body);
    F::deserialize(&mut cursor).map_err(|_| Malformed)
}

/// What the rules of faults and counters want to know about a getFile call.
pub(crate) fn file_question(query: &Query<'_>) -> Option<functions::upload::GetFile> {
    (query.method == "upload.getFile").then(|| arguments(query.arguments).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::{Serializable, enums, types};

    use super::*;

    fn wrapped() -> functions::InvokeWithLayer<functions::InitConnection<functions::help::GetConfig>> {
        let text = |value: &str| value.to_owned();
        let number = enums::Jsonvalue::JsonNumber(types::JsonNumber { value: 1.5 });
        let array = enums::Jsonvalue::JsonArray(types::JsonArray { value: vec![enums::Jsonvalue::JsonNull, number] });
        let field = types::JsonObjectValue { key: text("tz"), value: array };
        functions::InvokeWithLayer {
            layer: 229,
            query: functions::InitConnection {
                api_id: 1,
                device_model: text("d"),
                system_version: text("s"),
                app_version: text("a"),
                system_lang_code: text("en"),
                lang_pack: text(""),
                lang_code: text("en"),
                proxy: Some(types::InputClientProxy { address: text("p"), port: 1 }.into()),
                params: Some(enums::Jsonvalue::JsonObject(types::JsonObject { value: vec![field.into()] })),
                query: functions::help::GetConfig {},
            },
        }
    }

    #[test]
    fn wrappers_come_off() {
        let body = wrapped().to_bytes();
        let query = unwrap(&body).unwrap();
        assert_eq!((query.method, query.layer, query.arguments.len()), ("help.getConfig", Some(229), 0));
        assert_eq!(query.device, Some(b"d".as_slice()));
        let body = functions::InvokeWithoutUpdates { query: functions::InvokeAfterMsg { msg_id: 4, query: wrapped() } };
        assert_eq!(unwrap(&body.to_bytes()).unwrap().method, "help.getConfig");
        let plain = functions::help::GetNearestDc {}.to_bytes();
        assert_eq!(unwrap(&plain).unwrap().method, "help.getNearestDc");
    }

    #[test]
    fn every_cut_is_malformed_and_no_nesting_is_too_deep() {
        let body = wrapped().to_bytes();
        for cut in 0..body.len() {
            assert!(unwrap(&body[..cut]).is_err(), "cut at {cut}");
        }
        // A hundred thousand arrays in each other, which reading recursively wouldn't survive.
        let mut array = enums::Jsonvalue::JsonArray(types::JsonArray { value: Vec::new() }).to_bytes();
        array.truncate(8);
        array.extend(1_u32.to_le_bytes());
        let mut deep = array.repeat(100_000);
        assert_eq!(skip_json(&mut Fields(&deep)), Err(Malformed));
        deep.extend(enums::Jsonvalue::JsonNull.to_bytes());
        assert_eq!(skip_json(&mut Fields(&deep)), Ok(()));
        let layers = functions::InvokeWithoutUpdates { query: functions::help::GetConfig {} }.to_bytes();
        let layers = layers[..4].repeat(100);
        assert!(unwrap(&layers).is_err());
    }
}

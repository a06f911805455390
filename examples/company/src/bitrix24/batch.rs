//! `batch`: up to 50 commands in one request, in order, each with its own result or error, in a 200.

use serde_json::{Map, Value, json};

use super::{Bitrix, Call, Given, Refusal, params, refuse, time};
use crate::faults::Fault;

pub fn answer(bitrix: &Bitrix, call: &Call, given: &Value, worked: f64) -> Result<Given, Refusal> {
    let commands: Vec<(String, String)> = match &given["cmd"] {
        Value::Object(map) => {
            map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .filter_map(|(k, v)| Some((k.to_string(), v.as_str()?.to_owned())))
            .collect(),
        _ => return refuse(400, "ERROR_BATCH_NO_COMMANDS", "cmd is empty"),
    };
    if commands.len() > 50 {
        return refuse(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded");
    }
    let halt = params::int(&given["halt"]).unwrap_or(0) != 0;
    let refused =
        call.faults.iter().find_map(|f| if let Fault::Partial { rows } = f { Some(*rows) } else { None });
    let (mut results, mut errors) = (Map::new(), Map::new());
    let (mut totals, mut nexts, mut times) = (Map::new(), Map::new(), Map::new());
    let middle = commands.len() / 2;
    for (number, (name, command)) in commands.iter().enumerate() {
        let (method, query) = command.split_once('?').unwrap_or((command, ""));
        let mut given = params::nested(query);
        params::resolve(&mut given, &results);
        let answered = if refused.is_some_and(|rows| (middle..middle + rows).contains(&number)) {
            refuse(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")
        } else {
            bitrix.call(call, method, &given)
        };
        match answered {
            Ok(given) => {
                results.insert(name.clone(), given.result);
                totals.extend(given.total.map(|t| (name.clone(), t.into())));
                nexts.extend(given.next.map(|n| (name.clone(), n.into())));
                times.insert(name.clone(), time(call.now, Some(worked)));
            }
            Err(refusal) => {
                errors.insert(name.clone(), refusal.json());
                if halt {
                    break;
                }
            }
        }
    }
    spoil(call.faults, &mut results);
    Given::only(json!({
        "result": php(results), "result_error": php(errors), "result_total": php(totals),
        "result_next": php(nexts), "result_time": php(times),
    }))
}

/// PHP writes an empty map as an empty list.
fn php(map: Map<String, Value>) -> Value {
    if map.is_empty() { json!([]) } else { Value::Object(map) }
}

/// What is wrong with the records of the first command.
fn spoil(faults: &[Fault], results: &mut Map<String, Value>) {
    let Some(first) = results.values_mut().next() else { return };
    let Some(list) = super::lists::records(first) else { return };
    for fault in faults {
        match fault {
            Fault::LeaveOut { rows } => {
                let left = list.len().saturating_sub(*rows);
                list.truncate(left);
            }
            Fault::Malformed { variant, row } => {
                if let (Some(record), "not_an_object") = (list.get_mut(*row), variant.as_str()) {
                    *record = json!("a text where a record was");
                }
            }
            _ => {}
        }
    }
}

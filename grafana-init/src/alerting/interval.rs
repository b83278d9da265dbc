//! The intervals of a mute timing: what the server would refuse (it says "bad request data", and no more), and the form in which it
//! prints them. Pure.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::zone::{Zone, zone};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// What is wrong with an interval.
pub(crate) struct Wrong {
    /// Below the interval.
    pub(crate) pointer: String,
    pub(crate) text: String,
    /// The server decides.
    pub(crate) doubtful: bool,
}

impl Wrong {
    fn new(pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), text: text.into(), doubtful: false }
    }
}

/// A list of an interval: what its ranges are made of.
struct List {
    field: &'static str,
    number: fn(&str) -> Option<i64>,
    expected: &'static str,
}

const LISTS: [List; 4] = [
    List {
        field: "weekdays",
        number: |word| place(&WEEKDAYS, word),
        expected: "a weekday such as \"monday\" or a range such as \"monday:friday\"",
    },
    List {
        field: "months",
        number: |word| place(&MONTHS, word).map(|index| index + 1).or_else(|| within(word, 1..=12)),
        expected: "a month such as \"january\" or \"1\", or a range such as \"january:march\"",
    },
    List {
        field: "days_of_month",
        number: |word| within(word, -31..=31).filter(|day| *day != 0),
        expected: "a day from 1 to 31, or from the end from -1 to -31, or a range such as \"1:7\"",
    },
    List { field: "years", number: |word| within(word, 0..=9999), expected: "a year or a range such as \"2025:2027\"" },
];

fn place(names: &[&str], word: &str) -> Option<i64> {
    let index = names.iter().position(|name| name.eq_ignore_ascii_case(word))?;
    i64::try_from(index).ok()
}

fn within(word: &str, range: RangeInclusive<i64>) -> Option<i64> {
    word.parse().ok().filter(|number| range.contains(number))
}

/// First and last of a range; one alone is both.
fn range(list: &List, text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    Some(((list.number)(from)?, (list.number)(to)?))
}

/// What is wrong with an interval, each with its place.
pub(crate) fn wrong(interval: &Value) -> Vec<Wrong> {
    let Some(fields) = interval.as_object() else { return vec![Wrong::new("", "must be an object")] };
    let mut all = Vec::new();
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let at = common::files::json::step(field);
        if let Some(list) = LISTS.iter().find(|list| list.field == field) {
            wrong_list(list, value, &at, &mut all);
        } else if field == "times" {
            for (index, time) in value.as_array().into_iter().flatten().enumerate() {
                let minutes = |field: &str| time[field].as_str().and_then(minutes);
                let text = match (minutes("start_time"), minutes("end_time")) {
                    (Some(start), Some(end)) if start < end => continue,
                    (Some(_), Some(_)) => {
                        "the end has to be after the start: a night is two times, to 24:00 and from 00:00"
                    }
                    _ => "needs start_time and end_time as hours and minutes, 00:00 to 24:00",
                };
                all.push(Wrong::new(format!("{at}/{index}"), text));
            }
        } else if field == "location" {
            match zone(value.as_str().unwrap_or_default()) {
                Zone::Known => {}
                Zone::Wrong(text) => all.push(Wrong::new(at, text)),
                Zone::Unknown => {
                    let text = format!("no time zone {value} is known here: the server decides");
                    all.push(Wrong { doubtful: true, ..Wrong::new(at, text) });
                }
            }
        } else {
            let known = LISTS.map(|list| list.field).join(", ");
            all.push(Wrong::new(at, format!("unknown field of an interval: known are {known}, times and location")));
        }
    }
    all
}

fn wrong_list(list: &List, value: &Value, at: &str, all: &mut Vec<Wrong>) {
    let Some(items) = value.as_array() else {
        return all.push(Wrong::new(at, "must be a list"));
    };
    for (index, item) in items.iter().enumerate() {
        let at = format!("{at}/{index}");
        match item.as_str().and_then(|text| range(list, text)) {
            None => all.push(Wrong::new(at, format!("{item} is not {}", list.expected))),
            // From the 3rd to the last of the month is a range, from the last to the 3rd is none.
            Some((from, to)) if from > to && !(from > 0 && to < 0) || from < 0 && to > 0 => {
                all.push(Wrong::new(at, format!("{item} ends before it begins")));
            }
            Some(_) => {}
        }
    }
}

fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60 || (hours, minutes) == (24, 0)).then_some(hours * 60 + minutes)
}

/// The form in which the server prints an interval: names in lower case, months as numbers, a range of one as that one.
pub(crate) fn normal(interval: &mut Value) {
    let Some(fields) = interval.as_object_mut() else { return };
    fields.retain(|_, value| !value.is_null() && *value != json!([]) && *value != json!(""));
    for list in &LISTS {
        for item in fields.get_mut(list.field).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some((from, to)) = item.as_str().and_then(|text| range(list, text)) else { continue };
            let shown = |number: i64| match usize::try_from(number) {
                Ok(index) if list.field == "weekdays" => WEEKDAYS[index].to_owned(),
                _ => number.to_string(),
            };
            *item = json!(if from == to { shown(from) } else { format!("{}:{}", shown(from), shown(to)) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_take_the_form_that_the_server_prints() {
        let mut interval = json!({"months": ["january:march", "5", "may:may"], "weekdays": ["Monday:Friday", "SUNDAY"],
            "days_of_month": ["1:7", "-1"], "years": ["2025:2026"], "times": null, "location": ""});
        normal(&mut interval);
        assert_eq!(
            interval,
            json!({"months": ["1:3", "5", "5"], "weekdays": ["monday:friday", "sunday"], "days_of_month": ["1:7", "-1"],
                "years": ["2025:2026"]})
        );
        let once = interval.clone();
        normal(&mut interval);
        assert_eq!(interval, once);
    }

    #[test]
    fn what_the_server_refuses_is_told_with_its_place() {
        let pointers =
            |interval: Value| -> Vec<String> { wrong(&interval).into_iter().map(|one| one.pointer).collect() };
        let good = json!({"weekdays": ["monday", "Tuesday:friday"], "months": ["1", "december"], "days_of_month": ["1:-1", "-7:-1"],
            "years": ["2026"], "times": [{"start_time": "00:00", "end_time": "24:00"}], "location": "Europe/Berlin"});
        assert!(pointers(good).is_empty());
        assert!(pointers(json!({})).is_empty());
        let bad = json!({"weekdays": ["nope", "friday:monday"], "months": ["13"], "days_of_month": ["0", "-1:3"],
            "times": [{"start_time": "22:00", "end_time": "06:00"}, {"start_time": "9:00", "end_time": "10:00"}],
            "location": "Nowhere/X", "colour": 1});
        assert_eq!(
            pointers(bad),
            [
                "/colour",
                "/days_of_month/0",
                "/days_of_month/1",
                "/location",
                "/months/0",
                "/times/0",
                "/times/1",
                "/weekdays/0",
                "/weekdays/1"
            ]
        );
    }
}

//! `__inputs` of exported dashboards: which data source a placeholder stands for, and putting it there. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::dashboard::form::Input;
use crate::datasource::{Source, plugin_id};

/// What inputs are resolved with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    /// `inputs.json`.
    pub(crate) map: BTreeMap<String, String>,
    /// Every data source there will be.
    pub(crate) sources: Vec<Source>,
}

impl Resolver {
    /// Replaces the inputs of a model. Returns those that nothing stands for; the error is an input that several could be.
    pub(crate) fn resolve(&self, inputs: &[Input], model: &mut Value) -> Result<Vec<String>, String> {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut open = Vec::new();
        for input in inputs {
            match self.choose(input)? {
                Some(value) => drop(values.insert(format!("${{{}}}", input.name), value)),
                None => open.push(input.name.clone()),
            }
        }
        if !values.is_empty() {
            replace(model, &values);
        }
        Ok(open)
    }

    fn choose(&self, input: &Input) -> Result<Option<String>, String> {
        if let Some(mapped) = self.map.get(&input.name) {
            return Ok(Some(mapped.clone()));
        }
        let Some(plugin) = &input.plugin else { return Ok(input.value.clone()) };
        let fitting: Vec<&Source> = self.sources.iter().filter(|source| source.plugin == plugin_id(plugin)).collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.uid.clone())),
            several => {
                if let Some(default) = several.iter().find(|source| source.default) {
                    return Ok(Some(default.uid.clone()));
                }
                let uids: Vec<&str> = several.iter().map(|source| source.uid.as_str()).collect();
                let (name, uids) = (&input.name, uids.join(", "));
                Err(format!("the input {name} could be any {plugin} data source ({uids}): say which in inputs.json"))
            }
        }
    }
}

fn replace(value: &mut Value, values: &BTreeMap<String, String>) {
    match value {
        Value::String(text) if text.contains("${") => {
            for (placeholder, value) in values {
                if text.contains(placeholder.as_str()) {
                    *text = text.replace(placeholder, value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, values)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, values)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(uid: &str, plugin: &str, default: bool) -> Source {
        Source { uid: uid.into(), name: uid.into(), plugin: plugin.into(), default }
    }

    fn input(name: &str, plugin: &str) -> Input {
        Input { name: name.into(), plugin: Some(plugin.into()), value: None }
    }

    fn resolver(sources: Vec<Source>, map: &[(&str, &str)]) -> Resolver {
        let map = map.iter().map(|(name, uid)| ((*name).to_owned(), (*uid).to_owned())).collect();
        Resolver { map, sources }
    }

    fn model() -> Value {
        json!({"panels": [{"datasource": {"uid": "${DS_P}"}, "targets": [{"expr": "x{job=\"$job\"} ${other}"}]}]})
    }

    #[test]
    fn the_map_comes_first_then_the_only_one_then_the_default() {
        let check = |resolver: &Resolver, uid: &str| {
            let mut model = model();
            assert_eq!(resolver.resolve(&[input("DS_P", "prometheus")], &mut model), Ok(vec![]));
            assert_eq!(model["panels"][0]["datasource"]["uid"], uid);
            assert_eq!(model["panels"][0]["targets"][0]["expr"], "x{job=\"$job\"} ${other}");
        };
        let (one, two) = (source("p1", "prometheus", false), source("p2", "prometheus", true));
        check(&resolver(vec![one.clone(), source("l", "loki", true)], &[]), "p1");
        check(&resolver(vec![one.clone(), two.clone()], &[]), "p2");
        check(&resolver(vec![one, two], &[("DS_P", "mine")]), "mine");
    }

    #[test]
    fn none_stays_and_several_are_named() {
        let mut body = model();
        let inputs = [input("DS_P", "prometheus")];
        assert_eq!(resolver(vec![], &[]).resolve(&inputs, &mut body), Ok(vec!["DS_P".to_owned()]));
        assert_eq!(body, model());
        let several = resolver(vec![source("a", "prometheus", false), source("b", "prometheus", false)], &[]);
        let why = several.resolve(&inputs, &mut body).expect_err("two fit");
        assert!(why.contains("(a, b)") && why.contains("inputs.json"), "{why}");
    }

    #[test]
    fn a_constant_is_its_value_or_what_the_map_says() {
        let constant = Input { name: "VAR_X".into(), plugin: None, value: Some("v".into()) };
        let mut body = json!("${VAR_X}");
        assert_eq!(resolver(vec![], &[]).resolve(std::slice::from_ref(&constant), &mut body), Ok(vec![]));
        assert_eq!(body, "v");
    }
}

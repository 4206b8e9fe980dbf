//! Which faults are on, and how often each has struck.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::Endpoint;
use super::{Fault, FaultRule};

/// The faults that are on, in the order in which they were switched on.
#[derive(Default)]
pub(in super::super) struct FaultBook {
    rules: Vec<FaultRule>,
}

impl FaultBook {
    /// Adds a rule; one of the same name for the same endpoint gives way to it.
    pub(in super::super) fn switch_on(&mut self, rule: FaultRule) {
        self.rules.retain(|other| other.endpoint != rule.endpoint || !same_name(&other.fault, &rule.fault));
        self.rules.push(rule);
    }

    pub(in super::super) fn switch_off(&mut self, name: &str) {
        self.rules.retain(|rule| rule.fault.name() != name);
    }

    pub(in super::super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(in super::super) fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// Lets the first rule strike that concerns this endpoint and is wanted.
    pub(in super::super) fn strike(
        &mut self,
        at: Endpoint,
        wanted: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let here =
            |rule: &FaultRule| rule.count != Some(0) && rule.endpoint.is_none_or(|endpoint| endpoint == at);
        let concerns = |rule: &FaultRule| here(rule) && wanted(&rule.fault);
        let mut struck = None;
        for rule in self.rules.iter_mut().filter(|rule| concerns(rule)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.count = rule.count.map(|count| count.saturating_sub(1));
            struck = Some(rule.fault.clone());
            break;
        }
        self.rules.retain(|rule| rule.count != Some(0));
        struck
    }

    /// Like `strike`, where the answer alone matters.
    pub(in super::super) fn strikes(&mut self, at: Endpoint, wanted: &Fault) -> bool {
        self.strike(at, |fault| fault == wanted).is_some()
    }

    /// The first fault that is wanted, without counting it.
    pub(in super::super) fn peek<T>(&self, wanted: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.rules.iter().filter(|rule| rule.skip == 0).find_map(|rule| wanted(&rule.fault))
    }
}

fn same_name(a: &Fault, b: &Fault) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reach {
    endpoint: Option<Endpoint>,
    #[serde(default)]
    skip: u32,
    count: Option<u32>,
}

impl FaultRule {
    /// Reads a rule as `PUT /_sandbox/faults/{name}` takes it: the fault's parameters beside
    /// `endpoint`, `skip` and `count`.
    ///
    /// # Errors
    /// A sentence that says which name or parameter is not known.
    pub(in super::super) fn read(name: &str, mut fields: Map<String, Value>) -> Result<Self, String> {
        let mut reach = Map::new();
        for key in ["endpoint", "skip", "count"] {
            reach.extend(fields.remove_entry(key));
        }
        let reach: Reach = serde_json::from_value(Value::Object(reach)).map_err(|error| error.to_string())?;
        let bare = fields.is_empty().then(|| serde_json::from_value(Value::String(name.to_owned())));
        let fault = match bare {
            Some(Ok(fault)) => fault,
            _ => serde_json::from_value(Value::Object(Map::from_iter([(
                name.to_owned(),
                Value::Object(fields),
            )])))
            .map_err(|error| error.to_string())?,
        };
        Ok(Self { fault, endpoint: reach.endpoint, skip: reach.skip, count: reach.count })
    }
}

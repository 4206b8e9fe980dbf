//! `[[policy.callers]]`: what single callers may touch.

use toml::{Table, Value};

use super::{
    file::{nearest, shown},
    reader::{Reader, texts_of},
};

const KEYS: [&str; 4] = ["caller", "departments", "groups", "tools"];

/// The tools that write; a rule can leave some of them.
const TOOLS: [&str; 6] =
    ["activate", "deprovision_user", "deprovision_users", "provision_user", "restore_user", "update_user"];

/// One entry; what is `None` is not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerRule {
    /// Whose: a caller's name, or `*` for any without an entry of their own.
    pub caller: String,
    /// Departments whose users they may touch.
    pub departments: Option<Vec<String>>,
    /// Groups into which they may put users.
    pub groups: Option<Vec<String>>,
    /// Writing tools that they may call, each one of those there are.
    pub tools: Option<Vec<String>>,
}

/// Every entry, each for another caller.
pub(super) fn callers(reader: &mut Reader<'_>) -> Vec<CallerRule> {
    let Some(value) = reader.value("policy", "callers") else { return Vec::new() };
    let tables: Option<Vec<Table>> =
        value.as_array().and_then(|all| all.iter().map(|one| one.as_table().cloned()).collect());
    let Some(tables) = tables else {
        wrong(reader, "expected sections, each under [[policy.callers]]");
        return Vec::new();
    };
    let mut rules = Vec::<CallerRule>::new();
    for table in tables {
        match rule(&table) {
            Ok(rule) if rules.iter().any(|r| r.caller.to_lowercase() == rule.caller.to_lowercase()) => {
                wrong(reader, "a caller is named twice; give each one entry");
            }
            Ok(rule) => rules.push(rule),
            Err(what) => wrong(reader, &what),
        }
    }
    rules
}

fn wrong(reader: &mut Reader<'_>, what: &str) {
    reader.problem("[[policy.callers]]", what);
}

fn rule(table: &Table) -> Result<CallerRule, String> {
    if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!(
            "unknown setting {}; the nearest known one is {}",
            shown(unknown),
            nearest(unknown, KEYS)
        ));
    }
    let caller = table.get("caller").and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
    let caller = caller.ok_or("caller: expected a caller's name, or \"*\"")?.to_owned();
    let list = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => texts_of(value)
            .map(Some)
            .ok_or_else(|| format!("{key}: expected a list of texts that are not empty")),
    };
    let tools = list("tools")?;
    if tools.iter().flatten().any(|tool| !TOOLS.contains(&tool.as_str())) {
        return Err(format!("tools: expected some of {}", TOOLS.join(", ")));
    }
    Ok(CallerRule { caller, departments: list("departments")?, groups: list("groups")?, tools })
}

/// `[approval] same_person`: lists of names, each of one person.
pub(super) fn same_person(reader: &mut Reader<'_>) -> Vec<Vec<String>> {
    let Some(value) = reader.value("approval", "same_person") else { return Vec::new() };
    let lists: Option<Vec<Vec<String>>> = value
        .as_array()
        .and_then(|all| all.iter().map(|one| texts_of(one).filter(|n| n.len() > 1)).collect());
    lists.unwrap_or_else(|| {
        reader.problem(
            "[approval] same_person",
            "expected a list of lists, each with two or more names of one person",
        );
        Vec::new()
    })
}

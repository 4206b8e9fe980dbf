//! The steps of the tour.

#![allow(clippy::indexing_slicing, reason = "a JSON value gives null where there is no such field")]

use std::time::Instant;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::{
    cli::{
        Exit,
        output::{ACCENT, BAD, BOLD, DIM, GOOD, WIDTH, line, styled, wrapped},
    },
    model::shown,
};

/// The newcomer of the tour.
const NAME: &str = "Maya Lindqvist";
const EMAIL: &str = "maya.lindqvist@example.com";

/// One step: what is done, the call, and what of its answer to show.
struct Step {
    title: &'static str,
    why: &'static str,
    tool: &'static str,
    arguments: Value,
    shows: fn(&Value) -> Vec<String>,
    /// What the step has to answer for the tour to be whole.
    holds: fn(&Value) -> bool,
}

/// Walks through the tour; fails if a step does not answer as it should.
pub(super) async fn take(stage: &Stage) -> Result<(), Exit> {
    line(styled(BOLD, "zia-mcp: a tour on the sandbox tenant"))?;
    let place = stage.tenant.base_url();
    line(styled(DIM, format!("a ZIA tenant in a box at {place}, with ZIA's staging, limits and traps")))?;
    line(styled(DIM, "nothing leaves this machine"))?;
    let (department, group) = offered(stage).await?;
    let own = &stage.tenant.settings().username;
    let administrator = stage.tenant.users().into_iter().find(|u| u.admin_user && u.email != *own);
    let administrator = administrator.map(|u| u.email).unwrap_or_default();
    *stage.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(EMAIL.to_owned());
    let steps = steps(&department, &group, &administrator);
    let count = steps.len();
    for (n, step) in steps.into_iter().enumerate() {
        walk(stage, n + 1, count, step).await?;
    }
    close(stage)
}

/// A department and a group of the tenant, as list tools tell them.
async fn offered(stage: &Stage) -> Result<(String, String), Exit> {
    let mut names = Vec::new();
    for tool in ["list_departments", "list_groups"] {
        let (list, _) = stage.call(tool, json!({"limit": 20})).await?;
        let all: Vec<_> =
            list["items"].as_array().into_iter().flatten().filter_map(|i| i["name"].as_str()).collect();
        // The sandbox has names twice on purpose; the tour takes one that is there once.
        let once = all.iter().find(|n| !n.contains("Admin") && all.iter().filter(|m| m == n).count() == 1);
        names.push(once.map(|n| (*n).to_owned()).unwrap_or_default());
    }
    let group = names.pop().unwrap_or_default();
    Ok((names.pop().unwrap_or_default(), group))
}

fn steps(department: &str, group: &str, administrator: &str) -> Vec<Step> {
    vec![
        Step {
            title: "Find",
            why: "nobody has the address yet, and the answer says whether that is proven",
            tool: "find_user",
            arguments: json!({"query": EMAIL}),
            shows: found,
            holds: |a| a["match"] == "none" && a["complete"] == true,
        },
        Step {
            title: "Provision and activate",
            why: "created, verified, and live only once ZIA reads ACTIVE",
            tool: "provision_user",
            arguments: json!({"name": NAME, "email": EMAIL, "department": department, "groups": [group], "comments": "joins the tour"}),
            shows: ended,
            holds: |a| a["outcome"] == "done",
        },
        Step {
            title: "Find again",
            why: "exactly one match, by address",
            tool: "find_user",
            arguments: json!({"query": EMAIL}),
            shows: found,
            holds: |a| a["match"] == "exact",
        },
        Step {
            title: "A model approves itself",
            why: "there is no argument by which it could",
            tool: "deprovision_user",
            arguments: json!({"user": EMAIL, "confirm": true}),
            shows: refused,
            holds: |a| a["error"]["code"] == "INVALID_ARGUMENT",
        },
        Step {
            title: "An administrator is to go",
            why: "administrators and synchronised users are protected",
            tool: "deprovision_user",
            arguments: json!({"user": administrator}),
            shows: refused,
            holds: |a| a["error"]["code"] == "PROTECTED",
        },
        Step {
            title: "Deprovision",
            why: "captured, asked, deleted, verified, activated, in that order",
            tool: "deprovision_user",
            arguments: json!({"user": EMAIL, "reason": "the tour is over"}),
            shows: ended,
            holds: |a| {
                a["outcome"] == "done" || a["outcome"] == "declined" || a["outcome"] == "awaiting_approval"
            },
        },
        Step {
            title: "Ask again",
            why: "asking twice does nothing twice",
            tool: "deprovision_user",
            arguments: json!({"user": EMAIL, "reason": "the tour is over"}),
            shows: ended,
            holds: |a| !a["outcome"].is_null() || a["error"]["code"] == "CONFLICT",
        },
        Step {
            title: "Restore",
            why: "made anew from the capture; what cannot come back is named",
            tool: "restore_user",
            arguments: json!({"capture": EMAIL}),
            shows: ended,
            // Nobody is restored who was not deleted.
            holds: |a| a["outcome"] == "done" || a["error"]["code"] == "NOT_FOUND",
        },
        Step {
            title: "What is left",
            why: "the tenant's state and the calls that ZIA's hourly limits leave",
            tool: "tenant_status",
            arguments: json!({}),
            shows: status,
            holds: |a| !a["activation"].is_null(),
        },
    ]
}

async fn walk(stage: &Stage, n: usize, count: usize, step: Step) -> Result<(), Exit> {
    line("")?;
    line(format!(
        "{} {}",
        styled(BOLD, format!("{n}/{count} {}", step.title)),
        styled(DIM, format!("— {}", step.why))
    ))?;
    let mut lead = format!("  {} {}", styled(ACCENT, "▸"), styled(ACCENT, step.tool));
    for text in arguments(&step.arguments, 5 + step.tool.len()) {
        line(format!("{lead} {text}"))?;
        lead = " ".repeat(4 + step.tool.len());
    }
    let (before, began) = (stage.calls(), Instant::now());
    let (answer, is_error) = stage.call(step.tool, step.arguments).await?;
    let mark = if is_error { styled(BAD, "✕") } else { styled(GOOD, "✓") };
    let seconds = began.elapsed().as_secs_f32();
    let mut lines = (step.shows)(&answer).into_iter();
    line(format!("  {mark} {}", lines.next().unwrap_or_default()))?;
    lines.try_for_each(|l| line(format!("    {l}")))?;
    let calls = match stage.calls() - before {
        1 => "1 call".to_owned(),
        n => format!("{n} calls"),
    };
    line(styled(DIM, format!("    {calls} to ZIA, {seconds:.1} s")))?;
    if (step.holds)(&answer) {
        Ok(())
    } else {
        Err(Exit::unavailable(format!("step {n} of the tour did not go as it should")))
    }
}

fn close(stage: &Stage) -> Result<(), Exit> {
    let deletes = stage.tenant.counters().get("DELETE /users/{id}").copied().unwrap_or(0);
    let saw = match deletes {
        0 => "the tenant saw no delete, since nobody approved one.".to_owned(),
        n => format!("the tenant saw {n} delete, after the approval, and the user is back from the capture."),
    };
    line("")?;
    line(format!("{} {saw}", styled(GOOD, "Done:")))?;
    line(styled(
        DIM,
        "Next: README, \"Your tenant\" and \"Your client\"; `zia-mcp doctor` checks the settings.",
    ))
}

/// Arguments as JSON, in lines that are broken between fields.
fn arguments(arguments: &Value, taken: usize) -> Vec<String> {
    let fields: Vec<_> = arguments
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    let mut lines = vec!["{".to_owned()];
    for (n, field) in fields.iter().enumerate() {
        let end = if n + 1 == fields.len() { "}" } else { "," };
        let Some(last) = lines.last_mut() else { break };
        let room = WIDTH.saturating_sub(taken + last.chars().count() + field.chars().count() + 2);
        match last.ends_with('{') {
            true => last.push_str(&format!("{field}{end}")),
            false if room > 0 => last.push_str(&format!(" {field}{end}")),
            false => lines.push(format!(" {field}{end}")),
        }
    }
    if fields.is_empty() { vec!["{}".into()] } else { lines }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), shown)
}

fn found(answer: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "match: {}   complete: {}   source: {}",
        text(&answer["match"]),
        answer["complete"],
        text(&answer["source"])
    )];
    lines.extend(answer["users"].as_array().into_iter().flatten().map(portrait));
    lines
}

fn portrait(user: &Value) -> String {
    let groups: Vec<_> = user["groups"].as_array().into_iter().flatten().map(|g| text(&g["name"])).collect();
    let department =
        if user["department"].is_null() { "no department".into() } else { text(&user["department"]["name"]) };
    format!(
        "{} <{}>  id {}  {department}  [{}]",
        text(&user["name"]),
        text(&user["email"]),
        user["id"],
        groups.join(", ")
    )
}

fn ended(answer: &Value) -> Vec<String> {
    if !answer["error"].is_null() {
        return refused(answer);
    }
    let mut lines = vec![format!(
        "{}   activation: {}",
        styled(BOLD, text(&answer["outcome"])),
        text(&answer["activation"]["state"])
    )];
    lines.extend(
        (!answer["user"].is_null() && !answer["user"]["id"].is_null()).then(|| portrait(&answer["user"])),
    );
    let field = |name: &str, value: &Value| (!value.is_null()).then(|| format!("{name}: {}", text(value)));
    lines.extend(field("capture", &answer["capture"]["id"]));
    lines.extend(field("approved by", &answer["approval"]["by"]));
    lines.extend(field("initial password", &answer["initial_password"]["delivery"]));
    let notes = answer["notes"].as_array().into_iter().flatten();
    lines.extend(notes.flat_map(|n| wrapped(&format!("note: {}", text(n)), 4)));
    lines
}

fn refused(answer: &Value) -> Vec<String> {
    let error = &answer["error"];
    let (code, message) = (text(&error["code"]), text(&error["message"]));
    let mut lines = wrapped(&format!("{code}: {message}"), 4);
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(&code, &styled(BOLD, &code), 1);
    }
    lines.extend(wrapped(&format!("next: {}", text(&error["next"])), 4));
    lines
}

fn status(answer: &Value) -> Vec<String> {
    let mut lines =
        vec![format!("activation: {}   mode: {}", text(&answer["activation"]), text(&answer["mode"]))];
    let spent = |b: &&Value| b["remaining"] != b["limit"] && b["per"] == "hour";
    lines.extend(answer["budget"].as_array().into_iter().flatten().filter(spent).map(|b| {
        format!("{:<26} {:>4} of {:>4} left this hour", text(&b["endpoint"]), b["remaining"], b["limit"])
    }));
    lines
}

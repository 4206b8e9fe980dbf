//! The steps of the tour.

#![allow(clippy::indexing_slicing, reason = "a JSON value gives null where there is no such field")]

use std::time::Instant;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::{
    cli::{
        Exit,
        output::{ACCENT, BAD, BOLD, DIM, GOOD, line, styled},
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
    line(styled(
        DIM,
        format!(
            "a ZIA tenant in a box at {}, with ZIA's staging, limits and traps; nothing leaves this machine",
            stage.tenant.base_url()
        ),
    ))?;
    let (department, group) = offered(stage).await?;
    let administrator =
        stage.tenant.users().into_iter().find(|u| u.admin_user).map(|u| u.email).unwrap_or_default();
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
        let once = all.iter().find(|n| all.iter().filter(|m| m == n).count() == 1);
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
            why: "administrators, synchronised users and the server's own account are protected",
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
            arguments: json!({"user": EMAIL, "reason": "to be sure"}),
            shows: ended,
            holds: |a| !a["outcome"].is_null() || a["error"]["code"] == "CONFLICT",
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
    line(format!("  {} {} {}", styled(ACCENT, "▸"), styled(ACCENT, step.tool), step.arguments))?;
    let (before, began) = (stage.calls(), Instant::now());
    let (answer, is_error) = stage.call(step.tool, step.arguments).await?;
    let mark = if is_error { styled(BAD, "✕") } else { styled(GOOD, "✓") };
    let mut lines = (step.shows)(&answer).into_iter();
    line(format!("  {mark} {}", lines.next().unwrap_or_default()))?;
    lines.try_for_each(|l| line(format!("    {l}")))?;
    let seconds = began.elapsed().as_secs_f32();
    line(styled(DIM, format!("    {} calls to ZIA, {seconds:.1} s", stage.calls() - before)))?;
    if (step.holds)(&answer) {
        Ok(())
    } else {
        Err(Exit::unavailable(format!("step {n} of the tour did not go as it should")))
    }
}

fn close(stage: &Stage) -> Result<(), Exit> {
    let deletes = stage.tenant.counters().get("DELETE /users/{id}").copied().unwrap_or(0);
    line("")?;
    line(format!(
        "{} the tenant saw {deletes} delete, after the approval; its before-image is kept, encrypted.",
        styled(GOOD, "Done:")
    ))?;
    line(styled(
        DIM,
        "Next: `zia-mcp doctor` checks your own tenant's settings; the README shows how to add the server to your client.",
    ))
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
    lines.extend(answer["notes"].as_array().into_iter().flatten().map(|n| format!("note: {}", text(n))));
    lines
}

fn refused(answer: &Value) -> Vec<String> {
    let error = &answer["error"];
    vec![
        format!("{}: {}", styled(BOLD, text(&error["code"])), text(&error["message"])),
        format!("next: {}", text(&error["next"])),
    ]
}

fn status(answer: &Value) -> Vec<String> {
    let mut lines =
        vec![format!("activation: {}   mode: {}", text(&answer["activation"]), text(&answer["mode"]))];
    let spent = |b: &&Value| b["remaining"] != b["limit"] && b["per"] == "hour";
    lines.extend(answer["budget"].as_array().into_iter().flatten().filter(spent).map(|b| {
        format!("{:<24} {:>4} of {:>4} left this hour", text(&b["endpoint"]), b["remaining"], b["limit"])
    }));
    lines
}

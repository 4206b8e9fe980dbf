//! The bytes that `tools/list` costs a model's context.

use serde_json::json;

use super::{
    messages::Era,
    server::{Tenant, state},
    stats::ratio,
    stdio::Client,
    table,
};

/// 16 KB.
const AIM: usize = 16 * 1024;

pub(crate) fn print() {
    table::head("Bytes of `tools/list`", &["what", "bytes", "aim", "/ aim"]);
    let tenant = Tenant::start();
    for era in Era::BOTH {
        let state = state();
        let mut client = Client::start(tenant.serve(state.path()), era);
        let list = era.request(1, "tools/list", json!({}));
        show(&format!("whole answer, {}", era.version()), client.size(&list), true);
        if era == Era::Sessions {
            let tools = client.ask(&era.request(2, "tools/list", json!({})));
            for tool in tools["tools"].as_array().expect("tools") {
                let name = tool["name"].as_str().unwrap_or_default();
                show(&format!("`{name}`"), tool.to_string().len(), false);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn show(what: &str, bytes: usize, whole: bool) {
    let aim = if whole { "≤ 16,384" } else { "" };
    table::row(&[what, &bytes.to_string(), aim, &ratio(bytes as f64, AIM as f64)]);
}

//! `zia-mcp audit`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Exit, General, output, wiring};
use crate::{
    config::Config,
    model::shown,
    store::{AuditCheck, AuditRecord, ChainCheck, Checkpoint, Store, StoreError, Verdict},
};

/// Records read at once.
const PAGE: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check every record and every checkpoint: exit 0 whole, 2 broken, 3 truncated, 4 unreadable
    Verify {
        /// A file of checkpoints to check against, besides the configured one
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write records and checkpoints to stdout, one JSON object a line
    Export {
        /// Only this tenant's
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Go on after this record: TENANT:SEQ, or SEQ with --tenant
        #[arg(long, value_name = "TENANT:SEQ")]
        after: Option<String>,
    },
}

impl Audit {
    /// Checks or exports the trails of every tenant in the store, which is not changed.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let config = wiring::config(general, true)?;
        let _log = wiring::telemetry(general, Some(&config))?;
        match self.what {
            What::Verify { checkpoints, json } => verify(&config, checkpoints, json).await,
            What::Export { tenant, after } => {
                let from = Start::read(tenant, after)?;
                let store = wiring::open_to_read(&config).await.map_err(Exit::unreadable)?;
                export(&store, &from).await
            }
        }
    }
}

async fn verify(config: &Config, named: Option<PathBuf>, as_json: bool) -> Result<(), Exit> {
    let checked = async {
        let store = wiring::open_to_read(config).await?;
        // The configured file need not be there yet; one that is named must be.
        let configured = config.checkpoint_file.clone();
        let (there, gone): (Vec<_>, Vec<_>) = configured.into_iter().partition(|path| path.exists());
        let mut checked = store.verify_audit(&[there, named.into_iter().collect()].concat()).await?;
        checked.notes.extend(gone.iter().map(|path| format!("there is no {}", path.display())));
        Ok::<_, StoreError>(checked)
    };
    let checked = match checked.await {
        Ok(checked) => checked,
        Err(error) => {
            if as_json {
                output::json(&json!({"verdict": "unreadable", "error": error.to_string()}))?;
            }
            return Err(Exit::unreadable(unreadable(&error)));
        }
    };
    if as_json {
        output::json(&report(&checked))?;
    } else {
        print(&checked)?;
    }
    conclude(&checked)
}

fn unreadable(error: &StoreError) -> String {
    let next = match error {
        StoreError::Corrupt => "; the database file is damaged: restore it from a backup",
        StoreError::Unavailable(_) => "; check --state-dir",
        _ => "",
    };
    format!("the audit trail cannot be read: {error}{next}")
}

fn print(checked: &AuditCheck) -> Result<(), Exit> {
    if checked.chains.is_empty() {
        output::line("no records yet")?;
    } else {
        let heads = ["TENANT", "GOOD RECORDS", "SIGNED UP TO", "VERDICT"];
        output::table(heads, &checked.chains.iter().map(row).collect::<Vec<_>>())?;
    }
    let notes = checked.notes.iter().map(|note| format!("note: {note}"));
    notes.chain(checked.faults.clone()).try_for_each(output::line)
}

fn row(chain: &ChainCheck) -> [String; 4] {
    let signed = if chain.signed == 0 { "-".to_owned() } else { chain.signed.to_string() };
    [shown(&chain.tenant), chain.records.to_string(), signed, verdict(chain.verdict)]
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Whole => "whole".into(),
        Verdict::Truncated { seq, signed } => {
            format!("truncated: records {seq} to {signed} were signed and are gone")
        }
        Verdict::Broken { seq, fault } => format!("broken: record {seq} {fault}"),
    }
}

fn report(checked: &AuditCheck) -> Value {
    let chains: Vec<_> = checked.chains.iter().map(chain_report).collect();
    let verdict = match (checked.is_broken(), checked.is_truncated()) {
        (true, _) => "broken",
        (false, true) => "truncated",
        (false, false) => "whole",
    };
    json!({"verdict": verdict, "chains": chains, "faults": checked.faults, "notes": checked.notes})
}

fn chain_report(chain: &ChainCheck) -> Value {
    let (verdict, seq, detail) = match chain.verdict {
        Verdict::Whole => ("whole", None, None),
        Verdict::Truncated { seq, signed } => {
            ("truncated", Some(seq), Some(format!("signed up to {signed}")))
        }
        Verdict::Broken { seq, fault } => ("broken", Some(seq), Some(fault.to_string())),
    };
    json!({
        "tenant": chain.tenant, "records": chain.records, "signed": chain.signed,
        "verdict": verdict, "first_bad": seq, "detail": detail,
    })
}

/// The exit code, and the first bad record in a sentence.
fn conclude(checked: &AuditCheck) -> Result<(), Exit> {
    let first = |kind: fn(&Verdict) -> bool| {
        let chain = checked.chains.iter().find(|chain| kind(&chain.verdict))?;
        Some(format!("{}: {}", shown(&chain.tenant), verdict(chain.verdict)))
    };
    if checked.is_broken() {
        let chain = first(|verdict| matches!(verdict, Verdict::Broken { .. }));
        let what = chain.or_else(|| checked.faults.first().cloned()).unwrap_or_default();
        return Err(Exit::broken(format!("the audit trail does not hold: {what}")));
    }
    match first(|verdict| matches!(verdict, Verdict::Truncated { .. })) {
        Some(what) => Err(Exit::truncated(format!("the audit trail does not hold: {what}"))),
        None => Ok(()),
    }
}

/// Where an export begins.
struct Start {
    /// The one tenant, if only one is wanted.
    only: Option<String>,
    /// The tenant and record to go on after.
    after: Option<(String, i64)>,
}

impl Start {
    fn read(only: Option<String>, after: Option<String>) -> Result<Self, Exit> {
        let Some(text) = after else { return Ok(Self { only, after: None }) };
        let wrong = || Exit::usage("--after: expected TENANT:SEQ, or a number with --tenant");
        let (tenant, seq) = match (&only, text.rsplit_once(':')) {
            (Some(tenant), None) => (tenant.clone(), text.as_str()),
            (Some(only), Some((tenant, seq))) if only == tenant => (only.clone(), seq),
            (None, Some((tenant, seq))) => (tenant.to_owned(), seq),
            _ => return Err(wrong()),
        };
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or_else(wrong)?;
        Ok(Self { only, after: Some((tenant, seq)) })
    }

    /// The record of a tenant to go on after; `None` if the tenant is left out.
    fn of(&self, tenant: &str) -> Option<i64> {
        if self.only.as_deref().is_some_and(|only| only != tenant) {
            return None;
        }
        match &self.after {
            Some((last, seq)) if last == tenant => Some(*seq),
            Some((last, _)) if tenant < last.as_str() => None,
            _ => Some(0),
        }
    }
}

async fn export(store: &Store, from: &Start) -> Result<(), Exit> {
    for tenant in store.audit_tenants().await.map_err(damaged)? {
        if let Some(after) = from.of(&tenant)
            && !export_tenant(store, &tenant, after).await?
        {
            break;
        }
    }
    Ok(())
}

/// Writes one chain; `false` once nobody reads stdout any more.
async fn export_tenant(store: &Store, tenant: &str, mut after: i64) -> Result<bool, Exit> {
    // The checkpoint of the record before may have been signed since that was exported.
    let mut signed = after.max(1);
    loop {
        let page = store.audit_records(tenant, after + 1, PAGE).await.map_err(damaged)?;
        let Some(last) = page.last().map(|record| record.seq) else { break };
        let mut lines = String::new();
        let mut checkpoints = checkpoints(store, tenant, signed, last).await?.into_iter().peekable();
        for record in &page {
            while let Some(before) = checkpoints.next_if(|checkpoint| checkpoint.seq < record.seq) {
                push(&mut lines, &json!({ "checkpoint": before.to_json() }));
            }
            push(&mut lines, &exported(record));
        }
        checkpoints.for_each(|last| push(&mut lines, &json!({ "checkpoint": last.to_json() })));
        if !output::raw(&lines)? {
            return Ok(false);
        }
        (after, signed) = (last, last + 1);
    }
    Ok(true)
}

/// The checkpoints of some records; there are at most as many.
async fn checkpoints(store: &Store, tenant: &str, from: i64, upto: i64) -> Result<Vec<Checkpoint>, Exit> {
    let found = store.checkpoints(tenant, from, PAGE + 1).await.map_err(damaged)?;
    Ok(found.into_iter().filter(|checkpoint| checkpoint.seq <= upto).collect())
}

fn push(lines: &mut String, value: &Value) {
    lines.push_str(&value.to_string());
    lines.push('\n');
}

fn exported(record: &AuditRecord) -> Value {
    json!({
        "tenant": record.tenant, "seq": record.seq, "at": record.at.to_string(), "event": record.event,
        "operation": record.operation, "body": record.body,
        "prev_hash": record.prev_hash.to_string(), "hash": record.hash.to_string(),
    })
}

fn damaged(error: StoreError) -> Exit {
    Exit::unreadable(format!("{error}: run `zia-mcp audit verify`"))
}

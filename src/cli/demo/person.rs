//! The person who approves in the tour, and the client that asks them.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
        ElicitationCapability, FormElicitationCapability, Implementation,
    },
    service::RequestContext,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cli::output::{ACCENT, BOLD, DIM, WARN, WIDTH, line, styled, wrapped};

/// Who answers the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Person {
    /// Answers by itself, from the script.
    Scripted,
    /// Types at the terminal.
    AtTheTerminal,
}

/// What the scripted person types next.
pub(super) type Script = Arc<Mutex<Option<String>>>;

/// An MCP client with a person in front of it.
pub(super) struct Client {
    pub(super) person: Person,
    pub(super) script: Script,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let form = ElicitationCapability::new().with_form(FormElicitationCapability::new());
        let capabilities = ClientCapabilities::builder().enable_elicitation_with(form).build();
        ClientConfig::new(capabilities, Implementation::new("zia-mcp demo", env!("CARGO_PKG_VERSION")))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Cancel));
        };
        show(&message);
        Ok(match self.answer().await {
            Some(text) => {
                ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "confirm": text }))
            }
            None => ElicitResult::new(ElicitationAction::Decline),
        })
    }
}

impl Client {
    async fn answer(&self) -> Option<String> {
        match self.person {
            Person::Scripted => {
                let typed = self.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
                say(format!(
                    "  {} {}",
                    styled(WARN, "the person types:"),
                    typed.as_deref().unwrap_or("(declines)")
                ));
                typed
            }
            Person::AtTheTerminal => {
                say(format!("  {} {}", styled(WARN, "you type"), styled(DIM, "(an empty line declines):")));
                let mut text = String::new();
                let read = BufReader::new(tokio::io::stdin()).read_line(&mut text).await;
                read.ok().filter(|_| !text.trim().is_empty()).map(|_| text.trim().to_owned())
            }
        }
    }
}

/// The question in a frame, as a client draws a form.
fn show(message: &str) {
    const HEAD: &str = "─ the client asks the person ";
    say(format!("  {}", styled(ACCENT, format!("┌{HEAD:─<width$}", width = WIDTH - 3))));
    for text in wrapped(message, 4) {
        say(format!("  {} {}", styled(ACCENT, "│"), styled(BOLD, text)));
    }
    say(format!("  {}", styled(ACCENT, format!("└{:─<width$}", "", width = WIDTH - 3))));
}

/// A line for the reader; without a reader the tour goes on.
fn say(text: String) {
    let _ = line(text);
}

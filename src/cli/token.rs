//! `zia-mcp token`

use clap::Args;
use secrecy::ExposeSecret;

use super::{Exit, output};
use crate::{config, http, model::Scope};

#[derive(Debug, Args)]
pub(super) struct Token {
    /// The caller's name: letters, digits and -_.@
    name: String,
    /// What the token grants
    #[arg(value_name = "SCOPE", value_parser = scope, default_value = "zia.users.read")]
    scopes: Vec<Scope>,
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|()| format!("expected one of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

impl Token {
    /// Prints a new token, once, and the lines by which the settings file knows it.
    pub(super) fn run(self) -> Result<(), Exit> {
        config::check_token_name(&self.name).map_err(Exit::usage)?;
        let (token, sha256) = http::new_token().map_err(Exit::unavailable)?;
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let scopes: Vec<_> = self.scopes.iter().map(|scope| format!("{:?}", scope.as_str())).collect();
        output::line(format!("token of {}, shown this once: {}", self.name, token.expose_secret()))?;
        output::line("for the settings file, which knows the token by its digest alone:")?;
        output::line(format!("\n[[http.tokens]]\nname = {:?}\nsha256 = \"{hex}\"", self.name))?;
        output::line(format!("scopes = [{}]", scopes.join(", ")))?;
        // A program approves nothing, so that this scope says that a person holds the token.
        if self.scopes.contains(&Scope::Approve) { output::line("workload = false") } else { Ok(()) }
    }
}

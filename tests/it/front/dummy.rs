//! A small MCP server to put behind the doors.

use std::{borrow::Cow, sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler, elicit_safe,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use zia_mcp::model::Caller;

/// Tools: `echo` answers its arguments, `slow` waits for [`Dummy::release`], `ask` asks the client,
/// `caller` tells who called.
#[derive(Clone)]
pub(super) struct Dummy {
    release: Arc<Semaphore>,
    /// Grows by one with each `slow` that began.
    began: Arc<Semaphore>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Form {
    confirm: String,
}
elicit_safe!(Form);

impl Dummy {
    pub(super) fn new() -> Self {
        Self { release: Arc::new(Semaphore::new(0)), began: Arc::new(Semaphore::new(0)) }
    }

    /// Lets one `slow` call answer.
    pub(super) fn release(&self) {
        self.release.add_permits(1);
    }

    /// Waits until one more `slow` call has begun.
    pub(super) async fn slow_began(&self) {
        tokio::time::timeout(Duration::from_secs(10), self.began.acquire())
            .await
            .expect("a slow call begins")
            .unwrap()
            .forget();
    }
}

async fn ask(context: &RequestContext<RoleServer>) -> String {
    match context.peer.elicit_with_timeout::<Form>("sure?", Some(Duration::from_secs(60))).await {
        Ok(form) => format!("answered {:?}", form.map(|f| f.confirm)),
        Err(_) => "not answered".into(),
    }
}

impl ServerHandler for Dummy {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("dummy", "0"))
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&[
            ProtocolVersion::V_2025_06_18,
            ProtocolVersion::V_2025_11_25,
            ProtocolVersion::V_2026_07_28,
        ])
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({"type": "object"}).as_object().cloned().unwrap();
        Ok(ListToolsResult::with_all_items(vec![Tool::new("echo", "echo", Arc::new(schema))]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = match &*request.name {
            "echo" => serde_json::to_string(&request.arguments).unwrap(),
            "slow" => {
                self.began.add_permits(1);
                self.release.acquire().await.unwrap().forget();
                "slow and done".into()
            }
            "ask" => ask(&context).await,
            "caller" => {
                let parts = context.extensions.get::<http::request::Parts>();
                let caller = parts.and_then(|p| p.extensions.get::<Caller>()).map(|c| c.name.clone());
                let bearer = parts.is_some_and(|p| p.headers.contains_key("authorization"));
                format!("{} bearer={bearer}", caller.unwrap_or_default())
            }
            _ => return Err(ErrorData::invalid_params("unknown tool", None)),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

//! The vendor's calls that the sandbox tenant answers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! endpoints {
    ($($variant:ident = $name:literal,)*) => {
        /// A call of the vendor's API: a method and a path, without `/api/v1`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)] // the names in the table say it
        pub enum Endpoint { $($variant,)* }

        impl Endpoint {
            /// Every endpoint, in the order in which a path is looked up.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Method and path as the docs write them, such as `DELETE /users/{id}`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

endpoints! {
    Login = "POST /authenticatedSession",
    CheckSession = "GET /authenticatedSession",
    Logout = "DELETE /authenticatedSession",
    Token = "POST /oauth2/v1/token",
    ListUsers = "GET /users",
    CreateUser = "POST /users",
    BulkDelete = "POST /users/bulkDelete",
    References = "GET /users/references",
    Auditors = "GET /users/auditors",
    GetUser = "GET /users/{id}",
    ReplaceUser = "PUT /users/{id}",
    DeleteUser = "DELETE /users/{id}",
    ListGroups = "GET /groups",
    GroupsLite = "GET /groups/lite",
    GroupLite = "GET /groups/lite/{id}",
    GetGroup = "GET /groups/{id}",
    ListDepartments = "GET /departments",
    DepartmentsLite = "GET /departments/lite",
    DepartmentLite = "GET /departments/lite/{id}",
    GetDepartment = "GET /departments/{id}",
    Status = "GET /status",
    Activate = "POST /status/activate",
    LatestEusa = "GET /eusaStatus/latest",
    AcceptEusa = "PUT /eusaStatus/{id}",
    Other = "other",
}

impl Endpoint {
    /// The endpoint of a method and a path below `/api/v1`, with the id in the path.
    pub(super) fn find(method: &str, path: &str) -> (Self, Option<u64>) {
        Self::ALL
            .iter()
            .find_map(|endpoint| {
                let (its_method, template) = endpoint.name().split_once(' ')?;
                (its_method == method).then_some(())?;
                fits(template, path).map(|id| (*endpoint, id))
            })
            .unwrap_or((Self::Other, None))
    }

    /// Whether the call edits the tenant's configuration: it needs the edit lock.
    pub(super) fn edits(self) -> bool {
        use Endpoint::{Activate, BulkDelete, CreateUser, DeleteUser, ReplaceUser};
        matches!(self, CreateUser | ReplaceUser | DeleteUser | BulkDelete | Activate)
    }
}

/// The id in `path` if it has the shape of `template`; the outer `None` says it has not.
fn fits(template: &str, path: &str) -> Option<Option<u64>> {
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    let mut id = None;
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(text)) => id = Some(number(text)?),
            (Some(a), Some(b)) if a == b => {}
            _ => return None,
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().find(|endpoint| endpoint.name() == name);
        known
            .copied()
            .ok_or_else(|| de::Error::custom("no such endpoint; write it like \"DELETE /users/{id}\""))
    }
}

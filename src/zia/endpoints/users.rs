//! `/users`.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{Call, Endpoint, Query, Unreadable, json, write_json};
use crate::{
    model::{Email, Named, UserId},
    zia::types::{Raw, Whose, ZiaUser},
};

/// Which users to list, and which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserQuery {
    /// Part of a name; whether also of an address is disputed (zia-facts §3.2).
    pub name: Option<String>,
    /// Beginning of a department's name.
    pub dept: Option<String>,
    /// Beginning of a group's name.
    pub group: Option<String>,
    /// From 1.
    pub page: u32,
    /// 1 to 10,000; others are brought into that range.
    pub page_size: u32,
}

impl Default for UserQuery {
    fn default() -> Self {
        Self { name: None, dept: None, group: None, page: 1, page_size: 100 }
    }
}

/// One page of users; a page that is not full is the last (zia-facts §3.2).
pub(in crate::zia) struct ListUsers<'a>(pub(in crate::zia) &'a UserQuery);

impl Call for ListUsers<'_> {
    type Output = Vec<Raw<ZiaUser>>;
    const ENDPOINT: Endpoint = Endpoint::ListUsers;

    fn target(&self) -> String {
        Query::of("/users")
            .maybe("name", self.0.name.as_deref())
            .maybe("dept", self.0.dept.as_deref())
            .maybe("group", self.0.group.as_deref())
            .with("page", &self.0.page.max(1).to_string())
            .with("pageSize", &self.0.page_size.clamp(1, 10_000).to_string())
            .end()
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        json::<Vec<Box<RawValue>>>(body)?.into_iter().map(Raw::user).collect()
    }
}

/// The same page, for whoever keeps the rows as they came: ten thousand users in full take tens of
/// megabytes.
pub(in crate::zia) struct ListRows<'a>(pub(in crate::zia) ListUsers<'a>);

impl Call for ListRows<'_> {
    type Output = Vec<Raw<Whose>>;
    const ENDPOINT: Endpoint = Endpoint::ListUsers;

    fn target(&self) -> String {
        self.0.target()
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        json::<Vec<Box<RawValue>>>(body)?.into_iter().map(Raw::row).collect()
    }
}

/// One user by id; its name and address may be encoded (zia-facts §3.2).
pub(in crate::zia) struct ReadUser(pub(in crate::zia) UserId);

impl Call for ReadUser {
    type Output = Raw<ZiaUser>;
    const ENDPOINT: Endpoint = Endpoint::ReadUser;

    fn target(&self) -> String {
        format!("/users/{}", self.0)
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        let user = Raw::user(json(body)?)?;
        // Another user's data must not be taken for this one's, whoever mixed them up.
        if user.value.id == self.0 { Ok(user) } else { Err(Unreadable::Shape) }
    }
}

/// A user to create; serialised only when it is sent.
#[derive(Clone)]
pub struct NewUser {
    /// Display name, at most 127 characters (zia-facts §3.1).
    pub name: String,
    /// Login address.
    pub email: Email,
    /// Groups, by id and name.
    pub groups: Vec<Named>,
    /// Department, if any.
    pub department: Option<Named>,
    /// Comments, if any.
    pub comments: Option<String>,
    /// Temporary authentication address, if any.
    pub temp_auth_email: Option<String>,
    /// Initial password.
    pub password: SecretString,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups = self.groups.len();
        f.debug_struct("NewUser").field("groups", &groups).finish_non_exhaustive()
    }
}

/// Creates a user; the answer is 200 and the user (zia-facts §3.2).
pub(in crate::zia) struct CreateUser<'a>(pub(in crate::zia) &'a NewUser);

impl Call for CreateUser<'_> {
    type Output = Raw<ZiaUser>;
    const ENDPOINT: Endpoint = Endpoint::CreateUser;

    fn target(&self) -> String {
        "/users".to_owned()
    }

    fn body(&self) -> Option<Zeroizing<Vec<u8>>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            name: &'a str,
            email: &'a str,
            groups: &'a [Named],
            #[serde(skip_serializing_if = "Option::is_none")]
            department: Option<&'a Named>,
            #[serde(skip_serializing_if = "Option::is_none")]
            comments: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            temp_auth_email: Option<&'a str>,
            password: &'a str,
        }
        write_json(&Body {
            name: &self.0.name,
            email: self.0.email.as_str(),
            groups: &self.0.groups,
            department: self.0.department.as_ref(),
            comments: self.0.comments.as_deref(),
            temp_auth_email: self.0.temp_auth_email.as_deref(),
            password: self.0.password.expose_secret(),
        })
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        Raw::user(json(body)?)
    }
}

/// A user's writable fields, all of them: what is left out would be emptied (zia-facts §3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct UserReplacement {
    /// Display name, at most 127 characters (zia-facts §3.1).
    pub name: String,
    /// Login address as it is; ZIA keeps it for life.
    pub email: String,
    /// Every group, by id and name.
    pub groups: Vec<Named>,
    /// Department, if any.
    pub department: Option<Named>,
    /// Comments, if any.
    pub comments: Option<String>,
    /// Temporary authentication address, if any.
    pub temp_auth_email: Option<String>,
}

impl std::fmt::Debug for UserReplacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserReplacement").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

/// Replaces a user's fields; the answer is 200 and the user (zia-facts §3.2).
pub(in crate::zia) struct ReplaceUser<'a>(pub(in crate::zia) UserId, pub(in crate::zia) &'a UserReplacement);

impl Call for ReplaceUser<'_> {
    type Output = Raw<ZiaUser>;
    const ENDPOINT: Endpoint = Endpoint::ReplaceUser;

    fn target(&self) -> String {
        format!("/users/{}", self.0)
    }

    fn body(&self) -> Option<Zeroizing<Vec<u8>>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            id: UserId,
            name: &'a str,
            email: &'a str,
            groups: &'a [Named],
            #[serde(skip_serializing_if = "Option::is_none")]
            department: Option<&'a Named>,
            #[serde(skip_serializing_if = "Option::is_none")]
            comments: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            temp_auth_email: Option<&'a str>,
        }
        write_json(&Body {
            id: self.0,
            name: &self.1.name,
            email: &self.1.email,
            groups: &self.1.groups,
            department: self.1.department.as_ref(),
            comments: self.1.comments.as_deref(),
            temp_auth_email: self.1.temp_auth_email.as_deref(),
        })
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        let user = Raw::user(json(body)?)?;
        if user.value.id == self.0 { Ok(user) } else { Err(Unreadable::Shape) }
    }
}

/// Deletes up to 500 users; says which, unless it answers 204 (zia-facts §3.2).
pub(in crate::zia) struct DeleteUsers<'a>(pub(in crate::zia) &'a [UserId]);

impl Call for DeleteUsers<'_> {
    type Output = Option<Vec<UserId>>;
    const ENDPOINT: Endpoint = Endpoint::DeleteUsers;
    const NEEDS_BODY: bool = false;

    fn target(&self) -> String {
        "/users/bulkDelete".to_owned()
    }

    fn body(&self) -> Option<Zeroizing<Vec<u8>>> {
        #[derive(Serialize)]
        struct Body<'a> {
            ids: &'a [UserId],
        }
        write_json(&Body { ids: self.0 })
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        #[derive(serde::Deserialize)]
        struct Answer {
            ids: Vec<i64>,
        }
        // Each id is verified by reading in any case, so an answer without them is no fault.
        let ids = json::<Answer>(body).ok().map(|answer| answer.ids);
        Ok(ids.map(|ids| ids.into_iter().filter_map(UserId::new).collect()))
    }
}

/// Deletes a user; any 2xx is success (zia-facts §3.2).
pub(in crate::zia) struct DeleteUser(pub(in crate::zia) UserId);

impl Call for DeleteUser {
    type Output = ();
    const ENDPOINT: Endpoint = Endpoint::DeleteUser;
    const NEEDS_BODY: bool = false;

    fn target(&self) -> String {
        format!("/users/{}", self.0)
    }

    fn decode(&self, _: &[u8]) -> Result<(), Unreadable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn id(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn a_query_is_escaped_with_percent_signs_only() {
        let query = UserQuery {
            name: Some("Zoë O'Neil+x & y=z/?#%".into()),
            dept: Some("R D".into()),
            group: Some("..".into()),
            page: 0,
            page_size: 20_000,
        };
        assert_eq!(
            ListUsers(&query).target(),
            "/users?name=Zo%C3%AB%20O%27Neil%2Bx%20%26%20y%3Dz%2F%3F%23%25&dept=R%20D&group=..&page=1&pageSize=10000"
        );
        assert_eq!(ListUsers(&UserQuery::default()).target(), "/users?page=1&pageSize=100");
    }

    #[test]
    fn a_new_user_is_sent_with_documented_fields_only() {
        let mut new = NewUser {
            name: "Jane".into(),
            email: "jane@example.com".parse().unwrap(),
            groups: vec![Named { id: 7, name: "Staff".into() }],
            department: Some(Named { id: 8, name: "IT".into() }),
            comments: Some("c".into()),
            temp_auth_email: Some("t@example.com".into()),
            password: "s3cret".into(),
        };
        let sent =
            |new: &NewUser| -> Value { serde_json::from_slice(&CreateUser(new).body().unwrap()).unwrap() };
        assert_eq!(
            sent(&new),
            json!({"name": "Jane", "email": "jane@example.com", "groups": [{"id": 7, "name": "Staff"}],
                   "department": {"id": 8, "name": "IT"}, "comments": "c",
                   "tempAuthEmail": "t@example.com", "password": "s3cret"})
        );
        (new.department, new.comments, new.temp_auth_email) = (None, None, None);
        let bare = sent(&new);
        for left_out in ["department", "comments", "tempAuthEmail"] {
            assert!(bare.get(left_out).is_none(), "{left_out}");
        }
    }

    #[test]
    fn a_replacement_carries_every_writable_field_and_its_own_id() {
        let replacement = UserReplacement {
            name: "Jane".into(),
            email: "jane@example.com".into(),
            groups: vec![Named { id: 7, name: "Staff".into() }],
            department: Some(Named { id: 8, name: "IT".into() }),
            comments: Some("c".into()),
            temp_auth_email: Some("t@example.com".into()),
        };
        let call = ReplaceUser(id(5), &replacement);
        let sent: Value = serde_json::from_slice(&call.body().unwrap()).unwrap();
        assert_eq!(call.target(), "/users/5");
        assert_eq!(
            sent,
            json!({"id": 5, "name": "Jane", "email": "jane@example.com", "groups": [{"id": 7, "name": "Staff"}],
                   "department": {"id": 8, "name": "IT"}, "comments": "c", "tempAuthEmail": "t@example.com"})
        );
        assert_eq!(call.decode(br#"{"id": 6}"#).unwrap_err(), Unreadable::Shape);
    }

    #[test]
    fn a_bulk_delete_says_which_users_are_gone_or_does_not() {
        let ids = [id(5), id(9_007_199_254_740_993)];
        let call = DeleteUsers(&ids);
        assert_eq!(*call.body().unwrap(), br#"{"ids":[5,9007199254740993]}"#);
        assert_eq!(call.decode(br#"{"ids":[5]}"#).unwrap(), Some(vec![id(5)]));
        for silent in ["", "{}", "[]"] {
            assert_eq!(call.decode(silent.as_bytes()).unwrap(), None, "{silent:?}");
        }
    }

    #[test]
    fn an_answer_about_another_user_is_no_answer() {
        let body = br#"{"id": 8, "name": "x"}"#;
        assert_eq!(ReadUser(id(7)).decode(body).unwrap_err(), Unreadable::Shape);
        assert_eq!(ReadUser(id(8)).decode(body).unwrap().value.id, id(8));
    }

    #[test]
    fn a_list_is_a_bare_array_or_nothing() {
        let list = |body: &str| ListUsers(&UserQuery::default()).decode(body.as_bytes());
        assert_eq!(list("[]").unwrap().len(), 0);
        assert_eq!(list("\u{FEFF} [{\"id\": 1}]").unwrap().len(), 1);
        for (body, why) in [
            ("", Unreadable::Cut),
            ("[", Unreadable::Cut),
            (r#"[{"id": 1}"#, Unreadable::Cut),
            ("<html></html>", Unreadable::Shape),
            ("{}", Unreadable::Shape),
            (r#"{"users": []}"#, Unreadable::Shape),
            ("null", Unreadable::Shape),
            ("[1]", Unreadable::Shape),
            (r#"[{"name": "x"}]"#, Unreadable::Shape),
            ("[] []", Unreadable::Shape),
        ] {
            assert_eq!(list(body).unwrap_err(), why, "{body:?}");
        }
    }
}

//! A group or a department, as ZIA gives it.

use serde_json::{Map, Value, value::RawValue};

use super::lenient;
use crate::zia::endpoints::Unreadable;

/// A group or a department (zia-facts §3.3, §3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct ZiaNamed {
    /// Its id.
    pub id: i64,
    /// Its name; tenant text.
    pub name: Option<String>,
    /// Comments; tenant text.
    pub comments: Option<String>,
    /// The identity provider it comes from; tells equal names apart.
    pub idp_id: Option<i64>,
    /// Made by ZIA itself.
    pub is_system_defined: Option<bool>,
    /// Every other field.
    pub other: Map<String, Value>,
}

impl ZiaNamed {
    pub(in crate::zia) fn read(raw: &RawValue) -> Result<Self, Unreadable> {
        Self::of(lenient::object(raw)?).ok_or(Unreadable::Shape)
    }

    /// `None` without a whole number as id.
    pub(super) fn of(mut fields: Map<String, Value>) -> Option<Self> {
        Some(Self {
            id: lenient::number(&mut fields, "id")?,
            name: lenient::text(&mut fields, "name"),
            comments: lenient::text(&mut fields, "comments"),
            idp_id: lenient::number(&mut fields, "idpId"),
            is_system_defined: lenient::flag(&mut fields, "isSystemDefined"),
            other: fields,
        })
    }
}

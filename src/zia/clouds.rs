//! Every cloud's hosts, fixed at compile time.
//!
//! A password only ever goes to a host of these tables or to one an operator set on purpose.

/// Cloud names of the API-key sign-in and their hosts (zia-facts §1.2).
const API_KEY: [(&str, &str); 10] = [
    ("zscaler", "zsapi.zscaler.net"),
    ("zscalerone", "zsapi.zscalerone.net"),
    ("zscalertwo", "zsapi.zscalertwo.net"),
    ("zscalerthree", "zsapi.zscalerthree.net"),
    ("zscloud", "zsapi.zscloud.net"),
    ("zscalerbeta", "zsapi.zscalerbeta.net"),
    ("zscalergov", "zsapi.zscalergov.net"),
    ("zscalerten", "zsapi.zscalerten.net"),
    ("zspreview", "admin.zspreview.net"),
    ("preview", "admin.zspreview.net"),
];

/// Where one OneAPI cloud signs in and answers (zia-facts §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OneApiCloud {
    pub(super) name: &'static str,
    /// Host of the API gateway.
    pub(super) api: &'static str,
    /// The tenant's vanity name and a dot go before it.
    pub(super) token_domain: &'static str,
}

/// OneAPI clouds; the first is the default.
const ONEAPI: [OneApiCloud; 11] = [
    OneApiCloud { name: "production", api: "api.zsapi.net", token_domain: "zslogin.net" },
    OneApiCloud { name: "beta", api: "api.beta.zsapi.net", token_domain: "zsloginbeta.net" },
    OneApiCloud { name: "gov", api: "api.zscalergov.net", token_domain: "zidentitygov.net" },
    OneApiCloud { name: "govus", api: "api.zscalergov.us", token_domain: "zidentitygov.us" },
    OneApiCloud { name: "zscaler", api: "api.zscaler.zsapi.net", token_domain: "zsloginzscaler.net" },
    OneApiCloud {
        name: "zscalerone",
        api: "api.zscalerone.zsapi.net",
        token_domain: "zsloginzscalerone.net",
    },
    OneApiCloud {
        name: "zscalertwo",
        api: "api.zscalertwo.zsapi.net",
        token_domain: "zsloginzscalertwo.net",
    },
    OneApiCloud {
        name: "zscalerthree",
        api: "api.zscalerthree.zsapi.net",
        token_domain: "zsloginzscalerthree.net",
    },
    OneApiCloud { name: "zscloud", api: "api.zscloud.zsapi.net", token_domain: "zsloginzscloud.net" },
    OneApiCloud {
        name: "zscalerbeta",
        api: "api.zscalerbeta.zsapi.net",
        token_domain: "zsloginzscalerbeta.net",
    },
    OneApiCloud {
        name: "zscalerten",
        api: "api.zscalerten.zsapi.net",
        token_domain: "zsloginzscalerten.net",
    },
];

/// The name and host of an API-key cloud, case aside.
pub(super) fn api_key(name: &str) -> Option<(&'static str, &'static str)> {
    API_KEY.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// The OneAPI cloud of that name, case aside; production when none is named.
pub(super) fn oneapi(name: Option<&str>) -> Option<OneApiCloud> {
    ONEAPI.into_iter().find(|cloud| cloud.name.eq_ignore_ascii_case(name.unwrap_or("production")))
}

/// The names of the API-key clouds, for messages.
pub(super) fn api_key_names() -> String {
    API_KEY.map(|(name, _)| name).join(", ")
}

/// The names of the OneAPI clouds, for messages.
pub(super) fn oneapi_names() -> String {
    ONEAPI.map(|cloud| cloud.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_key_cloud_has_its_own_host() {
        for name in [
            "zscaler",
            "zscalerone",
            "zscalertwo",
            "zscalerthree",
            "zscloud",
            "zscalerbeta",
            "zscalergov",
            "zscalerten",
        ] {
            assert_eq!(api_key(name), Some(own((name, format!("zsapi.{name}.net").as_str()))), "{name}");
        }
        assert_eq!(api_key("ZSPreview").unwrap().1, "admin.zspreview.net");
        for wrong in ["", "zscaler.net", "zscaler/", "evil", "zsapi.zscaler.net", "zscaler "] {
            assert_eq!(api_key(wrong), None, "{wrong:?}");
        }
    }

    fn own(cloud: (&str, &str)) -> (&'static str, &'static str) {
        (cloud.0.to_owned().leak(), cloud.1.to_owned().leak())
    }

    #[test]
    fn oneapi_hosts_follow_the_vendor_pattern_except_production_and_government() {
        let hosts = |name| oneapi(Some(name)).map(|c| (c.api, c.token_domain)).unwrap();
        assert_eq!(hosts("production"), ("api.zsapi.net", "zslogin.net"));
        assert_eq!(hosts("GOV"), ("api.zscalergov.net", "zidentitygov.net"));
        assert_eq!(hosts("govus"), ("api.zscalergov.us", "zidentitygov.us"));
        assert_eq!(oneapi(None), oneapi(Some("PRODUCTION")));
        for cloud in ONEAPI.into_iter().filter(|c| !["production", "gov", "govus"].contains(&c.name)) {
            assert_eq!(cloud.api, format!("api.{}.zsapi.net", cloud.name));
            assert_eq!(cloud.token_domain, format!("zslogin{}.net", cloud.name));
        }
        assert_eq!(oneapi(Some("evil.example/")), None);
    }
}

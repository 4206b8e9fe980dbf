//! Looks for secrets, raw and in the forms in which they slip out.

use std::{fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// The secrets, each with the bytes that would give it away.
#[derive(Default)]
pub(super) struct Hunt(Vec<(String, Vec<String>)>);

impl Hunt {
    pub(super) fn add(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= 8, "{name} is too short to be told from chance");
        self.0.push((name.to_owned(), forms(secret).iter().map(|form| latin(form)).collect()));
    }

    /// Every key of a key file, as it is written and as it is.
    pub(super) fn add_keys(&mut self, file: &Path) {
        let text = fs::read_to_string(file).expect("a key file");
        let keys: Vec<_> =
            text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(' ').next_back()).collect();
        let keys: Vec<_> = keys.into_iter().filter_map(|key| STANDARD.decode(key).ok()).collect();
        assert!(keys.len() >= 2, "root and wrapping key");
        keys.iter().filter(|key| key.len() == 32).for_each(|key| self.add("a key of the key file", key));
    }

    /// How many secrets it looks for.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn assert_absent(&self, place: &str, text: impl AsRef<[u8]>) {
        if let Some(name) = self.found(text.as_ref()) {
            panic!("{name} shows in {place}: {}", String::from_utf8_lossy(text.as_ref()));
        }
    }

    /// Looks through every file of a directory but the one that is to hold keys.
    pub(super) fn assert_absent_from_files(&self, dir: &Path) {
        let mut files = 0;
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() && path.file_name().is_some_and(|name| name != "key") {
                files += 1;
                let bytes = fs::read(&path).expect("a file");
                assert!(self.found(&bytes).is_none(), "{:?} lies in {}", self.found(&bytes), path.display());
            }
        }
        assert!(files > 0, "no file in {}", dir.display());
    }

    fn found(&self, text: &[u8]) -> Option<&str> {
        let text = latin(text);
        let shows = |form: &String| text.contains(form);
        self.0.iter().find(|(_, forms)| forms.iter().any(shows)).map(|(name, _)| name.as_str())
    }
}

/// Each byte as a character: the search for text is much faster than one for bytes.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = |pick: fn(u8) -> String| secret.iter().map(|byte| pick(*byte)).collect::<String>();
    let decimal: Vec<_> = secret.iter().map(u8::to_string).collect();
    let mut forms: Vec<Vec<u8>> = [
        hex(|byte| format!("{byte:02x}")),
        hex(|byte| format!("{byte:02X}")),
        hex(|byte| format!("%{byte:02X}")),
        percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        // As the debug form of bytes shows it, on one line and on many.
        decimal.join(", "),
        decimal.join(",\n"),
        secret.escape_ascii().to_string(),
    ]
    .map(String::into_bytes)
    .into();
    forms.extend([secret.to_vec(), secret.iter().rev().copied().collect()]);
    forms.extend([secret.to_ascii_lowercase(), secret.to_ascii_uppercase()]);
    (0..3).for_each(|before| forms.extend(within_base64(secret, before)));
    forms
}

/// What base64 makes of a secret with so many bytes before it, less what its neighbours decide.
fn within_base64(secret: &[u8], before: usize) -> [Vec<u8>; 2] {
    let whole = [&vec![0; before], secret].concat();
    [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)].map(|text| {
        let (from, to) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
        text.as_bytes()[from..to].to_vec()
    })
}

#[test]
fn every_form_is_found() {
    let secret = "s3cret/pass+word?";
    let mut hunt = Hunt::default();
    hunt.add("it", secret);
    let reversed: String = secret.chars().rev().collect();
    for text in [
        format!("pw={secret};"),
        format!("{:?}", secret.as_bytes()),
        STANDARD.encode(format!("user:{secret}:x")),
        URL_SAFE_NO_PAD.encode(format!("{{\"password\":\"{secret}\"}}")),
        percent_encode(secret.as_bytes(), NON_ALPHANUMERIC).to_string(),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        secret.to_uppercase(),
        reversed,
    ] {
        assert!(hunt.found(text.as_bytes()).is_some(), "{text}");
    }
    assert!(hunt.found(b"s3cret/pass").is_none());
}

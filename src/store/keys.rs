//! The key file: one root key and a ring of wrapping keys.

use std::path::{Path, PathBuf};

use aes_gcm::aead::Generate as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::{
    StoreError, files,
    vault::{Key, mac},
};

/// The key file's name in the state directory.
pub(super) const FILE: &str = "key";

/// The first line of a key file.
const HEADER: &str = "zia-mcp key file 1";

/// Names a wrapping key; taken from the key, so that a damaged one is noticed.
pub(super) type KeyId = [u8; 8];

/// The keys of one store.
pub(super) struct KeyRing {
    /// Digests and derived keys come from it; rotation leaves it.
    pub(super) root: Key,
    /// Every wrapping key, oldest first.
    wrapping: Vec<(KeyId, Key)>,
}

/// Reads the key file; makes one only where there is no data yet.
pub(super) fn load_or_create(path: &Path, no_data: bool) -> Result<KeyRing, StoreError> {
    if no_data && files::read_private(path)?.is_none() {
        files::write_private(path, &KeyRing::generate()?.to_text())?;
    }
    // Also after writing it: another process may have been first.
    load(path)
}

/// Reads the key file, which must be there.
pub(super) fn load(path: &Path) -> Result<KeyRing, StoreError> {
    let text = files::read_private(path)?.ok_or(StoreError::WrongKey)?;
    KeyRing::parse(&text)
}

/// Puts a key file in the place of the one that is there, whole or not at all.
pub(super) fn replace(path: &Path, ring: &KeyRing) -> Result<(), StoreError> {
    files::replace_private_by(&draft(path), path, &ring.to_text())
}

/// Removes what a killed [`replace`] may have left; nobody else may be in one.
pub(super) fn clean_up(path: &Path) -> Result<(), StoreError> {
    files::remove(&draft(path))
}

/// Beside the key file, under a name that the next one finds again: it holds keys.
fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

impl KeyRing {
    pub(super) fn generate() -> Result<Self, StoreError> {
        let (root, wrapping) = (new_key()?, new_key()?);
        Ok(Self { root, wrapping: vec![(key_id(&wrapping), wrapping)] })
    }

    fn to_text(&self) -> Zeroizing<String> {
        // Sized at the start: a growing buffer would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(4096 + 128 * self.wrapping.len()));
        text.push_str(HEADER);
        text.push_str(
            "\n# Whoever has this file can read the store. Keep it apart from backups of the store.\nroot ",
        );
        BASE64_STANDARD.encode_string(*self.root, &mut text);
        for (id, key) in &self.wrapping {
            text.push_str("\nwrap ");
            text.push_str(&hex(id));
            text.push(' ');
            BASE64_STANDARD.encode_string(**key, &mut text);
        }
        text.push('\n');
        text
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        if lines.next() != Some(HEADER) {
            return Err(StoreError::WrongKey);
        }
        let (mut root, mut wrapping) = (None, Vec::new());
        for line in lines {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            match *words.as_slice() {
                ["root", key] if root.is_none() => root = Some(read_key(key)?),
                ["wrap", id, key] => {
                    let key = read_key(key)?;
                    let own = key_id(&key);
                    if hex(&own) != id {
                        return Err(StoreError::WrongKey);
                    }
                    wrapping.push((own, key));
                }
                _ => return Err(StoreError::WrongKey),
            }
        }
        match root {
            Some(root) if !wrapping.is_empty() => Ok(Self { root, wrapping }),
            _ => Err(StoreError::WrongKey),
        }
    }

    /// The key that seals, unless the store says otherwise.
    pub(super) fn newest(&self) -> Result<KeyId, StoreError> {
        self.wrapping.last().map(|(id, _)| *id).ok_or(StoreError::WrongKey)
    }

    /// The key of this id.
    pub(super) fn wrapping(&self, id: &KeyId) -> Option<&Key> {
        self.wrapping.iter().find(|(own, _)| own == id).map(|(_, key)| key)
    }

    /// Whether there are others than the newest one.
    pub(super) fn has_old(&self) -> bool {
        self.wrapping.len() > 1
    }

    /// All but the newest one.
    pub(super) fn old(&self) -> Vec<KeyId> {
        self.wrapping.iter().rev().skip(1).map(|(id, _)| *id).collect()
    }

    /// The same, with a new key that is the newest one.
    pub(super) fn with_new(mut self) -> Result<Self, StoreError> {
        let key = new_key()?;
        self.wrapping.push((key_id(&key), key));
        Ok(self)
    }

    /// The same, without all but the newest one.
    pub(super) fn without_old(mut self) -> Self {
        self.wrapping.drain(..self.wrapping.len().saturating_sub(1));
        self
    }

    /// The same, with the keys of an earlier one.
    pub(super) fn knowing(mut self, earlier: &Self) -> Self {
        let gone: Vec<_> =
            earlier.wrapping.iter().filter(|(id, _)| self.wrapping(id).is_none()).cloned().collect();
        self.wrapping.splice(..0, gone);
        self
    }
}

/// 32 random bytes from the operating system.
pub(super) fn new_key() -> Result<Key, StoreError> {
    let bytes = <[u8; 32]>::try_generate();
    bytes.map(Zeroizing::new).map_err(|_| StoreError::unavailable("the system gave no random bytes"))
}

fn read_key(text: &str) -> Result<Key, StoreError> {
    let mut key = Zeroizing::new([0; 32]);
    let read = BASE64_STANDARD.decode_slice(text, key.as_mut_slice());
    if read == Ok(32) { Ok(key) } else { Err(StoreError::WrongKey) }
}

fn key_id(key: &Key) -> KeyId {
    let [a, b, c, d, e, f, g, h, ..] = mac(key, &[b"zia-mcp key id"]);
    [a, b, c, d, e, f, g, h]
}

/// An id as the key file has it.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back() {
        let ring = KeyRing::generate().unwrap();
        let read = KeyRing::parse(&ring.to_text()).unwrap();
        assert_eq!(*read.root, *ring.root);
        assert_eq!(read.wrapping, ring.wrapping);
    }

    #[test]
    fn a_new_key_is_the_newest_and_the_others_still_open() {
        let ring = KeyRing::generate().unwrap().with_new().unwrap();
        let read = KeyRing::parse(&ring.to_text()).unwrap();
        assert_eq!(read.newest().unwrap(), ring.wrapping[1].0);
        assert_eq!(read.wrapping(&ring.wrapping[0].0).unwrap(), &ring.wrapping[0].1);
        let (old, new) = (ring.wrapping[0].0, ring.wrapping[1].0);
        let left = read.without_old();
        assert!(left.wrapping(&old).is_none() && left.wrapping(&new).is_some() && !left.has_old());
        let all = left.knowing(&ring);
        assert!(all.wrapping(&old).is_some() && all.newest().unwrap() == new);
    }

    #[test]
    fn a_damaged_key_file_is_refused_wherever_it_is_cut_or_changed() {
        let text = KeyRing::generate().unwrap().to_text();
        let whole = text.trim_end();
        let keys = whole.find("\nroot ").unwrap() + 1;
        for cut in 0..whole.len() {
            assert!(KeyRing::parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let wrap = whole.find("wrap ").unwrap();
        for at in wrap + 5..whole.len() {
            let mut bytes = whole.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(KeyRing::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "changed at {at}");
        }
        assert!(KeyRing::parse(&whole[keys..]).is_err());
    }
}

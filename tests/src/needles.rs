//! What must not be found anywhere, in every way in which a log could hold it.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};

/// Texts and bytes to look for; letters' case does not count.
pub struct Needles {
    names: Vec<&'static str>,
    automaton: AhoCorasick,
}

impl Needles {
    /// Looks for each secret, which has a name for the report.
    pub fn new(secrets: &[(&'static str, &[u8])]) -> Self {
        let (mut names, mut patterns) = (Vec::new(), Vec::new());
        for (name, secret) in secrets {
            for form in forms(secret) {
                names.push(*name);
                patterns.push(form);
            }
        }
        let automaton = AhoCorasickBuilder::new().ascii_case_insensitive(true).build(patterns);
        Self { names, automaton: automaton.expect("a handful of short patterns") }
    }

    /// The names of what `text` holds, as often as it holds it.
    pub fn found_in(&self, text: &[u8]) -> Vec<&'static str> {
        self.automaton
            .find_overlapping_iter(text)
            .map(|found| self.names[found.pattern().as_usize()])
            .collect()
    }
}

/// As it is, as hex, as base64 at each of the three places that it can have among other bytes, and as Rust prints it.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), HEXLOWER.encode(secret).into_bytes()];
    for shift in 0..3 {
        let among = [&[0; 2][..shift], secret].concat();
        for alphabet in [BASE64_NOPAD, BASE64URL_NOPAD] {
            let encoded = alphabet.encode(&among).into_bytes();
            // The characters at both ends depend on the neighbours too.
            forms.push(encoded[shift * 4 / 3 + usize::from(shift > 0)..among.len() * 4 / 3].to_vec());
        }
    }
    let list = format!("{secret:?}");
    forms.push(list.trim_matches(['[', ']']).into());
    let escaped = format!("{:?}", bytes::Bytes::copy_from_slice(secret));
    forms.push(escaped.trim_start_matches("b\"").trim_end_matches('"').into());
    forms.sort();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, HEXUPPER};

    #[test]
    fn a_secret_is_found_in_every_form_and_place() {
        let secret = b"\x00Rosa\xff-\x17secret";
        let needles = Needles::new(&[("it", secret)]);
        let among = |before: &[u8]| [before, secret, b"after"].concat();
        let mut texts =
            vec![among(b"x"), HEXUPPER.encode(&among(b"y")).into(), format!("{:?}", among(b"z")).into()];
        for before in [&b""[..], b"a", b"ab", b"abc"] {
            texts.push(BASE64.encode(&among(before)).into());
            texts.push(BASE64URL_NOPAD.encode(&among(before)).into());
        }
        texts.push(format!("{:?}", bytes::Bytes::from(among(b"q"))).into());
        for text in texts {
            assert!(!needles.found_in(&text).is_empty(), "{}", String::from_utf8_lossy(&text));
        }
        assert!(needles.found_in(b"Rosa secret").is_empty());
    }
}

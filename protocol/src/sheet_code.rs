//! An account secret as a code that a person can type from paper: groups of five symbols, each with a check of its
//! own, so that a typo is found in its group. Not here: the sheet around it (`sealcare-client`).

use zeroize::Zeroizing;

use crate::{
    error::CodeError,
    keys::AccountSecret,
    transcript::{Label, labeled_hash},
};

/// Crockford's base32: digits and capitals without I, L, O and U. What looks like a 0 or 1 is read as such.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Groups of a code; the last one checks them all.
const GROUPS: usize = 14;
/// Symbols of a group that carry something, before its check symbol.
const CARRIED: usize = 4;
const GROUP_SYMBOLS: usize = CARRIED + 1;
const GROUPS_A_LINE: usize = 5;
const VERSION: u8 = 1;
/// Bytes of a typed code that are looked at.
const TYPED_BYTES_MAX: usize = 1_024;
const SYMBOL_BITS: usize = 5;
const SECRET_BITS: usize = 256;
/// Version in four bits, then the secret: 52 symbols.
const CARRIED_BITS: usize = (GROUPS - 1) * CARRIED * SYMBOL_BITS;
/// The primitive polynomial x⁵ + x² + 1 of GF(32).
const POLYNOMIAL: u8 = 0b10_0101;

/// The symbols of a code, each below 32.
type Symbols = Zeroizing<Vec<u8>>;

impl AccountSecret {
    /// The code: three lines of up to five groups, with dashes between.
    pub fn to_code(&self) -> Zeroizing<String> {
        let symbols = self.symbols();
        let mut code = Zeroizing::new(String::with_capacity(GROUPS * (GROUP_SYMBOLS + 1)));
        for (index, carried) in symbols.chunks(CARRIED).enumerate() {
            if index > 0 {
                code.push(if index % GROUPS_A_LINE == 0 { '\n' } else { '-' });
            }
            for symbol in carried.iter().chain([&check(index, carried)]) {
                code.push(char::from(ALPHABET[usize::from(*symbol)]));
            }
        }
        code
    }

    /// From a code as a person types it: capitals or not, dashes, spaces and line breaks anywhere between groups.
    ///
    /// # Errors
    /// [`CodeError`], which names the groups that are wrong and nothing of what they hold.
    pub fn from_code(typed: &str) -> Result<Self, CodeError> {
        let groups = groups(typed)?;
        let mut symbols = Zeroizing::new(Vec::with_capacity(GROUPS * CARRIED));
        let mut mistyped = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            match read_group(index, group) {
                Some(carried) => symbols.extend_from_slice(carried.as_ref()),
                None => mistyped.push(index + 1),
            }
        }
        if !mistyped.is_empty() {
            return Err(CodeError::Mistyped { groups: mistyped });
        }
        let secret = Self::from_symbols(&symbols)?;
        if secret.symbols() == symbols { Ok(secret) } else { Err(CodeError::Checksum) }
    }

    /// What the groups carry: version and secret, then the checksum.
    fn symbols(&self) -> Symbols {
        let checksum = labeled_hash(Label::SheetCode, &[&[VERSION], self.as_bytes()]);
        let bit = |place: usize| match place {
            0..4 => VERSION >> (3 - place) & 1,
            4..CARRIED_BITS => bit_of(self.as_bytes(), place - 4),
            _ => bit_of(&checksum, place - CARRIED_BITS),
        };
        let symbol = |index: usize| (0..SYMBOL_BITS).fold(0, |s, i| s << 1 | bit(index * SYMBOL_BITS + i));
        Zeroizing::new((0..GROUPS * CARRIED).map(symbol).collect())
    }

    fn from_symbols(symbols: &[u8]) -> Result<Self, CodeError> {
        let bit = |place: usize| symbols[place / SYMBOL_BITS] >> (SYMBOL_BITS - 1 - place % SYMBOL_BITS) & 1;
        if (0..4).fold(0, |version, place| version << 1 | bit(place)) != VERSION {
            return Err(CodeError::Version);
        }
        let mut secret = Zeroizing::new([0; SECRET_BITS / 8]);
        for (place, byte) in secret.iter_mut().enumerate() {
            *byte = (0..8).fold(0, |byte, i| byte << 1 | bit(4 + place * 8 + i));
        }
        Ok(Self::from_bytes(&secret))
    }
}

fn bit_of(bytes: &[u8], place: usize) -> u8 {
    bytes[place / 8] >> (7 - place % 8) & 1
}

/// The typed groups; one run without anything between is cut into groups.
fn groups(typed: &str) -> Result<Vec<Zeroizing<String>>, CodeError> {
    if typed.len() > TYPED_BYTES_MAX {
        return Err(CodeError::Groups);
    }
    let is_between = |c: char| c.is_whitespace() || c == '-';
    let parts: Vec<&str> = typed.split(is_between).filter(|part| !part.is_empty()).collect();
    if let [run] = parts[..]
        && run.is_ascii()
        && run.len() == GROUPS * GROUP_SYMBOLS
    {
        let group = |start: usize| Zeroizing::new(run[start..start + GROUP_SYMBOLS].to_owned());
        return Ok((0..run.len()).step_by(GROUP_SYMBOLS).map(group).collect());
    }
    if parts.len() != GROUPS {
        return Err(CodeError::Groups);
    }
    Ok(parts.into_iter().map(|part| Zeroizing::new(part.to_owned())).collect())
}

/// What the group at `index` carries; `None` if it is mistyped.
fn read_group(index: usize, group: &str) -> Option<Zeroizing<[u8; CARRIED]>> {
    let symbols = group.chars().map(value).collect::<Option<Vec<u8>>>().map(Zeroizing::new)?;
    let (carried, checked) = symbols.split_first_chunk::<CARRIED>()?;
    (checked == [check(index, carried)]).then(|| Zeroizing::new(*carried))
}

fn value(typed: char) -> Option<u8> {
    let symbol = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET.iter().position(|known| char::from(*known) == symbol)?;
    u8::try_from(place).ok()
}

/// A weighted sum over GF(32), the group's place included: it finds each single typo, each exchange of two symbols
/// of a group, and each exchange of two groups.
fn check(index: usize, carried: &[u8]) -> u8 {
    let place = u8::try_from(index + 1).expect("a code has 14 groups");
    carried
        .iter()
        .rev()
        .chain([&place])
        .fold((0, 1), |(sum, weight), symbol| {
            let weight = times_x(weight);
            (sum ^ times(weight, *symbol), weight)
        })
        .0
}

fn times_x(value: u8) -> u8 {
    let doubled = value << 1;
    if doubled & 0b10_0000 == 0 { doubled } else { doubled ^ POLYNOMIAL }
}

fn times(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..SYMBOL_BITS {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        a = times_x(a);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> AccountSecret {
        AccountSecret::from_bytes(&std::array::from_fn(|i| u8::try_from(i * 37 % 256).unwrap()))
    }

    fn code() -> Vec<String> {
        secret().to_code().split(['-', '\n']).map(str::to_owned).collect()
    }

    fn read(groups: &[String]) -> Result<[u8; 32], CodeError> {
        AccountSecret::from_code(&groups.join(" ")).map(|secret| *secret.as_bytes())
    }

    #[test]
    fn a_code_is_read_back_however_it_is_typed() {
        assert_eq!(code().len(), GROUPS);
        for typed in [
            secret().to_code().to_string(),
            secret().to_code().to_lowercase().replace('0', "o").replace('1', "l"),
            code().concat(),
            format!("  {}\r\n", code().join(" - ")),
        ] {
            assert_eq!(AccountSecret::from_code(&typed).unwrap().as_bytes(), secret().as_bytes());
        }
    }

    #[test]
    fn each_typo_is_found_in_its_group() {
        for (index, group) in code().iter().enumerate() {
            let refused = |typed: String| {
                let mut groups = code();
                groups[index] = typed;
                assert_eq!(read(&groups), Err(CodeError::Mistyped { groups: vec![index + 1] }));
            };
            for place in 0..GROUP_SYMBOLS {
                for symbol in ALPHABET.iter().filter(|s| **s != group.as_bytes()[place]) {
                    let mut typed = group.clone();
                    typed.replace_range(place..=place, &char::from(*symbol).to_string());
                    refused(typed);
                }
            }
            for place in 1..GROUP_SYMBOLS {
                let mut typed = group.clone().into_bytes();
                typed.swap(place - 1, place);
                if typed != group.as_bytes() {
                    refused(String::from_utf8(typed).unwrap());
                }
            }
            refused(group[1..].to_owned());
            refused(format!("{group}0"));
            refused(group.replace(&group[..1], "U"));
        }
    }

    #[test]
    fn groups_that_changed_places_are_named() {
        let mut groups = code();
        groups.swap(2, 7);
        assert_eq!(read(&groups), Err(CodeError::Mistyped { groups: vec![3, 8] }));
    }

    #[test]
    fn missing_groups_other_versions_and_other_secrets_are_refused() {
        assert_eq!(read(&code()[1..]), Err(CodeError::Groups));
        assert_eq!(AccountSecret::from_code("").err(), Some(CodeError::Groups));
        assert_eq!(AccountSecret::from_code(&"é ".repeat(20_000)).err(), Some(CodeError::Groups));
        let with = |index: usize, carried: [u8; CARRIED]| {
            let mut groups = code();
            let symbols = [&carried[..], &[check(index, &carried)]].concat();
            let symbols = symbols.into_iter().map(|symbol| ALPHABET[usize::from(symbol)]);
            groups[index] = String::from_utf8(symbols.collect()).unwrap();
            read(&groups)
        };
        assert_eq!(with(0, [0; CARRIED]), Err(CodeError::Version));
        assert_eq!(with(5, [9; CARRIED]), Err(CodeError::Checksum), "checks that fit by chance");
    }

    #[test]
    fn an_error_shows_nothing_of_the_code() {
        let mut groups = code();
        groups[4] = "ZZZZZ".into();
        let shown = read(&groups).unwrap_err();
        assert_eq!(shown.to_string(), "group 5 of the code is mistyped");
        let several = CodeError::Mistyped { groups: vec![1, 2, 9] };
        assert_eq!(several.to_string(), "groups 1, 2, 9 of the code are mistyped");
    }
}

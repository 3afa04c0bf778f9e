//! Whether a file is about the account's person. Not here: what is done about it (`commands::import`).

use sealcare_records::{ImportReport, Person};

/// Whom a file names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    /// Nobody, or as far as it says the account's person.
    OwnPerson,
    /// Somebody else.
    OtherPerson,
    /// More than one person.
    SeveralPeople,
}

impl Subject {
    /// Compares the person of a file with the account's `name` and `birth_date` (`YYYY-MM-DD`).
    ///
    /// Institutions spell names differently: one name in common is enough where the birth date does not
    /// contradict.
    pub(crate) fn of(report: &ImportReport, name: &str, birth_date: &str) -> Self {
        match &report.person {
            _ if report.people > 1 => Self::SeveralPeople,
            Some(person) if is_other(person, name, birth_date) => Self::OtherPerson,
            _ => Self::OwnPerson,
        }
    }
}

fn is_other(person: &Person, name: &str, birth_date: &str) -> bool {
    // A file may give the year or month only.
    let other_date = person.birth_date.as_deref().is_some_and(|date| !birth_date.starts_with(date));
    let other_name = person.name.as_deref().is_some_and(|theirs| !shares_a_word(theirs, name));
    other_date || other_name
}

fn shares_a_word(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let lower = text.to_lowercase();
        lower
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.chars().count() > 1)
            .map(str::to_owned)
            .collect()
    };
    let (one, other) = (words(one), words(other));
    one.is_empty() || other.is_empty() || one.iter().any(|word| other.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: Option<&str>, birth_date: Option<&str>, people: u64) -> Subject {
        let person = Person { name: name.map(str::to_owned), birth_date: birth_date.map(str::to_owned) };
        let report = ImportReport { person: Some(person), people, ..ImportReport::default() };
        Subject::of(&report, "Ana Maria Silva", "1990-05-20")
    }

    #[test]
    fn what_does_not_contradict_is_the_own_person() {
        assert_eq!(Subject::of(&ImportReport::default(), "Ana Silva", "1990-05-20"), Subject::OwnPerson);
        for (name, date) in [
            (Some("SILVA, ana"), Some("1990-05-20")),
            (Some("A. Silva-Costa"), None),
            (None, Some("1990-05")),
            (Some("安"), Some("1990")),
            (None, None),
        ] {
            assert_eq!(subject(name, date, 1), Subject::OwnPerson, "{name:?} {date:?}");
        }
    }

    #[test]
    fn another_name_or_birth_date_is_another_person() {
        for (name, date) in [
            (Some("Ana Silva"), Some("1990-05-21")),
            (Some("Ben Costa"), Some("1990-05-20")),
            (Some("Ben Costa"), None),
            (None, Some("1991")),
        ] {
            assert_eq!(subject(name, date, 1), Subject::OtherPerson, "{name:?} {date:?}");
        }
    }

    #[test]
    fn several_people_are_never_one() {
        assert_eq!(subject(Some("Ana Silva"), None, 2), Subject::SeveralPeople);
    }
}

//! How typed values lie inside kept rows: ids as hexadecimal, addresses as text, instants as milliseconds.
//! Not here: the rows (`grant`, `account`) or their encryption (the vault).

use serde::{Deserializer, Serializer};

/// Ids as hexadecimal.
pub(crate) mod hex {
    use super::{Deserializer, Serializer};
    use serde::{Deserialize as _, de::Error as _};

    pub(crate) trait Id: Sized {
        fn to_text(&self) -> String;
        fn from_text(text: &str) -> Option<Self>;
    }

    macro_rules! ids {
        ($($name:ident),*) => {$(
            impl Id for sealcare_protocol::$name {
                fn to_text(&self) -> String {
                    self.to_hex()
                }
                fn from_text(text: &str) -> Option<Self> {
                    Self::from_hex(text).ok()
                }
            }
        )*};
    }
    ids!(OrganizationId, SenderId, SessionId);

    pub(crate) fn serialize<S: Serializer>(id: &impl Id, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&id.to_text())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Id>(deserializer: D) -> Result<T, D::Error> {
        T::from_text(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("id"))
    }
}

/// What has one text form.
pub(crate) mod text {
    use super::{Deserializer, Serializer};
    use serde::{Deserialize as _, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(
        value: &impl std::fmt::Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: std::str::FromStr,
    {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("text"))
    }
}

/// Instants as milliseconds since 1970.
pub(crate) mod millis {
    use super::{Deserializer, Serializer};
    use sealcare_protocol::Timestamp;
    use serde::Deserialize as _;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_millis())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}

/// Instants that may be missing.
pub(crate) mod maybe_millis {
    use super::{Deserializer, Serializer};
    use sealcare_protocol::Timestamp;
    use serde::{Deserialize as _, Serialize as _};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Timestamp::as_millis).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Timestamp::from_millis))
    }
}

/// A scope's types as their names.
pub(crate) mod types {
    use std::collections::BTreeSet;

    use super::{Deserializer, Serializer};
    use sealcare_protocol::TypeName;
    use serde::{Deserialize as _, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(
        types: &BTreeSet<TypeName>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(types.iter().map(TypeName::as_str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<TypeName>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().map(|name| name.parse().map_err(|_| D::Error::custom("type"))).collect()
    }
}

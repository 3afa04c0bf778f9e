//! Rows as JSON: how this crate's state is written into sealed values and read back. What a row means is its
//! owner's matter.

use sealcare_protocol::{Succession, Successions};
use sealcare_vault::{ReadTransaction, Space, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::error::{ProviderError, Result};

/// What is kept in one value.
pub(crate) trait Kept: DeserializeOwned + Serialize {
    /// For errors.
    const NAME: &'static str;

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("rows have string keys and finite numbers only"))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|_| ProviderError::Damaged(Self::NAME))
    }
}

pub(crate) fn get<T: Kept>(tx: &ReadTransaction<'_>, space: Space, key: &[u8]) -> Result<Option<T>> {
    tx.get(space, key)?.map(|bytes| T::decode(&bytes)).transpose()
}

pub(crate) fn put<T: Kept>(tx: &mut WriteTransaction<'_>, space: Space, key: &[u8], row: &T) -> Result<()> {
    Ok(tx.put(space, key, &row.encode())?)
}

pub(crate) fn put_wrapped<T: Kept>(
    tx: &mut WriteTransaction<'_>,
    wrapping: &[u8],
    space: Space,
    key: &[u8],
    row: &T,
) -> Result<()> {
    Ok(tx.put_wrapped(wrapping, space, key, &row.encode())?)
}

/// A big-endian number in a value of 8 bytes.
pub(crate) fn number(bytes: &[u8]) -> Result<u64> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| ProviderError::Damaged("number"))
}

/// Adds one to a counter and returns what it was.
pub(crate) fn count_up(tx: &mut WriteTransaction<'_>, space: Space, name: &[u8]) -> Result<u64> {
    let count = tx.get(space, name)?.map_or(Ok(0), |bytes| number(&bytes))?;
    tx.put(space, name, &count.saturating_add(1).to_be_bytes())?;
    Ok(count)
}

/// A link of the chain of roots, which is public.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptLink {
    #[serde(with = "hex")]
    record: Vec<u8>,
    #[serde(with = "hex")]
    signature: Vec<u8>,
}

impl KeptLink {
    /// Every link of a chain.
    pub(crate) fn all_of(chain: &Successions) -> Vec<Self> {
        let kept =
            |link: &Succession| Self { record: link.record().to_vec(), signature: link.signature().to_vec() };
        chain.links().iter().map(kept).collect()
    }

    /// The chain that the links make, checked.
    pub(crate) fn chain(links: &[Self]) -> Result<Successions> {
        let parse = |link: &Self| Succession::from_parts(&link.record, &link.signature);
        let links = links.iter().map(parse).collect::<Result<_, sealcare_protocol::Error>>()?;
        Ok(Successions::new(links)?)
    }
}

/// Bytes as lower-case hexadecimal.
pub(crate) mod hex {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use zeroize::Zeroizing;

    pub(crate) fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(HEXLOWER.encode(bytes.as_ref())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(
        from: D,
    ) -> Result<T, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| D::Error::custom("hexadecimal"))?;
        T::try_from(bytes).map_err(|_| D::Error::custom("length"))
    }
}

//! A record's headers, read where they lie, as the protocol has them: how many, then of each the
//! length of its name, the name, the length of its value or -1, the value. Numbers are zigzag varints.

#[cfg(test)]
mod tests;

/// The headers of one record.
#[derive(Clone, Copy)]
pub struct RawHeaders<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// More are taken for broken, as librdkafka does.
const MOST: i64 = 100_000;

impl<'a> RawHeaders<'a> {
    /// Where they are broken anywhere there are none, as librdkafka has it.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::whole(bytes).unwrap_or(Self { count: 0, bytes: &[] })
    }

    fn whole(mut bytes: &'a [u8]) -> Option<Self> {
        let count = number(&mut bytes).filter(|count| (0..=MOST).contains(count))?;
        let headers = Self { count: usize::try_from(count).ok()?, bytes };
        (0..count).try_for_each(|_| header(&mut bytes).map(drop))?;
        Some(headers)
    }

    /// Names and values in their order; a null value is `None`.
    pub fn each(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| header(&mut rest))
    }
}

fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let length = number(rest)?;
    let name = take(rest, length)?;
    let value = match number(rest)? {
        -1 => None,
        length => Some(take(rest, length)?),
    };
    Some((name, value))
}

fn take<'a>(rest: &mut &'a [u8], length: i64) -> Option<&'a [u8]> {
    let (taken, others) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = others;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<i64> {
    let mut zigzag = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, others) = rest.split_first()?;
        *rest = others;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    None
}

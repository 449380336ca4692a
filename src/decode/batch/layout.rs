//! The layout of a batch, read without a general decoder's many steps. bincode's own decoder defines it;
//! a test holds the two against each other on sound and on damaged bytes.

use super::CompactEvent;
use crate::decode::json;

/// What was not read yet.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// `None` where it is damaged; then nothing more can be read.
    #[inline]
    pub fn event(&mut self) -> Option<CompactEvent<'a>> {
        Some(CompactEvent {
            organization: self.text()?,
            source: self.text()?,
            id: self.text()?,
            event_type: self.text()?,
            time_ms: self.signed()?,
            region: self.option(Self::text)?,
            service: self.option(Self::text)?,
            name: self.option(Self::text)?,
            published: self.option(Self::boolean)?,
            version: self.option(Self::signed)?,
            quantity: self.option(Self::number)?,
        })
    }

    /// One byte up to 250; else a byte that says how many follow, the least significant one first.
    #[inline(always)]
    pub fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ 0..=250 => Some(small.into()),
            251 => Some(u16::from_le_bytes(self.take()?).into()),
            252 => Some(u32::from_le_bytes(self.take()?).into()),
            253 => Some(u64::from_le_bytes(self.take()?)),
            _ => None,
        }
    }

    /// 0, -1, 1, -2 … as 0, 1, 2, 3 …
    #[inline(always)]
    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        json::utf8(text)
    }

    #[inline(always)]
    fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    #[inline(always)]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.boolean()? { read(self).map(Some) } else { Some(None) }
    }

    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}

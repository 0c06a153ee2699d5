//! Views of the values of a decoded document.

use super::scan::{Span, int_at, string_at};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Int,
    /// A string of bytes.
    Bytes,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

/// One value of a [`Document`](super::Document).
#[derive(Clone, Copy)]
pub struct Value<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
    index: usize,
}

impl core::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} \"{}\"", self.kind(), self.raw().escape_ascii())
    }
}

impl<'a> Value<'a> {
    pub(super) fn new(bytes: &'a [u8], spans: &'a [Span], index: usize) -> Self {
        Self { bytes, spans, index }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.raw().first() {
            Some(b'i') => Kind::Int,
            Some(b'l') => Kind::List,
            Some(b'd') => Kind::Dict,
            _ => Kind::Bytes,
        }
    }

    /// Where it begins in the input, in bytes.
    #[must_use]
    pub fn at(&self) -> usize {
        self.span().start as usize
    }

    /// Its encoded form, byte for byte as it was found.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        let Span { start, end } = self.span();
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        let raw = self.raw();
        (raw.first() == Some(&b'i')).then(|| int_at(raw, 0).ok())?.map(|(int, _)| int)
    }

    /// The content, if it is a string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        string_at(self.raw(), 0).ok().map(|(content, _)| content)
    }

    /// The content, if it is a string of valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<List<'a>> {
        (self.kind() == Kind::List).then_some(List(*self))
    }

    /// The dictionary, if it is one.
    #[must_use]
    pub fn as_dict(&self) -> Option<Dict<'a>> {
        (self.kind() == Kind::Dict).then_some(Dict(*self))
    }

    fn span(&self) -> Span {
        self.spans.get(self.index).copied().unwrap_or(Span { start: 0, end: 0 })
    }

    /// The values inside it, keys and values of a dictionary alternating.
    fn children(self) -> Children<'a> {
        Children { next: Self { index: self.index + 1, ..self }, end: self.span().end }
    }

    /// The number of the first value after this one that is not inside it.
    fn after(&self) -> usize {
        let end = self.span().end;
        let inside = |span: &Span| span.start < end;
        // Most containers are small: doubling steps find the end near by, a search within the
        // last step makes it exact.
        let mut low = self.index + 1;
        let mut step = 1;
        while self.spans.get(low + step).is_some_and(inside) {
            low += step;
            step *= 2;
        }
        let high = (low + step).min(self.spans.len());
        low + self.spans.get(low..high).unwrap_or_default().partition_point(inside)
    }
}

struct Children<'a> {
    next: Value<'a>,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let value = self.next;
        if value.spans.get(value.index)?.start >= self.end {
            return None;
        }
        self.next.index = value.after();
        Some(value)
    }
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(Value<'a>);

impl<'a> List<'a> {
    /// Its elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.0.children()
    }

    /// The list as a value.
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        self.0
    }
}

/// A dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'a>(Value<'a>);

impl<'a> Dict<'a> {
    /// The value of `key`: the first one, should the key be there twice.
    ///
    /// Takes time linear in the number of entries.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        let key = key.as_ref();
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The value of `key`, if it is a number.
    #[must_use]
    pub fn int(&self, key: impl AsRef<[u8]>) -> Option<i64> {
        self.get(key)?.as_int()
    }

    /// The value of `key`, if it is a string.
    #[must_use]
    pub fn bytes(&self, key: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.get(key)?.as_bytes()
    }

    /// The value of `key`, if it is a string of valid UTF-8.
    #[must_use]
    pub fn str(&self, key: impl AsRef<[u8]>) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    /// The value of `key`, if it is a list.
    #[must_use]
    pub fn list(&self, key: impl AsRef<[u8]>) -> Option<List<'a>> {
        self.get(key)?.as_list()
    }

    /// The value of `key`, if it is a dictionary.
    #[must_use]
    pub fn dict(&self, key: impl AsRef<[u8]>) -> Option<Dict<'a>> {
        self.get(key)?.as_dict()
    }

    /// Keys with their values, in the order of the input.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        let mut children = self.0.children();
        core::iter::from_fn(move || {
            let key = children.next()?.as_bytes()?;
            Some((key, children.next()?))
        })
    }

    /// A key that is there twice, if there is one: the value of its second appearance.
    ///
    /// Needless if [`Document::disorder`](super::Document::disorder) is `None`.
    #[must_use]
    pub fn duplicate(&self) -> Option<Value<'a>> {
        let mut entries: alloc::vec::Vec<_> = self.iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        let mut pairs = entries.windows(2);
        pairs.find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1)
    }

    /// The dictionary as a value.
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        self.0
    }
}

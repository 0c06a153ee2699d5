//! The scanner: walks over an input once, checks it, and reports where its values begin and end.

use alloc::vec::Vec;

use super::{BencodeError, ErrorKind, Limits};

/// Where a value lies in the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Who is told of values, in the order in which they begin.
pub(super) trait Sink {
    /// A value begins; its end is not known yet if it is a list or dictionary.
    fn open(&mut self, span: Span);
    /// The value that was opened as number `index` ends.
    fn close(&mut self, index: usize, end: u32);
}

/// Forgets all: for counting.
pub(super) struct Count;

impl Sink for Count {
    fn open(&mut self, _: Span) {}
    fn close(&mut self, _: usize, _: u32) {}
}

impl Sink for Vec<Span> {
    fn open(&mut self, span: Span) {
        self.push(span);
    }

    fn close(&mut self, index: usize, end: u32) {
        if let Some(span) = self.get_mut(index) {
            span.end = end;
        }
    }
}

/// What one pass found.
pub(super) struct Outline {
    /// Bytes of the value.
    pub(super) len: usize,
    /// Values in it, itself included.
    pub(super) tokens: usize,
    /// The first key out of order.
    pub(super) disorder: Option<usize>,
}

/// A list or dictionary that has not ended yet.
struct Open<'a> {
    index: usize,
    state: State<'a>,
}

enum State<'a> {
    List,
    /// A key or the end comes next; the key before it.
    Key(Option<&'a [u8]>),
    /// The value of this key comes next.
    Value(&'a [u8]),
}

pub(super) fn scan(
    bytes: &[u8],
    limits: Limits,
    sink: &mut impl Sink,
) -> Result<Outline, BencodeError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(BencodeError { kind: ErrorKind::Size, at: 0 });
    }
    let mut at = 0;
    let mut tokens = 0;
    let mut disorder = None;
    let mut stack: Vec<Open<'_>> = Vec::new();
    loop {
        let start = at;
        let error = |kind| BencodeError { kind, at: start };
        let &byte = bytes.get(at).ok_or(error(ErrorKind::End))?;
        if byte == b'e'
            && let Some(open) = stack.pop()
        {
            if let State::Value(_) = open.state {
                return Err(error(ErrorKind::MissingValue));
            }
            at += 1;
            sink.close(open.index, offset(at));
        } else {
            if tokens == limits.tokens {
                return Err(error(ErrorKind::TokenLimit));
            }
            let is_digit = byte.is_ascii_digit();
            if !is_digit && matches!(stack.last(), Some(Open { state: State::Key(_), .. })) {
                return Err(error(ErrorKind::Key));
            }
            let mut string = None;
            let mut opened = None;
            match byte {
                b'0'..=b'9' => {
                    let (content, end) = string_at(bytes, at)?;
                    string = Some(content);
                    at = end;
                }
                b'i' => at = int_at(bytes, at)?.1,
                b'l' | b'd' => {
                    if stack.len() == limits.depth {
                        return Err(error(ErrorKind::Depth));
                    }
                    let state = if byte == b'l' { State::List } else { State::Key(None) };
                    opened = Some(Open { index: tokens, state });
                    at += 1;
                }
                _ => return Err(error(ErrorKind::Byte)),
            }
            sink.open(Span { start: offset(start), end: offset(at) });
            tokens += 1;
            if let Some(parent) = stack.last_mut() {
                parent.state = match (&parent.state, string) {
                    (State::List, _) => State::List,
                    (State::Value(key), _) => State::Key(Some(key)),
                    (State::Key(before), Some(key)) => {
                        if before.is_some_and(|before| before >= key) {
                            disorder = disorder.or(Some(start));
                        }
                        State::Value(key)
                    }
                    (State::Key(_), None) => return Err(error(ErrorKind::Key)),
                };
            }
            if let Some(open) = opened {
                stack.push(open);
                continue;
            }
        }
        if stack.is_empty() {
            return Ok(Outline { len: at, tokens, disorder });
        }
    }
}

/// An offset as it is stored; the input was checked to be shorter than 4 GiB.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The content of the string that begins at `at`, and where the string ends.
pub(super) fn string_at(bytes: &[u8], at: usize) -> Result<(&[u8], usize), BencodeError> {
    let error = |kind, at| BencodeError { kind, at };
    let mut len: usize = 0;
    let mut colon = at;
    loop {
        match bytes.get(colon) {
            Some(digit @ b'0'..=b'9') => {
                len = len.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            }
            Some(b':') if colon > at => break,
            Some(_) => return Err(error(ErrorKind::Length, colon)),
            None => return Err(error(ErrorKind::End, colon)),
        }
        colon += 1;
    }
    if bytes[at] == b'0' && colon - at > 1 {
        return Err(error(ErrorKind::Length, at));
    }
    let rest = &bytes[colon + 1..];
    let content = rest.get(..len).ok_or(error(ErrorKind::LengthOverflow, at))?;
    Ok((content, colon + 1 + len))
}

/// The integer that begins at `at`, and where it ends.
pub(super) fn int_at(bytes: &[u8], at: usize) -> Result<(i64, usize), BencodeError> {
    let error = |kind, at| BencodeError { kind, at };
    let negative = bytes.get(at + 1) == Some(&b'-');
    let digits = at + 1 + usize::from(negative);
    let mut end = digits;
    // Counted below zero, where there is one number more.
    let mut value: Option<i64> = Some(0);
    loop {
        match bytes.get(end) {
            Some(digit @ b'0'..=b'9') => {
                value = value
                    .and_then(|value| value.checked_mul(10))
                    .and_then(|value| value.checked_sub(i64::from(digit - b'0')));
            }
            Some(b'e') => break,
            Some(_) => return Err(error(ErrorKind::Int, end)),
            None => return Err(error(ErrorKind::End, end)),
        }
        end += 1;
    }
    let leading_zero = bytes.get(digits) == Some(&b'0') && (end - digits > 1 || negative);
    if end == digits || leading_zero {
        return Err(error(ErrorKind::Int, at));
    }
    let value = if negative { value } else { value.and_then(i64::checked_neg) };
    Ok((value.ok_or(error(ErrorKind::IntOverflow, at))?, end + 1))
}

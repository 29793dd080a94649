//! A body as text, also if some of its lines are not UTF-8.

use std::borrow::Cow;

/// A body and its text, which is as long: each byte that is not UTF-8 is a `?` there. A good body is borrowed; only a
/// bad one is copied.
pub(super) struct Utf8Body<'a> {
    body: &'a [u8],
    text: Cow<'a, str>,
}

impl<'a> Utf8Body<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(body) {
            return Self { body, text: Cow::Borrowed(text) };
        }
        let mut text = String::with_capacity(body.len());
        for chunk in body.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '?'));
        }
        Self { body, text: Cow::Owned(text) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The offset of the first wrong byte in `start..end`: where body and text differ.
    pub(super) fn invalid_in(&self, start: usize, end: usize) -> Option<usize> {
        match &self.text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => {
                let pairs = self.body[start..end].iter().zip(&text.as_bytes()[start..end]);
                pairs.into_iter().position(|(byte, shown)| byte != shown).map(|found| start + found)
            }
        }
    }
}

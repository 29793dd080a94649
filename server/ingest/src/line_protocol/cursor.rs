//! Where tokens, strings and lines end.

use memchr::{memchr, memchr2};

pub(super) const COMMA: u8 = 1;
pub(super) const SPACE: u8 = 2;
pub(super) const EQUALS: u8 = 4;
pub(super) const NEWLINE: u8 = 8;
const BACKSLASH: u8 = 16;

/// The class of each byte that means something outside of strings.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    class[b',' as usize] = COMMA;
    class[b' ' as usize] = SPACE;
    class[b'=' as usize] = EQUALS;
    class[b'\n' as usize] = NEWLINE;
    class[b'\\' as usize] = BACKSLASH;
    class
};

/// A piece of a line as written.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) raw: &'a str,
    has_escapes: bool,
    escapable: u8,
}

impl<'a> Token<'a> {
    /// A piece without escapes.
    pub(super) fn plain(raw: &'a str) -> Self {
        Self { raw, has_escapes: false, escapable: 0 }
    }

    /// The piece with its escapes resolved, in `scratch` if there are any.
    pub(super) fn resolve<'s>(self, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if !self.has_escapes {
            return self.raw;
        }
        let is_escape = |pair: &[u8]| CLASS[pair[1] as usize] & self.escapable != 0;
        resolve_into(self.raw, is_escape, scratch);
        scratch
    }
}

/// Copies `raw` without the backslashes of pairs that are escapes.
fn resolve_into(raw: &str, is_escape: impl Fn(&[u8]) -> bool, scratch: &mut String) {
    scratch.clear();
    let (bytes, mut copied, mut at) = (raw.as_bytes(), 0, 0);
    while let Some(found) = memchr(b'\\', &bytes[at..]) {
        at += found;
        match bytes.get(at..at + 2) {
            Some(pair) if is_escape(pair) => {
                scratch.push_str(&raw[copied..at]);
                copied = at + 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    scratch.push_str(&raw[copied..]);
}

/// A position in the text of a request.
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The bytes from here on.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The byte here. The text's end looks like a newline: a line ends there too.
    pub(super) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(b'\n')
    }

    /// Whether the line ends here, with or without a carriage return.
    pub(super) fn is_at_end(&self) -> bool {
        match self.peek() {
            b'\n' => true,
            b'\r' => self.text.as_bytes().get(self.at + 1).is_none_or(|next| *next == b'\n'),
            _ => false,
        }
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t') {
            self.at += 1;
        }
    }

    /// The text from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Goes past `expected` if it stands here with an equals sign after it, and gives it as a token.
    /// `expected` must be free of bytes that mean something.
    pub(super) fn expect_key(&mut self, expected: &str) -> Option<Token<'a>> {
        let key = self.rest().strip_prefix(expected.as_bytes())?;
        if key.first() != Some(&b'=') {
            return None;
        }
        let start = self.at;
        self.at += expected.len();
        Some(Token::plain(self.since(start)))
    }

    /// Goes to the next byte of one of the classes `stops` that is not escaped, or to the end of the text.
    pub(super) fn token(&mut self, stops: u8, escapable: u8) -> Token<'a> {
        let (bytes, start, stops) = (self.text.as_bytes(), self.at, stops | BACKSLASH);
        let mut has_escapes = false;
        loop {
            let Some(found) = self.rest().iter().position(|byte| CLASS[*byte as usize] & stops != 0) else {
                self.at = bytes.len();
                break;
            };
            self.at += found;
            if bytes[self.at] != b'\\' {
                break;
            }
            let is_escape = bytes.get(self.at + 1).is_some_and(|next| CLASS[*next as usize] & escapable != 0);
            has_escapes |= is_escape;
            self.at += 1 + usize::from(is_escape);
        }
        Token { raw: self.since(start), has_escapes, escapable }
    }

    /// With the opening quote here, goes past the closing one and gives what is between them, in `scratch` if it has
    /// escapes. Stays if nothing closes it.
    pub(super) fn string<'s>(&mut self, scratch: &'s mut String) -> Option<&'s str>
    where
        'a: 's,
    {
        let (end, has_escapes) = string_end(self.text.as_bytes(), self.at)?;
        let raw = &self.text[self.at + 1..end];
        self.at = end + 1;
        if !has_escapes {
            return Some(raw);
        }
        resolve_into(raw, |pair| matches!(pair[1], b'"' | b'\\'), scratch);
        Some(scratch)
    }
}

/// The offset of the quote that closes the one at `open`, and whether there are escapes between them.
fn string_end(bytes: &[u8], open: usize) -> Option<(usize, bool)> {
    let (mut at, mut has_escapes) = (open + 1, false);
    loop {
        at += memchr2(b'"', b'\\', &bytes[at..])?;
        if bytes[at] == b'"' {
            return Some((at, has_escapes));
        }
        let is_escape = matches!(bytes.get(at + 1), Some(b'"' | b'\\'));
        has_escapes |= is_escape;
        at += 1 + usize::from(is_escape);
    }
}

/// Where the next line that is neither blank nor a comment begins, if there is one.
pub(super) fn next_line(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at)? {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' => at += memchr(b'\n', &bytes[at..])?,
            _ => return Some(at),
        }
    }
}

/// Where the line that begins at `start` ends, whatever is wrong with it: at the next newline that is not within a
/// quoted value of its field section. A quote that nothing closes does not count.
pub(super) fn line_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut cursor = Cursor::new(text, start);
    cursor.token(SPACE | NEWLINE, COMMA | SPACE | EQUALS);
    while cursor.peek() != b'\n' {
        // In the field section, between values: a value begins after an equals sign.
        cursor.token(EQUALS | NEWLINE, COMMA | SPACE | EQUALS);
        if cursor.peek() == b'=' {
            cursor.at += 1;
            if cursor.peek() == b'"'
                && let Some((end, _)) = string_end(bytes, cursor.at)
            {
                cursor.at = end + 1;
            }
        }
    }
    cursor.at
}

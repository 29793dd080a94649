//! Just enough of Rust's lexical grammar to tell code from comments and text.

/// Returns `source` with every byte of comments, strings and character literals blanked; newlines stay, so offsets and
/// lines are those of the source.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match skipped(bytes, at) {
            Some(end) => end,
            None => {
                at += 1;
                continue;
            }
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Where the comment or literal that begins at `at` ends, if one does.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let word_before = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment(rest)),
        [b'"', ..] => Some(at + quoted(rest)),
        [b'b', b'"', ..] if !word_before => Some(at + 1 + quoted(&rest[1..])),
        [b'r', b'"' | b'#', ..] if !word_before => raw(&rest[1..]).map(|len| at + 1 + len),
        [b'b', b'r', b'"' | b'#', ..] if !word_before => raw(&rest[2..]).map(|len| at + 2 + len),
        [b'\'', ..] => character(rest).map(|len| at + len),
        _ => None,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// The length of a string with escapes, quotes included.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw string from its first `#` or quote, unless it is a raw identifier.
fn raw(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'#'; hashes + 1];
    end[0] = b'"';
    let body = &rest[hashes + 1..];
    let len = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
    Some((hashes + 1 + len + end.len()).min(rest.len()))
}

/// The length of a character literal, unless the quote opens a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'')?;
        return Some(close + 4);
    }
    let char_len = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .map_or_else(|error| error.valid_up_to(), str::len)
        .min(rest.len() - 1);
    let text = std::str::from_utf8(&rest[1..=char_len]).ok()?;
    let first = text.chars().next()?.len_utf8();
    (rest.get(1 + first) == Some(&b'\'')).then_some(first + 2)
}

/// The offset just after the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The line of an offset, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Where `word` stands as a whole word.
pub fn word_offsets<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let free = |byte: Option<&u8>| byte.is_none_or(|byte| !is_word(*byte));
        free(offset.checked_sub(1).and_then(|before| bytes.get(before))) && free(bytes.get(offset + word.len()))
    })
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let table = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("{\"}", x)"#, "f(      , x)"),
        ("r#\"}\"} \"# {", "          {"),
        ("b\"{\" {", "     {"),
        ("br\"{\" {", "      {"),
        ("'{' 'a 'b: '\\'' {", "    'a 'b:      {"),
        ("'é' {", "     {"),
        ("r#fn()", "r#fn()"),
        ("\"a\nb\"", "  \n  "),
        ("'\\u{1F}' {", "         {"),
    ];
    for (source, expected) in table {
        assert_eq!(code_only(source), expected, "{source}");
    }
    assert_eq!(closing("a { b } c", 2), 7);
    assert_eq!(closing("{ [ ( ) ] } x", 0), 11);
    assert_eq!(word_offsets("fn fnord fn", "fn").collect::<Vec<_>>(), [0, 9]);
}

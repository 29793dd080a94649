//! Cutting line protocol at the ends of its lines. A newline within a quoted string does not end a line.

/// Where the reading of a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of the line but white space.
    Start,
    /// In a comment.
    Comment,
    /// In measurement and tags.
    Key,
    /// In fields or after them, outside of quotes.
    Fields,
    /// Within the quotes of a string.
    Quoted,
}

/// Finds the ends of lines in bytes that come in pieces.
#[derive(Debug)]
pub struct LineEnds {
    state: State,
    escaped: bool,
}

impl Default for LineEnds {
    fn default() -> Self {
        Self { state: State::Start, escaped: false }
    }
}

impl LineEnds {
    /// Takes the next byte; whether it ends a line.
    pub fn push(&mut self, byte: u8) -> bool {
        let escaped = std::mem::take(&mut self.escaped);
        if byte == b'\n' && self.state != State::Quoted {
            self.state = State::Start;
            return true;
        }
        self.escaped = byte == b'\\' && !escaped && self.state != State::Comment;
        self.state = match (self.state, byte) {
            (State::Start, b' ' | b'\t' | b'\r') => State::Start,
            (State::Start, b'#') => State::Comment,
            (State::Start, _) => State::Key,
            (State::Key, b' ') if !escaped => State::Fields,
            (State::Fields, b'"') if !escaped => State::Quoted,
            (State::Quoted, b'"') if !escaped => State::Fields,
            (state, _) => state,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Vec<usize> {
        let mut ends = LineEnds::default();
        text.bytes().enumerate().filter(|(_, byte)| ends.push(*byte)).map(|(i, _)| i).collect()
    }

    #[test]
    fn only_a_newline_outside_of_strings_ends_a_line() {
        assert_eq!(ends("m f=1\nm f=2\n"), [5, 11]);
        assert_eq!(ends("m f=\"a\nb\" 1\nm f=2\n"), [11, 17]);
        assert_eq!(ends("m f=\"a\\\"\nb\"\n"), [11]);
        assert_eq!(ends("m f=\"a\\\\\"\n"), [9]);
        assert_eq!(ends("m\",t=\" f=1\nx f=1\n"), [10, 16], "quotes before the fields are ordinary");
        assert_eq!(ends("m\\ x f=\"a\nb\"\n"), [12], "an escaped space does not begin the fields");
        assert_eq!(ends("# it's \"quoted\nm f=1\n\n"), [14, 20, 21]);
        assert_eq!(ends("  # x f=\"\nm f=1"), [9]);
    }
}

//! Time formats: a piece of strftime, restricted so that a rendered text names one range of time.
//!
//! A format is literals and the specifiers `%Y` (year), `%m` (month), `%d` (day of the month) or `%j` (day of the
//! year, 001 to 366, in place of month and day), `%H`, `%M`, `%S`, and for short `%F` (`%Y-%m-%d`), `%R` (`%H:%M`) and
//! `%T` (`%H:%M:%S`). They stand from coarse to fine, each once, none left out from the year on. Literals are printable
//! ASCII other than `%`, `|`, `!`, `^`, `#`, `"` and `\`. All is UTC. Each specifier has a fixed number of digits, since
//! the years of 64 bits of nanoseconds are 1677 to 2262, so keys of one format sort by time.

use std::fmt;
use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

/// The longest format, in bytes.
pub const MAX_FORMAT: usize = 64;

/// Why a time format was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeFormatError {
    /// The format is too long.
    #[error("time format {format:?} has {length} bytes: at most {MAX_FORMAT} are allowed")]
    TooLong {
        /// The format's beginning.
        format: String,
        /// Its bytes.
        length: usize,
    },
    /// The format uses a specifier from which the range of time can't be told.
    #[error("time format {format:?} uses {specifier:?}: only %Y %m %d %j %H %M %S %F %R %T are allowed")]
    Specifier {
        /// The format.
        format: String,
        /// What stands in it.
        specifier: String,
    },
    /// A specifier lacks a coarser one before it, or stands twice.
    #[error(
        "time format {format:?} has {specifier} in the wrong place: write units from the year on, coarse to fine, none left out, each once, such as %Y-%m-%dT%H"
    )]
    Nesting {
        /// The format.
        format: String,
        /// The misplaced specifier.
        specifier: &'static str,
    },
    /// There is no specifier.
    #[error("time format {0:?} names no unit: start with the year, such as %Y-%m-%d")]
    NoUnit(String),
    /// A literal character can't stand in a key.
    #[error(
        "time format {format:?} has the character {character:?}: use letters, digits, spaces and -_.:,/+ between units"
    )]
    Literal {
        /// The format.
        format: String,
        /// The character.
        character: char,
    },
}

/// The finest unit of a format: how long its windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeUnit {
    /// A calendar year.
    Year,
    /// A calendar month.
    Month,
    /// A day of 86,400 seconds.
    Day,
    /// An hour.
    Hour,
    /// A minute.
    Minute,
    /// A second.
    Second,
}

/// A closed range of times in nanoseconds since 1970-01-01 UTC. Closed, so that the ends of 64 bits are legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeWindow {
    /// The first time in it.
    pub first: i64,
    /// The last time in it.
    pub last: i64,
}

impl TimeWindow {
    /// Every time.
    pub const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    /// Whether `time` is in it.
    pub fn contains(self, time: i64) -> bool {
        self.first <= time && time <= self.last
    }

    /// What both have in common, if anything.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Item {
    Literal(char),
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

impl Item {
    fn specifier(&self) -> &'static str {
        match self {
            Self::Literal(_) => "a literal",
            Self::Year => "%Y",
            Self::Month => "%m",
            Self::Day => "%d",
            Self::DayOfYear => "%j",
            Self::Hour => "%H",
            Self::Minute => "%M",
            Self::Second => "%S",
        }
    }

    /// The unit that it completes, and the unit that must stand before it.
    fn nesting(&self) -> Option<(TimeUnit, Option<TimeUnit>)> {
        Some(match self {
            Self::Literal(_) => return None,
            Self::Year => (TimeUnit::Year, None),
            Self::Month => (TimeUnit::Month, Some(TimeUnit::Year)),
            Self::Day => (TimeUnit::Day, Some(TimeUnit::Month)),
            Self::DayOfYear => (TimeUnit::Day, Some(TimeUnit::Year)),
            Self::Hour => (TimeUnit::Hour, Some(TimeUnit::Day)),
            Self::Minute => (TimeUnit::Minute, Some(TimeUnit::Hour)),
            Self::Second => (TimeUnit::Second, Some(TimeUnit::Minute)),
        })
    }
}

/// A time format as described in the module.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TimeFormat {
    text: String,
    items: Vec<Item>,
    unit: TimeUnit,
}

impl TimeFormat {
    /// Reads a format.
    pub fn new(format: &str) -> Result<Self, TimeFormatError> {
        if format.len() > MAX_FORMAT {
            let beginning = format.chars().take(MAX_FORMAT).collect();
            return Err(TimeFormatError::TooLong { format: beginning, length: format.len() });
        }
        let items = read_items(format)?;
        let mut unit = None;
        for item in &items {
            match item.nesting() {
                None => {}
                Some((this, before)) if before == unit => unit = Some(this),
                Some(_) => {
                    return Err(TimeFormatError::Nesting { format: format.to_owned(), specifier: item.specifier() });
                }
            }
        }
        let unit = unit.ok_or_else(|| TimeFormatError::NoUnit(format.to_owned()))?;
        Ok(Self { text: format.to_owned(), items, unit })
    }

    /// The format as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How long its windows are.
    pub fn unit(&self) -> TimeUnit {
        self.unit
    }

    /// The text of a time, the same for all times of one [`TimeFormat::window`] and for no other.
    pub fn render(&self, time: i64) -> String {
        let at = DateTime::from_timestamp_nanos(time).naive_utc();
        let mut text = String::with_capacity(self.text.len() + 8);
        for item in &self.items {
            let (number, width) = match item {
                Item::Literal(character) => {
                    text.push(*character);
                    continue;
                }
                Item::Year => (at.year().unsigned_abs(), 4),
                Item::Month => (at.month(), 2),
                Item::Day => (at.day(), 2),
                Item::DayOfYear => (at.ordinal(), 3),
                Item::Hour => (at.hour(), 2),
                Item::Minute => (at.minute(), 2),
                Item::Second => (at.second(), 2),
            };
            write!(text, "{number:0width$}").expect("writing to a String never fails");
        }
        text
    }

    /// The times that render as `time` does.
    pub fn window(&self, time: i64) -> TimeWindow {
        let at = DateTime::from_timestamp_nanos(time).naive_utc();
        let date = match self.unit {
            TimeUnit::Year => NaiveDate::from_ymd_opt(at.year(), 1, 1),
            TimeUnit::Month => NaiveDate::from_ymd_opt(at.year(), at.month(), 1),
            _ => Some(at.date()),
        };
        let (hour, minute, second) = match self.unit {
            TimeUnit::Year | TimeUnit::Month | TimeUnit::Day => (0, 0, 0),
            TimeUnit::Hour => (at.hour(), 0, 0),
            TimeUnit::Minute => (at.hour(), at.minute(), 0),
            TimeUnit::Second => (at.hour(), at.minute(), at.second()),
        };
        let window = date.and_then(|date| self.window_from(date.and_hms_opt(hour, minute, second)?));
        window.expect("the beginning of a representable time's unit is a date, and its window holds the time")
    }

    /// The times that render as `text`; `None` if no time does.
    pub fn parse(&self, text: &str) -> Option<TimeWindow> {
        let (mut year, mut month, mut day, mut ordinal) = (0, 1, 1, None);
        let (mut hour, mut minute, mut second) = (0, 0, 0);
        let mut rest = text;
        for item in &self.items {
            let (number, width) = match item {
                Item::Literal(character) => {
                    rest = rest.strip_prefix(*character)?;
                    continue;
                }
                Item::Year => (&mut year, 4),
                Item::Month => (&mut month, 2),
                Item::Day => (&mut day, 2),
                Item::DayOfYear => (ordinal.insert(0), 3),
                Item::Hour => (&mut hour, 2),
                Item::Minute => (&mut minute, 2),
                Item::Second => (&mut second, 2),
            };
            let (digits, tail) = rest.split_at_checked(width)?;
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *number = digits.parse::<u32>().ok()?;
            rest = tail;
        }
        let year = i32::try_from(year).ok()?;
        let date = match ordinal {
            Some(ordinal) => NaiveDate::from_yo_opt(year, ordinal),
            None => NaiveDate::from_ymd_opt(year, month, day),
        };
        let start = date?.and_hms_opt(hour, minute, second)?;
        rest.is_empty().then(|| self.window_from(start)).flatten()
    }

    /// The window that begins at `start`, as far as 64 bits of nanoseconds reach.
    fn window_from(&self, start: NaiveDateTime) -> Option<TimeWindow> {
        let seconds = i128::from(start.and_utc().timestamp());
        let length = match self.unit {
            TimeUnit::Year => {
                let next = NaiveDate::from_ymd_opt(start.year() + 1, 1, 1)?;
                i128::from((next - start.date()).num_seconds())
            }
            TimeUnit::Month if start.month() == 12 => 31 * 86_400,
            TimeUnit::Month => {
                let next = NaiveDate::from_ymd_opt(start.year(), start.month() + 1, 1)?;
                i128::from((next - start.date()).num_seconds())
            }
            TimeUnit::Day => 86_400,
            TimeUnit::Hour => 3_600,
            TimeUnit::Minute => 60,
            TimeUnit::Second => 1,
        };
        let first = (seconds * 1_000_000_000).max(i128::from(i64::MIN));
        let last = ((seconds + length) * 1_000_000_000 - 1).min(i128::from(i64::MAX));
        match (i64::try_from(first), i64::try_from(last)) {
            (Ok(first), Ok(last)) => Some(TimeWindow { first, last }),
            _ => None,
        }
    }
}

fn read_items(format: &str) -> Result<Vec<Item>, TimeFormatError> {
    let mut items = Vec::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            if !(' '..='~').contains(&character) || "|!^#\"\\".contains(character) {
                return Err(TimeFormatError::Literal { format: format.to_owned(), character });
            }
            items.push(Item::Literal(character));
            continue;
        }
        match rest.next() {
            Some('Y') => items.push(Item::Year),
            Some('m') => items.push(Item::Month),
            Some('d') => items.push(Item::Day),
            Some('j') => items.push(Item::DayOfYear),
            Some('H') => items.push(Item::Hour),
            Some('M') => items.push(Item::Minute),
            Some('S') => items.push(Item::Second),
            Some('F') => {
                items.extend([Item::Year, Item::Literal('-'), Item::Month, Item::Literal('-'), Item::Day]);
            }
            Some('R') => items.extend([Item::Hour, Item::Literal(':'), Item::Minute]),
            Some('T') => {
                items.extend([Item::Hour, Item::Literal(':'), Item::Minute, Item::Literal(':'), Item::Second]);
            }
            other => {
                let specifier = std::iter::once('%').chain(other).collect();
                return Err(TimeFormatError::Specifier { format: format.to_owned(), specifier });
            }
        }
    }
    Ok(items)
}

impl fmt::Debug for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

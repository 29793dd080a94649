//! What writers were told, kept outside of the server, and whether the server's answers agree with it.
//!
//! A batch is the rows of one request; `(writer, batch)` names it. Its rows lie in several tables and partitions, so
//! that it can be torn in more than one way, and each value is a function of where it stands.

use std::collections::BTreeMap;

/// The tables that every batch writes to.
pub const TABLES: [&str; 2] = ["load", "more"];

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A batch's name: writer, number.
pub type Name = (u64, u64);

/// What is known of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged, or seen in an answer: it must be there.
    There,
    /// Its request had no clear answer: it is there as a whole, or not at all.
    Unknown,
    /// It was not there after a restart, or was refused: it must never be there.
    Gone,
}

/// A batch as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Its rows.
    pub rows: u64,
    /// What is known of it.
    pub fate: Fate,
}

/// All batches ever sent.
#[derive(Debug, Default)]
pub struct Journal {
    batches: BTreeMap<Name, Sent>,
}

/// The lines of a batch of `rows` rows. Every third row is in the second table, and the rows are spread over three
/// days.
pub fn lines((writer, batch): Name, rows: u64) -> String {
    let mut text = String::new();
    for row in 0..rows {
        let table = TABLES[usize::from(row % 3 == 2)];
        // Unique in (writer, time).
        let nanos = ((row % 3) * DAY + 1_740_787_200) * 1_000_000_000 + batch * 1_000 + row;
        let value = value((writer, batch), row);
        text.push_str(&format!(
            "{table},writer=w{writer} writer_id={writer}i,batch={batch}i,row={row}i,value={value}i {nanos}\n"
        ));
    }
    text
}

/// The value of a row: 40 bits that nothing else would give it.
fn value((writer, batch): Name, row: u64) -> u64 {
    let mixed = (writer << 48 ^ batch << 12 ^ row).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 24
}

/// What a server says of a batch: rows, distinct rows, sum of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Rows.
    pub rows: u64,
    /// Distinct row numbers.
    pub distinct: u64,
    /// The sum of the values.
    pub sum: u64,
}

/// The query whose answer [`Journal::check`] takes.
pub fn question() -> String {
    let tables = TABLES.map(|table| format!("SELECT writer_id, batch, \"row\", value FROM {table}"));
    format!(
        "SELECT writer_id, batch, count(*) AS n, count(DISTINCT \"row\") AS d, sum(value) AS s FROM ({}) AS every_row \
         GROUP BY writer_id, batch",
        tables.join(" UNION ALL ")
    )
}

impl Journal {
    /// Notes what became of a batch.
    pub fn note(&mut self, name: Name, rows: u64, fate: Fate) {
        let before = self.batches.insert(name, Sent { rows, fate });
        assert!(before.is_none(), "batch {name:?} was sent before");
    }

    /// Batches and rows that must be there.
    pub fn there(&self) -> (u64, u64) {
        let there = self.batches.values().filter(|sent| sent.fate == Fate::There);
        there.fold((0, 0), |(batches, rows), sent| (batches + 1, rows + sent.rows))
    }

    /// Batches without a clear answer.
    pub fn unknown(&self) -> usize {
        self.batches.values().filter(|sent| sent.fate == Fate::Unknown).count()
    }

    /// Compares with what a server has after a restart, and learns from it.
    pub fn check(&mut self, answer: &[serde_json::Value]) -> Result<(), String> {
        let mut found: BTreeMap<Name, Found> = BTreeMap::new();
        for row in answer {
            let number = |name: &str| row[name].as_u64().ok_or_else(|| format!("{name} of {row} is no number"));
            let name = (number("writer_id")?, number("batch")?);
            found.insert(name, Found { rows: number("n")?, distinct: number("d")?, sum: number("s")? });
        }
        if let Some(phantom) = found.keys().find(|name| !self.batches.contains_key(name)) {
            return Err(format!("phantom: nobody sent batch {phantom:?}"));
        }
        for (name, sent) in &mut self.batches {
            let there = found.get(name).copied();
            let sum = (0..sent.rows).map(|row| value(*name, row)).sum();
            let whole = Found { rows: sent.rows, distinct: sent.rows, sum };
            match (sent.fate, there) {
                (Fate::There, None) => return Err(format!("lost: batch {name:?} of {} rows", sent.rows)),
                (Fate::Gone, Some(_)) => return Err(format!("phantom: batch {name:?} was gone, and is back")),
                (_, Some(there)) if there != whole => {
                    return Err(format!("torn or changed: batch {name:?} has {there:?} instead of {whole:?}"));
                }
                // What a start has decided, no later one may decide otherwise.
                (Fate::Unknown, Some(_)) => sent.fate = Fate::There,
                (Fate::Unknown, None) => sent.fate = Fate::Gone,
                (Fate::There, Some(_)) | (Fate::Gone, None) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(batches: &[(Name, u64)]) -> Vec<Value> {
        let row = |((writer, batch), rows): &(Name, u64)| {
            let sum: u64 = (0..*rows).map(|row| value((*writer, *batch), row)).sum();
            json!({ "writer_id": writer, "batch": batch, "n": rows, "d": rows, "s": sum })
        };
        batches.iter().map(row).collect()
    }

    #[test]
    fn every_kind_of_disagreement_is_seen() {
        let journal = || {
            let mut journal = Journal::default();
            journal.note((0, 0), 3, Fate::There);
            journal.note((0, 1), 2, Fate::Unknown);
            journal
        };
        let mut good = journal();
        good.check(&answer(&[((0, 0), 3)])).unwrap();
        assert_eq!((good.there(), good.unknown()), ((1, 3), 0));
        assert!(good.check(&answer(&[((0, 0), 3), ((0, 1), 2)])).unwrap_err().starts_with("phantom"), "it was gone");
        let mut other = journal();
        other.check(&answer(&[((0, 0), 3), ((0, 1), 2)])).unwrap();
        assert!(other.check(&answer(&[((0, 0), 3)])).unwrap_err().starts_with("lost"), "it was there");
        assert!(journal().check(&answer(&[])).unwrap_err().starts_with("lost"));
        assert!(journal().check(&answer(&[((0, 0), 3), ((0, 1), 1)])).unwrap_err().starts_with("torn"));
        assert!(journal().check(&answer(&[((0, 0), 3), ((1, 1), 1)])).unwrap_err().starts_with("phantom"));
        let mut changed = answer(&[((0, 0), 3)]);
        changed[0]["s"] = json!(1);
        assert!(journal().check(&changed).unwrap_err().starts_with("torn or changed"));
    }

    #[test]
    fn rows_have_keys_of_their_own() {
        let all = [lines((0, 0), 40), lines((0, 1), 40), lines((1, 0), 40)].concat();
        let keys: std::collections::BTreeSet<(&str, &str)> =
            all.lines().map(|line| (line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap())).collect();
        assert_eq!(keys.len(), 120);
    }
}

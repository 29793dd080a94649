//! Which chunks can hold the same keys.
//!
//! Two chunks can't if their times don't overlap, or if one template gave them different partition keys. Chunks that
//! can, directly or by way of others, form a group, which is folded together.

use std::collections::BTreeMap;

use ochre_store::snapshot::ChunkSnapshot;

/// The latest end of the chunks met so far in a class, and one of them that ends there.
#[derive(Clone, Copy)]
struct Reach {
    last: i64,
    chunk: usize,
}

/// Groups of indices into `chunks`; groups by their first index, indices rising.
///
/// Times count only as far as they lie in `window`: a row outside fails the query's filter anyhow.
pub(crate) fn groups(chunks: &[ChunkSnapshot], window: (i64, i64)) -> Vec<Vec<usize>> {
    let range = |chunk: &ChunkSnapshot| (chunk.time_range.0.max(window.0), chunk.time_range.1.min(window.1));
    let mut by_start: Vec<usize> = (0..chunks.len()).collect();
    by_start.sort_by_key(|index| range(&chunks[*index]).0);
    let mut parents: Vec<usize> = (0..chunks.len()).collect();
    // By template (none if this build can't read it), then by key.
    let mut reached: BTreeMap<Option<u64>, BTreeMap<&str, Reach>> = BTreeMap::new();
    for index in by_start {
        let chunk = &chunks[index];
        let (first, last) = range(chunk);
        let template = chunk.template.as_ref().map(|_| chunk.template_id);
        let key = if template.is_some() { chunk.key.as_str() } else { "" };
        for (other, keys) in &reached {
            let same_template = *other == template;
            let near = keys.get(key).filter(|_| same_template);
            let rest = keys.values().filter(|_| !same_template);
            for reach in near.into_iter().chain(rest).filter(|reach| reach.last >= first) {
                join(&mut parents, reach.chunk, index);
            }
        }
        let reach = reached.entry(template).or_default().entry(key).or_insert(Reach { last, chunk: index });
        if last > reach.last {
            *reach = Reach { last, chunk: index };
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..chunks.len() {
        groups.entry(root(&mut parents, index)).or_default().push(index);
    }
    groups.into_values().collect()
}

/// The lowest index of the group, as [`join`] keeps it.
fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

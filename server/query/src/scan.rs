//! From chunks to a plan that reads them.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, Statistics};
use object_store::path::Path;
use ochre_batch::{SortOrder, StampedRows};
use ochre_store::snapshot::{ChunkBody, ChunkSnapshot, TableSnapshot};
use ochre_types::{ColumnId, ColumnKind, TableName};

use crate::exec::Keyed;
use crate::exec::chunk::{ChunkExec, MemoryRows, exact_statistics};
use crate::exec::erase::EraseExec;
use crate::exec::fold::FoldExec;
use crate::exec::settled::SettledExec;
use crate::exec::table::{Chosen, TableExec};
use crate::objects::OBJECTS_URL;
use crate::overlap;
use crate::prune::{Bounds, Pruned};
use crate::readers::NamedReaders;
use crate::schema::Layout;

/// One reading of a table.
pub(crate) struct Scan<'a> {
    state: &'a dyn Session,
    layout: &'a Layout,
    order: SortOrder,
    bounds: Bounds,
    /// The columns asked for, as positions in the layout.
    projection: Vec<usize>,
    /// The schema of those.
    schema: SchemaRef,
    /// The filters that may go below a fold: on tags and time only.
    key_filter: Option<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
    /// The table's name.
    table: TableName,
}

/// A Parquet object.
struct Object<'a> {
    path: &'a Path,
    size: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        state: &'a dyn Session,
        layout: &'a Layout,
        snapshot: &TableSnapshot,
        projection: Vec<usize>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Self> {
        let fields: Vec<_> = projection.iter().map(|at| layout.field(*at).clone()).collect();
        let of_keys = |filter: &&Expr| filter.column_refs().iter().all(|column| layout.is_key(&column.name));
        let key_filter = match conjunction(filters.iter().filter(of_keys).cloned()) {
            None => None,
            // A filter that can't be read here is applied above all the same.
            Some(filter) => {
                let schema = DFSchema::try_from(layout.stored_schema())?;
                state.create_physical_expr(filter, &schema).ok()
            }
        };
        // With filters above, a limit would count rows that they take away.
        let limit = limit.filter(|_| filters.is_empty());
        let mut bounds = Bounds::of(filters, layout);
        bounds.first = bounds.first.max(snapshot.visible_from.unwrap_or(i64::MIN));
        let (order, table, schema) = (snapshot.order.clone(), snapshot.table.clone(), Arc::new(Schema::new(fields)));
        Ok(Self { state, layout, order, bounds, projection, schema, key_filter, limit, table })
    }

    /// The plan that reads `snapshot`.
    pub(crate) fn plan(self, snapshot: &TableSnapshot) -> Result<Arc<dyn ExecutionPlan>> {
        let mut chosen = Chosen { table: snapshot.table.to_string(), ..Chosen::default() };
        let mut chunks: Vec<ChunkSnapshot> = Vec::with_capacity(snapshot.chunks.len());
        for chunk in &snapshot.chunks {
            match self.bounds.prune(chunk) {
                None => {
                    chunk.read.touch();
                    chunks.push(chunk.clone());
                }
                Some(Pruned::Time) => chosen.pruned_by_time += 1,
                Some(Pruned::Key) => chosen.pruned_by_key += 1,
                Some(Pruned::Tags) => chosen.pruned_by_tags += 1,
            }
        }
        let mut alone: Vec<&ChunkSnapshot> = Vec::new();
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        for group in overlap::groups(&chunks, (self.bounds.first, self.bounds.last)) {
            match group.as_slice() {
                [only] if is_read_alone(&chunks[*only]) => {
                    alone.push(&chunks[*only]);
                }
                _ => {
                    chosen.folded += group.len();
                    chosen.groups += 1;
                    plans.push(self.fold(group.iter().map(|index| &chunks[*index]))?);
                }
            }
        }
        chosen.alone = alone.len();
        chosen.settled = chunks.iter().filter(|chunk| chunk.settled.is_some()).count();
        chosen.joined = chunks.iter().filter(|chunk| chunk.level > 0).count();
        chosen.erased = chunks.iter().filter(|chunk| !chunk.erased.is_empty()).count();
        self.read_alone(&alone, &mut plans)?;
        let input = match plans.len() {
            0 => Arc::new(EmptyExec::new(self.schema.clone())),
            _ => UnionExec::try_new(plans)?,
        };
        Ok(Arc::new(TableExec::new(chosen, input, self.state.config().target_partitions())))
    }

    /// Chunks that share no key with any other: those in memory one by one, those in Parquet in parallel.
    fn read_alone(&self, chunks: &[&ChunkSnapshot], plans: &mut Vec<Arc<dyn ExecutionPlan>>) -> Result<()> {
        let ids: Arc<[ColumnId]> = self.projection.iter().map(|at| self.layout.ids()[*at].clone()).collect();
        let mut objects: Vec<(Object<'_>, Statistics)> = Vec::new();
        let time = |ids: &[ColumnId]| ids.iter().position(|id| id.kind == ColumnKind::Time);
        for chunk in chunks {
            match &chunk.body {
                ChunkBody::Sorted(rows) => {
                    let statistics = exact_statistics(&self.schema, chunk.rows, chunk.time_range, time(&ids));
                    let name = chunk.id.to_string();
                    plans.push(Arc::new(ChunkExec::alone(rows.clone(), ids.clone(), &self.schema, name, statistics)));
                }
                ChunkBody::Parquet { path, size } => {
                    let stored = self.layout.stored_schema();
                    let at = time(self.layout.ids());
                    let statistics = exact_statistics(&stored, chunk.rows, chunk.time_range, at);
                    objects.push((Object { path, size: *size }, statistics));
                }
                ChunkBody::Blocks(_) => {
                    return Err(DataFusionError::Internal("an open chunk was to be read without folding".to_owned()));
                }
            }
        }
        if !objects.is_empty() {
            plans.push(self.parquet_alone(objects)?);
        }
        Ok(())
    }

    fn parquet_alone(&self, objects: Vec<(Object<'_>, Statistics)>) -> Result<Arc<dyn ExecutionPlan>> {
        let stored = self.layout.stored_schema();
        let total = Statistics::try_merge_iter(objects.iter().map(|(_, statistics)| statistics), &stored)?;
        let partitions = self.state.config().target_partitions().clamp(1, objects.len());
        let mut groups: Vec<Vec<PartitionedFile>> = (0..partitions).map(|_| Vec::new()).collect();
        for (index, (object, statistics)) in objects.into_iter().enumerate() {
            groups[index % partitions].push(file(&object).with_statistics(Arc::new(statistics)));
        }
        let groups = groups.into_iter().map(FileGroup::new).collect();
        let source = self.parquet_source(&stored)?;
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(OBJECTS_URL)?, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(total)
            .with_limit(self.limit)
            .with_projection_indices(Some(self.projection.clone()))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Chunks that may share keys, or that may hold a key twice.
    fn fold<'c>(&self, chunks: impl Iterator<Item = &'c ChunkSnapshot>) -> Result<Arc<dyn ExecutionPlan>> {
        let keyed = Keyed::new(self.layout, &self.order, &self.projection);
        let position = |at: &usize| keyed.ids.iter().position(|id| *id == self.layout.ids()[*at]);
        let output: Arc<[usize]> = self.projection.iter().filter_map(position).collect();
        let mut stored = 0;
        let inputs = chunks.map(|chunk| {
            stored += if chunk.in_memory() { 0 } else { chunk.bytes };
            self.keyed_chunk(chunk, &keyed)
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let readers = readers_size(stored, keyed.ids.len() + 1, self.layout.ids().len() + 1);
        Ok(Arc::new(FoldExec::new(inputs, keyed, output, &self.schema, readers)))
    }

    /// One chunk in key order, with its stamps, without what was deleted.
    fn keyed_chunk(&self, chunk: &ChunkSnapshot, keyed: &Keyed) -> Result<Arc<dyn ExecutionPlan>> {
        let read = self.keyed_rows(chunk, keyed)?;
        if chunk.erased.is_empty() {
            return Ok(read);
        }
        Ok(Arc::new(EraseExec::new(read, keyed.clone(), self.table.clone(), chunk.erased.clone())))
    }

    fn keyed_rows(&self, chunk: &ChunkSnapshot, keyed: &Keyed) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = match &chunk.body {
            ChunkBody::Parquet { path, size } => {
                let read = self.keyed_parquet(&Object { path, size: *size }, chunk.in_order, keyed)?;
                return Ok(match chunk.settled {
                    None => read,
                    Some(_) => Arc::new(SettledExec::new(read, keyed.clone(), chunk.stamps.1)),
                });
            }
            ChunkBody::Sorted(rows) => MemoryRows::Sorted(rows.clone()),
            ChunkBody::Blocks(blocks) => {
                // A block of which no row can pass holds no version of a row that can.
                let passes =
                    |block: &&StampedRows| block.rows.time_range().is_some_and(|r| self.bounds.admits_times(r));
                MemoryRows::Blocks(blocks.iter().filter(passes).cloned().collect(), self.order.clone())
            }
        };
        Ok(Arc::new(ChunkExec::keyed(rows, keyed, chunk.id.to_string())))
    }

    /// One Parquet chunk in key order, with its stamps. One that an earlier order of the table wrote is sorted first.
    fn keyed_parquet(&self, object: &Object<'_>, in_order: bool, keyed: &Keyed) -> Result<Arc<dyn ExecutionPlan>> {
        let stored = self.layout.stored_schema();
        let indices = keyed.schema.fields().iter().map(|field| stored.index_of(field.name()));
        let indices = indices.collect::<Result<Vec<usize>, _>>()?;
        let mut source = self.parquet_source(&stored)?;
        // The optimizer takes a column that the filter fixes for constant and leaves it out of a sort, though the
        // filter only skips what it can here, and other values come through: so none below a sort.
        if let Some(filter) = self.key_filter.as_ref().filter(|_| in_order) {
            source = source.with_predicate(filter.clone());
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(OBJECTS_URL)?, Arc::new(source))
            .with_file(file(object))
            .with_output_ordering(if in_order { vec![stored_ordering(&keyed.ordering, &stored)?] } else { Vec::new() })
            .with_projection_indices(Some(indices))?
            .build();
        let read = DataSourceExec::from_data_source(config);
        Ok(if in_order { read } else { Arc::new(SortExec::new(keyed.ordering.clone(), read)) })
    }

    fn parquet_source(&self, stored: &SchemaRef) -> Result<ParquetSource> {
        let runtime = self.state.runtime_env();
        let store = runtime.object_store(ObjectStoreUrl::parse(OBJECTS_URL)?)?;
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let options = TableParquetOptions {
            global: self.state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let readers = NamedReaders(CachedParquetFileReaderFactory::new(store, footers));
        Ok(ParquetSource::new(stored)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers)))
    }
}

/// Whether a chunk that shares no key with others can be read as it is. What was deleted is found by its stamps, so it
/// goes by way of the fold.
fn is_read_alone(chunk: &ChunkSnapshot) -> bool {
    chunk.unique_keys && chunk.erased.is_empty() && !matches!(chunk.body, ChunkBody::Blocks(_))
}

/// What readers of Parquet objects of `stored` bytes hold, about, if they read so `many` of all columns: most objects
/// have one row group, and of that all pages are fetched.
fn readers_size(stored: u64, many: usize, of_all: usize) -> usize {
    let part = u128::from(stored) * many.min(of_all) as u128 / of_all.max(1) as u128;
    usize::try_from(part).unwrap_or(usize::MAX)
}

fn file(object: &Object<'_>) -> PartitionedFile {
    PartitionedFile::new_from_meta(object_store::ObjectMeta {
        location: object.path.clone(),
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: object.size,
        e_tag: None,
        version: None,
    })
}

/// The same order, of columns where they stand in the stored schema.
fn stored_ordering(ordering: &LexOrdering, stored: &SchemaRef) -> Result<LexOrdering> {
    use datafusion::physical_expr::PhysicalSortExpr;
    use datafusion::physical_expr::expressions::Column;
    let mut moved = Vec::with_capacity(ordering.len());
    for sort in ordering {
        let column = sort.expr.downcast_ref::<Column>();
        let name =
            column.map(Column::name).ok_or_else(|| DataFusionError::Internal("a key is no column".to_owned()))?;
        moved.push(PhysicalSortExpr::new(Arc::new(Column::new_with_schema(name, stored)?), sort.options));
    }
    LexOrdering::new(moved).ok_or_else(|| DataFusionError::Internal("an order without columns".to_owned()))
}

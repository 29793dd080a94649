//! An object store that fails in every way a real one does.
//!
//! ```text
//!   operation n -> paused? -> delay -> unavailable? -> planned fault n | fault drawn from the seed -> memory -> answer
//!                                                         |        |                                   |
//!                                                   Refused: no   Late: error now, applied      LostAnswer: applied,
//!                                                   effect        by deliver_late               but the answer is an error
//! ```
//!
//! What is in the store survives crashes of its users. Faults are planned by the number of the operation, or drawn
//! from a seed: the same seed and the same operations give the same faults.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use ochre_env::Clock;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

/// What an operation that was chosen to fail does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFault {
    /// It fails and has no effect.
    Refused,
    /// It takes effect, but its answer is lost: the caller gets an error.
    LostAnswer,
    /// A put fails now and takes effect when [`SimObjects::deliver_late`] is called, if it still can. Anything else
    /// fails without effect.
    Late,
}

/// How often faults are drawn from the seed, in 1,000 operations each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultRates {
    /// Of [`ObjectFault::Refused`].
    pub refused: u32,
    /// Of [`ObjectFault::LostAnswer`].
    pub lost_answer: u32,
    /// Of [`ObjectFault::Late`].
    pub late: u32,
    /// The longest delay of an operation; each has a random one up to it.
    pub max_delay: Duration,
}

/// An object store in memory. Clones are the same store.
#[derive(Clone)]
pub struct SimObjects {
    memory: Arc<InMemory>,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    paused: Arc<watch::Sender<bool>>,
}

struct State {
    operations: u64,
    puts: u64,
    faults: u64,
    planned: BTreeMap<u64, ObjectFault>,
    random: SmallRng,
    rates: FaultRates,
    unavailable: bool,
    unavailable_until: Duration,
    ignores_create: bool,
    late: Vec<(Path, PutPayload, PutOptions)>,
}

impl SimObjects {
    /// An empty store without faults. `clock` is for delays and outages; `seed` for faults, once rates are set.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let state = State {
            operations: 0,
            puts: 0,
            faults: 0,
            planned: BTreeMap::new(),
            random: SmallRng::seed_from_u64(seed),
            rates: FaultRates::default(),
            unavailable: false,
            unavailable_until: Duration::ZERO,
            ignores_create: false,
            late: Vec::new(),
        };
        Self {
            memory: Arc::new(InMemory::new()),
            clock,
            state: Arc::new(Mutex::new(state)),
            paused: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Sets how often faults are drawn from now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.state.lock().rates = rates;
    }

    /// Makes the operation with this number (the first is 1) fail.
    pub fn fail_at(&self, operation: u64, fault: ObjectFault) {
        self.state.lock().planned.insert(operation, fault);
    }

    /// Makes the next `count` operations fail.
    pub fn fail_next(&self, count: u64, fault: ObjectFault) {
        let mut state = self.state.lock();
        let next = state.operations + 1;
        state.planned.extend((next..next + count).map(|operation| (operation, fault)));
    }

    /// Forgets the faults that were planned and not met.
    pub fn clear_planned(&self) {
        self.state.lock().planned.clear();
    }

    /// Forgets the faults that were planned and not met yet.
    pub fn heal(&self) {
        self.state.lock().planned.clear();
    }

    /// Makes every operation fail without effect, or no longer.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state.lock().unavailable = unavailable;
    }

    /// Makes every operation fail without effect until the clock's monotonic time `until`.
    pub fn unavailable_until(&self, until: Duration) {
        self.state.lock().unavailable_until = until;
    }

    /// Lets operations wait, or go on.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Makes a conditional create replace what is there, as a store without conditional puts does.
    pub fn ignore_create(&self) {
        self.state.lock().ignores_create = true;
    }

    /// Applies the puts that were [`ObjectFault::Late`], oldest first; returns how many took effect.
    pub async fn deliver_late(&self) -> usize {
        let late = std::mem::take(&mut self.state.lock().late);
        let mut applied = 0;
        for (path, payload, options) in late {
            applied += usize::from(self.memory.put_opts(&path, payload, options).await.is_ok());
        }
        applied
    }

    /// How many operations were asked for.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// How many of them were puts.
    pub fn puts(&self) -> u64 {
        self.state.lock().puts
    }

    /// How many faults were met, planned and drawn.
    pub fn faults(&self) -> u64 {
        self.state.lock().faults
    }

    /// The store behind the faults.
    pub fn memory(&self) -> &Arc<InMemory> {
        &self.memory
    }

    /// The paths of all objects, in order.
    pub async fn paths(&self) -> Vec<Path> {
        let listed: Vec<_> = self.memory.list(None).collect().await;
        let mut paths: Vec<_> = listed.into_iter().flatten().map(|object| object.location).collect();
        paths.sort();
        paths
    }

    /// Changes one byte of an object, as decay would.
    pub async fn flip(&self, path: &Path, offset: usize, mask: u8) -> Result<()> {
        let mut bytes = self.memory.get(path).await?.bytes().await?.to_vec();
        if let Some(byte) = bytes.get_mut(offset) {
            *byte ^= mask;
        }
        self.memory.put(path, bytes.into()).await.map(drop)
    }

    /// Counts an operation, waits as long as it has to, and says what goes wrong with it.
    async fn begin(&self, is_put: bool) -> Result<Option<ObjectFault>> {
        let (number, delay) = {
            let mut state = self.state.lock();
            state.operations += 1;
            state.puts += u64::from(is_put);
            let longest = u64::try_from(state.rates.max_delay.as_micros()).unwrap_or(u64::MAX);
            let delay = if longest == 0 { 0 } else { state.random.random_range(0..=longest) };
            (state.operations, Duration::from_micros(delay))
        };
        let mut paused = self.paused.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        drop(paused.wait_for(|paused| !paused).await);
        if !delay.is_zero() {
            self.clock.sleep(delay).await;
        }
        let mut state = self.state.lock();
        if state.unavailable || self.clock.monotonic() < state.unavailable_until {
            state.faults += 1;
            return Err(failure("the store is unavailable"));
        }
        let fault = state.planned.remove(&number).or_else(|| state.draw());
        state.faults += u64::from(fault.is_some());
        match fault {
            Some(ObjectFault::Refused) => Err(failure("the operation was refused")),
            Some(ObjectFault::Late) if !is_put => Err(failure("the operation was refused")),
            fault => Ok(fault),
        }
    }

    /// Runs an operation that is no put.
    async fn run<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = self.begin(false).await?;
        let answer = operation.await?;
        if fault.is_some() { Err(failure("the answer was lost")) } else { Ok(answer) }
    }
}

impl State {
    fn draw(&mut self) -> Option<ObjectFault> {
        let FaultRates { refused, lost_answer, late, .. } = self.rates;
        if refused + lost_answer + late == 0 {
            return None;
        }
        match self.random.random_range(0..1_000) {
            drawn if drawn < refused => Some(ObjectFault::Refused),
            drawn if drawn < refused + lost_answer => Some(ObjectFault::LostAnswer),
            drawn if drawn < refused + lost_answer + late => Some(ObjectFault::Late),
            _ => None,
        }
    }
}

fn failure(what: &'static str) -> Error {
    Error::Generic { store: "simulated objects", source: what.into() }
}

#[async_trait]
impl ObjectStore for SimObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let fault = self.begin(true).await?;
        if fault == Some(ObjectFault::Late) {
            self.state.lock().late.push((location.clone(), payload, options));
            return Err(failure("no answer in time"));
        }
        if self.state.lock().ignores_create {
            options.mode = PutMode::Overwrite;
        }
        let answer = self.memory.put_opts(location, payload, options).await;
        if fault.is_some() { Err(failure("the answer was lost")) } else { answer }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.run(self.memory.put_multipart_opts(location, options)).await?;
        Ok(Box::new(SimUpload { store: self.clone(), upload }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.run(self.memory.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.run(self.memory.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move { store.run(store.memory.delete(&location)).await.map(|()| location) }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        futures::stream::once(async move {
            let listing = store.memory.list(prefix.as_ref());
            store.run(async { Ok(listing) }).await
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run(self.memory.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run(self.memory.copy_opts(from, to, options)).await
    }
}

/// Completing is an operation of its own; parts are not.
#[derive(Debug)]
struct SimUpload {
    store: SimObjects,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for SimUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let store = self.store.clone();
        store.run(self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

impl fmt::Debug for SimObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimObjects({} operations)", self.operations())
    }
}

impl fmt::Display for SimObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated objects")
    }
}

//! `ochre adopt`.

use anyhow::{Context, anyhow};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use ochre_database::adopt::{DatabaseSurvey, LogPlace, Survey, survey};
use ochre_env::Env;
use ochre_store::object::Layout;

use super::Stop;
use super::table::table;
use crate::config::{Config, Flags, LogHomeKind};
use crate::serve::{object_store_url, open_objects};

/// Take over the node of another server, which is gone or must go, and serve it.
///
/// This is `ochre serve` with the other's --node-id and --object-store, but it says first what may be missing: where the
/// other's log is not at hand, what was acknowledged and not yet persisted is not either, and --accept-lost-log has to say
/// that this is known. If the other server still runs, it is fenced: it acknowledges nothing more, and stops.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Only look: print what the catalogs have and what may be missing, and change nothing.
    #[arg(long)]
    check: bool,
    /// Take over although the log that the catalog names is not here.
    #[arg(long)]
    accept_lost_log: bool,
    #[command(flatten)]
    pub flags: Flags,
}

impl Adopt {
    /// Looks at the node; whether it is to be served now.
    pub async fn look(&self, config: &Config) -> Result<bool, Stop> {
        let env = Env::system();
        let data_dir = std::path::absolute(&config.storage.data_dir).context("finding the data directory")?;
        let url = object_store_url(config.storage.object_store.as_str(), &data_dir)?;
        super::inspect::must_exist(&url)?;
        let objects = open_objects(config, &env, &url).await.with_context(|| format!("opening {url}"))?.store;
        let node = &config.node.id;
        let layout = Layout::new(&object_store::path::Path::default(), node);
        let log = match config.log.home {
            LogHomeKind::Disk => Some(data_dir.join("log")).filter(|dir| dir.is_dir()).map(LogPlace::Directory),
            LogHomeKind::ObjectStore => Some(LogPlace::ObjectStore),
            LogHomeKind::Memory => None,
        };
        let found = survey(&env, &objects, &layout, log).await;
        let found = found.with_context(|| format!("looking at node {node} in {url}"))?;
        let Some(found) = found else {
            return Err(Stop::Failed(anyhow!(
                "there is no node {node} in {url}: nothing can be adopted; ochre serve begins a new one"
            )));
        };
        eprint!("{}", text(node.as_str(), &found));
        if self.check {
            return Ok(false);
        }
        if found.log_is_lost() && !self.accept_lost_log {
            return Err(Stop::Failed(anyhow!(
                "the log of node {node} is not here, so rows may be missing as said above: find it and start with its directory, or give --accept-lost-log"
            )));
        }
        Ok(true)
    }
}

fn text(node: &str, found: &Survey) -> String {
    let mut text = match &found.owner {
        Some(owner) => format!(
            "node {node} is held by epoch {} (incarnation {}), claimed {} by release {}\n",
            owner.epoch,
            owner.incarnation,
            time(owner.claimed_at_millis),
            owner.version
        ),
        None => format!("node {node} was never claimed\n"),
    };
    text.push_str(&match (found.log, found.found) {
        (None, _) => "it has no log yet\n".to_owned(),
        (Some(log), Some(here)) if log == here => format!("its log {log} is here: nothing that it has is missing\n"),
        (Some(log), here) => {
            let here = here.map_or("there is none here".to_owned(), |here| format!("the one here is {here}"));
            format!(
                "LOST LOG: its log is {log}, and {here}. Frames above those below are in no catalog: what was acknowledged since the newest row and the last commit, and maybe some of what came shortly before\n"
            )
        }
    });
    let header = ["database", "rows", "persisted through", "newest row accepted", "last commit"];
    let rows: Vec<Vec<String>> = found.databases.iter().map(row).collect();
    text + &table(&header, &rows)
}

fn row(database: &DatabaseSurvey) -> Vec<String> {
    let name = database.name.to_string();
    match &database.catalog {
        Ok(has) => vec![
            name,
            has.rows.to_string(),
            has.through.map_or("-".to_owned(), |sequence| format!("frame {sequence}")),
            has.newest_millis.map_or("-".to_owned(), time),
            if has.committed_at_millis == 0 { "-".to_owned() } else { time(has.committed_at_millis) },
        ],
        Err(reason) => vec![name, format!("UNREADABLE: {reason}")],
    }
}

fn time(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| millis.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

//! Where values come from: flags, environment, file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Config, file};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(String),
    /// A variable of the environment.
    Environment(String),
    /// A key of the file.
    File(PathBuf, String),
    /// Nobody gave one.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(path, key) => write!(f, "file {}, {key}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The flags of all settings, as clap parses them.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`, or `OCHRE_CONFIG`.
    pub file: Option<PathBuf>,
    given: BTreeMap<String, String>,
}

/// All that was given, before it is read as values.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    given: BTreeMap<String, (String, Origin)>,
    /// What was wrong with the file itself.
    pub problems: Vec<String>,
}

impl Sources {
    /// Collects what flags, environment and file say. `environment` looks a variable up.
    pub fn collect(flags: &Flags, environment: impl Fn(&str) -> Option<String>) -> Self {
        let mut sources = Self::default();
        let path =
            flags.file.clone().or_else(|| environment("OCHRE_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from));
        if let Some(path) = &path {
            sources.add_file(path);
        }
        for setting in Config::SETTINGS {
            let variable = setting.env();
            if let Some(text) = environment(&variable) {
                sources.given.insert(setting.flag.to_owned(), (text, Origin::Environment(variable)));
            }
            if let Some(text) = flags.given.get(setting.flag) {
                sources.given.insert(setting.flag.to_owned(), (text.clone(), Origin::Flag(setting.flag.to_owned())));
            }
        }
        sources
    }

    fn add_file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("the file {} can't be read: {error}", path.display()));
                return;
            }
        };
        match file::parse(&text) {
            Ok((values, problems)) => {
                self.problems.extend(problems.into_iter().map(|problem| format!("file {}: {problem}", path.display())));
                for (setting, value) in values {
                    let origin = Origin::File(path.to_owned(), setting.key.to_owned());
                    self.given.insert(setting.flag.to_owned(), (value, origin));
                }
            }
            Err(reason) => self.problems.push(format!("file {} is not TOML: {reason}", path.display())),
        }
    }

    /// The text given for the setting of `flag`, and by whom.
    pub fn given(&self, flag: &str) -> Option<(&str, Origin)> {
        self.given.get(flag).map(|(text, origin)| (text.as_str(), origin.clone()))
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        for setting in Config::SETTINGS {
            if setting.switch {
                if matches.get_flag(setting.flag) {
                    self.given.insert(setting.flag.to_owned(), "true".to_owned());
                }
            } else if let Some(text) = matches.get_one::<String>(setting.flag) {
                self.given.insert(setting.flag.to_owned(), text.clone());
            }
        }
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file with settings [env: OCHRE_CONFIG]");
        Config::SETTINGS.iter().fold(command.arg(file), |command, setting| {
            let default = if setting.default.is_empty() { "none" } else { setting.default };
            let help = format!(
                "{} [{}; default: {default}; env: {}; file: {}]",
                setting.doc.trim(),
                setting.unit,
                setting.env(),
                setting.key
            );
            let arg = Arg::new(setting.flag).long(setting.flag).help(help);
            command.arg(if setting.switch {
                arg.action(ArgAction::SetTrue)
            } else {
                arg.action(ArgAction::Set).value_name(setting.unit)
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

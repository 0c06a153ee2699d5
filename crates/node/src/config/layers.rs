//! Layers that a configuration is made of: the defaults, the file, what was changed while the node
//! ran, the environment. What can be set is in the parent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::{Table, Value};

use super::{Config, ConfigError, SETTINGS};
use crate::paths;

/// Where a setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// The configuration file.
    File,
    /// It was changed while the node ran.
    Runtime,
    /// An environment variable.
    Environment,
}

/// A configuration in its layers, so that it can be said where each value comes from.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file's path, if there is one.
    pub file: Option<PathBuf>,
    from_file: Table,
    runtime: BTreeMap<String, Value>,
    environment: BTreeMap<String, Value>,
}

impl Layers {
    /// Reads the file at `path`, or the one at the usual place if there is one; then the variables
    /// among `environment`.
    ///
    /// # Errors
    /// When `path` cannot be read, or anything is unknown or of the wrong kind.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let usual = paths::config_file();
        let path = path.map_or_else(|| usual.is_file().then_some(usual.as_path()), Some);
        let mut layers = Self::default();
        if let Some(path) = path {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            layers = Self::from_toml(&text, path)?;
        }
        for (variable, text) in environment {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable)
            else {
                continue;
            };
            let value = setting.parse(&text);
            let mistake = |message| ConfigError::Setting { name: variable.clone(), message };
            layers.environment.insert(setting.name.to_owned(), value.map_err(mistake)?);
        }
        layers.check(None)?;
        Ok(layers)
    }

    fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::File { path: path.to_owned(), message };
        // For its messages, which know line and column.
        toml::from_str::<Config>(text).map_err(|error| wrong(error.to_string()))?;
        let from_file = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        Ok(Self { file: Some(path.to_owned()), from_file, ..Self::default() })
    }

    /// Changes a setting while the node runs; `None` takes that back.
    ///
    /// # Errors
    /// When there is no such setting, or the value is not of its kind; then nothing changes.
    pub fn change(&mut self, name: &str, value: Option<Value>) -> Result<(), ConfigError> {
        let mut changed = self.clone();
        match value {
            Some(value) => changed.runtime.insert(name.to_owned(), value),
            None => changed.runtime.remove(name),
        };
        changed.check(Some(name))?;
        *self = changed;
        Ok(())
    }

    fn check(&self, name: Option<&str>) -> Result<(), ConfigError> {
        if let Some(name) = name
            && !SETTINGS.iter().any(|setting| setting.name == name)
        {
            let message = "there is no such setting".to_owned();
            return Err(ConfigError::Setting { name: name.to_owned(), message });
        }
        let wrong = |message: String| ConfigError::Setting {
            name: name.unwrap_or("configuration").to_owned(),
            message: message.trim().to_owned(),
        };
        self.merged().try_into::<Config>().map_err(|error| wrong(error.to_string()))?.validate()
    }

    fn merged(&self) -> Table {
        let mut merged = self.from_file.clone();
        for (name, value) in self.runtime.iter().chain(&self.environment) {
            let Some((section, key)) = name.split_once('.') else { continue };
            let section = merged.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(key.to_owned(), value.clone());
            }
        }
        merged
    }

    /// What all layers say together.
    #[must_use]
    pub fn config(&self) -> Config {
        // Every layer was checked when it was laid on.
        self.merged().try_into().unwrap_or_default()
    }

    /// A setting's value and where it comes from.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<(Value, Origin)> {
        let (section, key) = name.split_once('.')?;
        let in_table = |table: &Table| table.get(section)?.get(key).cloned();
        if let Some(value) = self.environment.get(name) {
            return Some((value.clone(), Origin::Environment));
        }
        if let Some(value) = self.runtime.get(name) {
            return Some((value.clone(), Origin::Runtime));
        }
        if let Some(value) = in_table(&self.from_file) {
            return Some((value, Origin::File));
        }
        let default = Table::try_from(Config::default()).ok()?;
        Some((in_table(&default)?, Origin::Default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<Layers, ConfigError> {
        let layers = Layers::from_toml(text, Path::new("config.toml"))?;
        layers.check(None)?;
        Ok(layers)
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error =
            from_toml("[api]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n").expect_err("unknown");
        let message = error.to_string();
        assert!(message.contains("line 3") && message.contains("lissten"), "{message}");
        let error = from_toml("[transfers]\nupload_limit = \"fast\"\n").expect_err("a number");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn layers_lie_on_each_other() {
        let mut layers = from_toml("[transfers]\nupload_limit = 1000\n").expect("good");
        assert_eq!(layers.config().transfers.limits(), (Some(1000), None));
        layers.change("transfers.upload_limit", Some(Value::Integer(2000))).expect("good");
        assert_eq!(layers.config().transfers.upload_limit, 2000);
        layers.environment.insert("transfers.upload_limit".into(), Value::Integer(3000));
        assert_eq!(layers.config().transfers.upload_limit, 3000);
        let (_, origin) = layers.value("transfers.upload_limit").expect("a setting");
        assert_eq!(origin, Origin::Environment);
        let (value, origin) = layers.value("network.pex").expect("a setting");
        assert_eq!((value, origin), (Value::Boolean(true), Origin::Default));
    }

    #[test]
    fn a_change_for_the_worse_changes_nothing() {
        let mut layers = from_toml("").expect("good");
        for (name, value) in [
            ("transfers.upload_limit", Value::String("x".into())),
            ("transfers.upload_limit", Value::Integer(-1)),
            ("transfers.nothing", Value::Integer(1)),
            ("api.listen", Value::String("everywhere".into())),
            ("transfers.download_dir", Value::String("here".into())),
            ("network.max_connections", Value::Integer(0)),
            ("transfers.max_connections", Value::Integer(0)),
        ] {
            assert!(layers.change(name, Some(value)).is_err(), "{name}");
        }
        assert_eq!(layers.config(), Config::default());
    }

    #[test]
    fn variables_are_parsed_by_the_kind_of_their_setting() {
        let variables = [
            ("SHOAL_API_LISTEN", "[::1]:9"),
            ("SHOAL_NETWORK_PEX", "false"),
            ("SHOAL_NETWORK_LISTEN", "127.0.0.1:1,[::1]:1"),
            ("SHOAL_LOG", "debug"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let config = Layers::load(Some(empty.path()), variables).expect("good").config();
        assert_eq!(config.api.listen, "[::1]:9");
        assert!(!config.network.pex);
        assert_eq!(config.network.listen.len(), 2);
        let wrong = [("SHOAL_NETWORK_PEX".to_owned(), "maybe".to_owned())];
        let error = Layers::load(Some(empty.path()), wrong).expect_err("wrong");
        assert!(error.to_string().contains("SHOAL_NETWORK_PEX"), "{error}");
    }

    #[test]
    fn every_setting_is_described() {
        let table = Table::try_from(Config::default()).expect("plain values");
        let mut names: Vec<String> = Vec::new();
        for (section, keys) in &table {
            let keys = keys.as_table().expect("a section");
            names.extend(keys.keys().map(|key| format!("{section}.{key}")));
        }
        let mut described: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        names.sort();
        described.sort_unstable();
        assert_eq!(names, described);
    }
}

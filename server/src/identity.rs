//! Who this broker is: Kafka's `meta.properties` in every log directory.
//!
//! The cluster's id is made once and kept; the broker's number must stay what it was; each directory has an id of its
//! own. What does not fit is refused: it is other data than the operator thinks. A directory whose file cannot be read is
//! left out as long as another one says which cluster this is.

use crate::config::Config;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The file's name.
const FILE: &str = "meta.properties";
/// What a directory holds that was served before.
const DATA: &str = "thalweg-journal";
/// It is never longer.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why the log directories cannot be this broker's.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not what we would have written.
    #[error("{}: {reason}: put back the file as it was, or move the directory away to start with an empty one", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is gone, and the data are not: a new one would make them another cluster's.
    #[error("{}: it is missing, and there are data beside it: put it back, from a backup or as it was (version=1, cluster.id, node.id)", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// Another broker's data.
    #[error("{}: these data are of node {found}, this is node {own}: set node.id={found}, or give this broker another log.dirs", path.display())]
    OtherNode {
        /// Which.
        path: PathBuf,
        /// As it says.
        found: String,
        /// As the configuration says.
        own: i32,
    },
    /// Another cluster's data.
    #[error("{}: these data are of cluster {found}, those in {} of cluster {known}: name directories of one cluster in log.dirs", path.display(), first.display())]
    OtherCluster {
        /// Which.
        path: PathBuf,
        /// As it says.
        found: String,
        /// The directory before it.
        first: PathBuf,
        /// As that one says.
        known: String,
    },
    /// Nobody says which cluster this is, and who might cannot be asked.
    #[error(
        "no log directory that works has a meta.properties, and {absent_count} cannot be used: mend them, or take them out of log.dirs if they never held data"
    )]
    Unsaid {
        /// Directories that cannot be used.
        absent_count: usize,
    },
    /// One directory was copied from another.
    #[error("{}: it has the directory.id of {}: one is a copy of the other, take it out of log.dirs", path.display(), first.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// The directory before it.
        first: PathBuf,
    },
}

/// Who the broker is, and where that cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster_id: String,
    /// Log directories that cannot be used, by their place in `log.dirs`, and why.
    pub absent: BTreeMap<usize, String>,
}

/// What one file says.
struct Meta {
    path: PathBuf,
    cluster_id: String,
    directory_id: Option<String>,
}

/// Reads the cluster's id from the log directories, or makes one on the first start; directories without a file get one.
/// Those in `absent` are not looked at; those whose file cannot be read or written join them, unless none would be left.
///
/// # Errors
/// Directories of different clusters or brokers, and files that cannot be read or written.
pub fn open(config: &Config, absent: &BTreeMap<usize, String>) -> Result<Identity, IdentityError> {
    let mut absent = absent.clone();
    let mut known: Vec<Meta> = Vec::new();
    let (mut missing, mut first_error) = (Vec::new(), None);
    for (at, directory) in config.log_dirs.iter().enumerate() {
        if absent.contains_key(&at) {
            continue;
        }
        let path = Path::new(directory).join(FILE);
        let meta = match read(&path, config.node_id) {
            Ok(Some(meta)) => meta,
            Ok(None) if path.with_file_name(DATA).exists() => {
                leave_out(at, IdentityError::Missing { path }, &mut absent, &mut first_error)?;
                continue;
            }
            Ok(None) => {
                missing.push((at, path));
                continue;
            }
            Err(error) => {
                leave_out(at, error, &mut absent, &mut first_error)?;
                continue;
            }
        };
        if let Some(first) = known.first().filter(|first| first.cluster_id != meta.cluster_id) {
            let (first, known) = (first.path.clone(), first.cluster_id.clone());
            return Err(IdentityError::OtherCluster { path, found: meta.cluster_id, first, known });
        }
        let is_copy = |other: &&Meta| other.directory_id.is_some() && other.directory_id == meta.directory_id;
        if let Some(first) = known.iter().find(is_copy) {
            return Err(IdentityError::Copy { path, first: first.path.clone() });
        }
        known.push(meta);
    }
    // A first start is one where every directory is empty: another id would make strangers of those that come back.
    let is_known = !known.is_empty();
    let cluster_id = known.into_iter().next().map_or_else(new_id, |meta| meta.cluster_id);
    if !is_known && !absent.is_empty() {
        return Err(first_error.unwrap_or(IdentityError::Unsaid { absent_count: absent.len() }));
    }
    for (at, path) in missing {
        if let Err(error) = write(&path, &cluster_id, config.node_id) {
            leave_out(at, IdentityError::File { path, error }, &mut absent, &mut first_error)?;
        }
    }
    match first_error {
        Some(error) if absent.len() == config.log_dirs.len() => Err(error),
        _ => Ok(Identity { cluster_id, absent }),
    }
}

/// A file that cannot be read, was damaged or is gone keeps its directory out; one that says something else is refused.
fn leave_out(
    at: usize,
    error: IdentityError,
    absent: &mut BTreeMap<usize, String>,
    first_error: &mut Option<IdentityError>,
) -> Result<(), IdentityError> {
    let is_own_trouble = matches!(
        error,
        IdentityError::File { .. } | IdentityError::Damaged { .. } | IdentityError::Missing { .. }
    );
    if !is_own_trouble {
        return Err(error);
    }
    absent.insert(at, error.to_string());
    first_error.get_or_insert(error);
    Ok(())
}

/// Reads one file; `None` where there is none.
fn read(path: &Path, node_id: i32) -> Result<Option<Meta>, IdentityError> {
    let failed = |error| IdentityError::File { path: path.to_owned(), error };
    let damaged = |reason: &str| IdentityError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut found: HashMap<String, String> =
        java_properties::read(bytes.as_slice()).map_err(|error| damaged(&error.to_string()))?;
    match found.get("version").map(String::as_str) {
        Some("0" | "1") => {}
        Some(version) => return Err(damaged(&format!("version {version} is not known here"))),
        None => return Err(damaged("no version in it")),
    }
    // Version 0 says broker.id.
    let node = found.remove("node.id").or_else(|| found.remove("broker.id"));
    let node = node.ok_or_else(|| damaged("no node.id in it"))?;
    if node != node_id.to_string() {
        return Err(IdentityError::OtherNode { path: path.to_owned(), found: node, own: node_id });
    }
    let cluster_id = found.remove("cluster.id").filter(|id| !id.is_empty());
    let cluster_id = cluster_id.ok_or_else(|| damaged("no cluster.id in it"))?;
    Ok(Some(Meta { path: path.to_owned(), cluster_id, directory_id: found.remove("directory.id") }))
}

/// A random id as Kafka writes them: 16 bytes in base64 of URLs, never beginning with a dash.
fn new_id() -> String {
    loop {
        let id = URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

fn write(path: &Path, cluster_id: &str, node_id: i32) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    write!(file, "version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={}\n", new_id())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id that these directories say, when all can be used.
    fn open(config: &Config) -> Result<String, IdentityError> {
        let identity = super::open(config, &BTreeMap::new())?;
        assert!(identity.absent.is_empty(), "{identity:?}");
        Ok(identity.cluster_id)
    }

    fn config(directories: &[&Path], node_id: &str) -> Config {
        let names: Vec<_> = directories.iter().map(|path| path.to_str().unwrap()).collect();
        let set = [("log.dirs", names.join(",")), ("node.id", node_id.to_owned())];
        Config::of(BTreeMap::from(set.map(|(key, value)| (key.to_owned(), value)))).unwrap()
    }

    #[test]
    fn the_cluster_keeps_its_id_and_another_node_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(&config(&[directory.path()], "1")).unwrap();
        assert_eq!(first.len(), 22);
        assert_eq!(open(&config(&[directory.path()], "1")).unwrap(), first);
        let refused = open(&config(&[directory.path()], "2")).unwrap_err().to_string();
        assert!(refused.contains("set node.id=1"), "{refused}");
    }

    #[test]
    fn a_directory_that_is_added_joins_the_cluster() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = open(&config(&[old.path()], "1")).unwrap();
        assert_eq!(open(&config(&[new.path(), old.path()], "1")).unwrap(), id);
        let text = std::fs::read_to_string(new.path().join(FILE)).unwrap();
        assert!(text.contains(&format!("cluster.id={id}\n")) && text.contains("version=1\n"), "{text}");
    }

    #[test]
    fn data_whose_file_is_gone_get_no_new_identity() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&[directory.path()], "1");
        let id = open(&config).unwrap();
        std::fs::create_dir(directory.path().join(DATA)).unwrap();
        assert_eq!(open(&config).unwrap(), id);
        std::fs::remove_file(directory.path().join(FILE)).unwrap();
        let refused = open(&config).unwrap_err().to_string();
        assert!(refused.contains("meta.properties: it is missing"), "{refused}");
    }

    #[test]
    fn data_of_others_and_copies_are_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        open(&config(&[one.path()], "1")).unwrap();
        open(&config(&[other.path()], "1")).unwrap();
        let both = config(&[one.path(), other.path()], "1");
        assert!(matches!(open(&both), Err(IdentityError::OtherCluster { .. })));
        std::fs::copy(one.path().join(FILE), other.path().join(FILE)).unwrap();
        assert!(matches!(open(&both), Err(IdentityError::Copy { .. })));
    }

    #[test]
    fn a_directory_whose_file_is_damaged_is_left_out_as_long_as_another_says_who_we_are() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = open(&config(&[one.path(), other.path()], "1")).unwrap();
        std::fs::write(other.path().join(FILE), "rubbish").unwrap();
        let both = config(&[one.path(), other.path()], "1");
        let identity = super::open(&both, &BTreeMap::new()).unwrap();
        assert_eq!(identity.cluster_id, id);
        assert_eq!(identity.absent.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(std::fs::read_to_string(other.path().join(FILE)).unwrap(), "rubbish");
        // An empty one beside it could not say which cluster this is, and gets no id of another.
        let empty = tempfile::tempdir().unwrap();
        let unsaid = super::open(&config(&[empty.path(), other.path()], "1"), &BTreeMap::new());
        assert!(matches!(unsaid, Err(IdentityError::Damaged { .. })), "{unsaid:?}");
        let absent = BTreeMap::from([(1, "gone".to_owned())]);
        let unsaid = super::open(&config(&[empty.path(), other.path()], "1"), &absent);
        assert!(matches!(unsaid, Err(IdentityError::Unsaid { absent_count: 1 })), "{unsaid:?}");
        assert!(!empty.path().join(FILE).exists());
    }

    #[test]
    fn kafkas_file_is_read_and_a_damaged_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&[directory.path()], "1");
        let with = |text: &str| {
            std::fs::write(directory.path().join(FILE), text).unwrap();
            open(&config)
        };
        let kafkas =
            "#\n#Mon Nov 23 10:24:24 UTC 2026\nnode.id=1\ndirectory.id=abE\nversion=1\ncluster.id=AAAA\n";
        assert_eq!(with(kafkas).unwrap(), "AAAA");
        assert_eq!(with("version=0\nbroker.id=1\ncluster.id=x-Y\n").unwrap(), "x-Y");
        for damaged in [
            "",
            "version=2\nnode.id=1\ncluster.id=x\n",
            "version=1\nnode.id=1\n",
            "version=1\ncluster.id=x\n",
        ] {
            assert!(matches!(with(damaged), Err(IdentityError::Damaged { .. })), "{damaged}");
        }
    }
}

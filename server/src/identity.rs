//! Who this broker is: Kafka's `meta.properties` in every log directory.

use crate::config::Config;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

/// Reads the cluster's id from the log directories, or makes one on the first start.
///
/// # Errors
/// Directories of different clusters or brokers, and files that cannot be read or written: in one line.
pub fn open(config: &Config) -> Result<String, String> {
    let mut known: Option<String> = None;
    let mut missing = Vec::new();
    for directory in &config.log_dirs {
        let path = Path::new(directory).join("meta.properties");
        let told = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let found = match std::fs::File::open(&path) {
            Ok(file) => java_properties::read(std::io::BufReader::new(file)).map_err(|error| told(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(path);
                continue;
            }
            Err(error) => return Err(told(&error)),
        };
        let node_id = found.get("node.id").or_else(|| found.get("broker.id"));
        if node_id.is_some_and(|node_id| *node_id != config.node_id.to_string()) {
            return Err(told(&format!(
                "these data are of node {}, this is node {}: set node.id, or choose another log.dirs",
                node_id.map_or("", String::as_str),
                config.node_id
            )));
        }
        let cluster_id = cluster_id_of(&found).ok_or_else(|| told(&"no cluster.id in it"))?;
        if known.as_ref().is_some_and(|known| *known != cluster_id) {
            return Err(told(&format!(
                "these data are of another cluster than those in {}",
                config.log_dirs[0]
            )));
        }
        known = Some(cluster_id);
    }
    let cluster_id = known.unwrap_or_else(new_id);
    for path in missing {
        write(&path, &cluster_id, config.node_id).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(cluster_id)
}

fn cluster_id_of(found: &HashMap<String, String>) -> Option<String> {
    found.get("cluster.id").filter(|id| !id.is_empty()).cloned()
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
    use std::collections::BTreeMap;

    fn config(directory: &Path, node_id: &str) -> Config {
        let set = [("log.dirs", directory.to_str().unwrap()), ("node.id", node_id)];
        Config::of(
            set.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        )
        .unwrap()
    }

    #[test]
    fn the_cluster_keeps_its_id_and_another_node_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(&config(directory.path(), "1")).unwrap();
        assert_eq!(first.len(), 22);
        assert_eq!(open(&config(directory.path(), "1")).unwrap(), first);
        assert!(open(&config(directory.path(), "2")).unwrap_err().contains("node.id"));
    }
}

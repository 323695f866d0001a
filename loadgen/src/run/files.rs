//! How many sockets may this process have?
use super::RunError;

/// File descriptors that are not members' sockets.
const FILES_BESIDE: u64 = 64;

/// Lets the process open as many files as it may, and looks whether that is enough.
pub(crate) fn may_open(sockets: u64) -> Result<(), RunError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let refused = |source| RunError::System { what: "raising the limit of open files", source };
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|error| refused(error.into()))?;
    match maximum {
        Some(maximum) if maximum < sockets + FILES_BESIDE => Err(RunError::TooFewFiles { maximum, sockets }),
        _ => Ok(()),
    }
}

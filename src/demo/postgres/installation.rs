//! Where the server's programs are.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Debian's and Ubuntu's place, which is not on PATH: one directory for each major version.
pub(super) const DEBIAN: &str = "/usr/lib/postgresql";

/// The installation directory, whose `bin` holds the server's programs: the one on `path` (the
/// value of PATH), else the newest in `versions`.
pub(super) fn find(path: Option<&OsStr>, versions: &Path) -> Option<PathBuf> {
    path.and_then(on_path).or_else(|| newest(versions))
}

fn on_path(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).find_map(|dir| {
        // Package managers link single programs into a common `bin`. The installation is where
        // the link leads; beside the link a program may be missing.
        let initdb = dir.join("initdb").canonicalize().ok()?;
        complete(initdb.parent()?.parent()?)
    })
}

fn newest(versions: &Path) -> Option<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(versions)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some((version(&name)?, complete(&versions.join(name))?)))
        .collect();
    found.sort();
    found.pop().map(|(_, dir)| dir)
}

/// "9.6" is older than "15", which is older than "16".
fn version(name: &str) -> Option<Vec<u32>> {
    name.split('.').map(|part| part.parse().ok()).collect()
}

/// A client package leaves a `bin` without a server, a wrapper script one without its companions.
fn complete(dir: &Path) -> Option<PathBuf> {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| dir.join("bin").join(program).is_file())
        .then(|| dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const SERVER: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

    /// A directory, resolved as `find` resolves links (macOS: /var is one).
    fn temp() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    fn install(dir: &Path, programs: &[&str]) -> PathBuf {
        fs::create_dir_all(dir.join("bin")).unwrap();
        for program in programs {
            fs::write(dir.join("bin").join(program), "").unwrap();
        }
        dir.to_owned()
    }

    #[test]
    fn the_newest_complete_version_wins() {
        let (_guard, root) = temp();
        install(&root.join("9.6"), &SERVER);
        install(&root.join("15"), &SERVER);
        let newest = install(&root.join("16"), &SERVER);
        install(&root.join("17"), &["initdb", "psql"]);
        install(&root.join("common"), &SERVER);
        assert_eq!(find(None, &root), Some(newest));
    }

    #[test]
    fn nothing_complete_is_nothing() {
        let (_guard, root) = temp();
        install(&root.join("15"), &["psql"]);
        assert_eq!(find(None, &root), None);
        assert_eq!(find(None, &root.join("missing")), None);
        assert_eq!(find(Some(OsStr::new("")), &root), None);
    }

    #[test]
    fn a_link_on_path_leads_to_its_installation() {
        let (_guard, root) = temp();
        let server = install(&root.join("cellar"), &SERVER);
        install(&root.join("versions/16"), &SERVER);
        let local = install(&root.join("local"), &[]).join("bin");
        symlink(server.join("bin/initdb"), local.join("initdb")).unwrap();
        let found = find(Some(local.as_os_str()), &root.join("versions"));
        assert_eq!(found, Some(server));
    }

    #[test]
    fn a_hit_on_path_without_a_server_is_skipped() {
        let (_guard, root) = temp();
        let wrapper = install(&root.join("wrapper"), &["initdb"]).join("bin");
        let server = install(&root.join("server"), &SERVER);
        let path = std::env::join_paths([wrapper, server.join("bin")]).unwrap();
        assert_eq!(find(Some(&path), &root), Some(server));
    }
}

//! Finds the binaries of the PostgreSQL server, which many systems keep out of `PATH`, and chooses the account to run
//! them.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User};

use super::Error;

const OLDEST_MAJOR: u32 = 15;

/// Where packages put the binaries of a version: `<parent>/<prefix><version>/bin`.
const FAMILIES: [(&str, &str); 6] = [
    ("usr/lib/postgresql", ""), // Debian, Ubuntu
    ("usr", "pgsql-"),          // Fedora, RHEL: the packages of postgresql.org
    ("opt/homebrew/opt", "postgresql@"),
    ("usr/local/opt", "postgresql@"),
    ("home/linuxbrew/.linuxbrew/opt", "postgresql@"),
    ("Applications/Postgres.app/Contents/Versions", ""),
];

#[derive(Debug)]
pub struct Binaries {
    pub postgres: PathBuf,
    pub initdb: PathBuf,
    pub major: u32,
}

/// Finds a server that `account` may execute. Its major version must be the one that created the data, because others
/// cannot read it; without data, any supported version.
pub async fn find(bin_dir: Option<&Path>, major: Option<u32>, account: Account) -> Result<Binaries, Error> {
    let wanted = match major {
        Some(major) => format!("{major} (which created the existing data)"),
        None => format!("{OLDEST_MAJOR} or newer"),
    };
    if let Some(dir) = bin_dir {
        let found = first_suitable([dir.into()], major, account).await;
        return found.ok_or_else(|| Error::BadBinDir { dir: dir.into(), wanted });
    }
    let mut candidates = Vec::new();
    // `pg_config` belongs to the client library, so there may be no server in its folder.
    candidates.extend(output(Path::new("pg_config"), "--bindir", account).await.map(PathBuf::from));
    // An empty folder results in bare names, which are searched in PATH.
    candidates.push(PathBuf::new());
    candidates.extend(usual_folders(Path::new("/")));
    first_suitable(candidates, major, account).await.ok_or(Error::NoBinaries { wanted })
}

async fn first_suitable(
    folders: impl IntoIterator<Item = PathBuf>,
    wanted: Option<u32>,
    account: Account,
) -> Option<Binaries> {
    for folder in folders {
        let (postgres, initdb) = (folder.join("postgres"), folder.join("initdb"));
        let Some(major) = major_version(&postgres, account).await else {
            continue;
        };
        let is_suitable = wanted.map_or(major >= OLDEST_MAJOR, |wanted| major == wanted);
        if is_suitable && major_version(&initdb, account).await == Some(major) {
            return Some(Binaries { postgres, initdb, major });
        }
    }
    None
}

/// The folders under `root` where packages put servers, newest first within each family.
fn usual_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix) in FAMILIES {
        let entries = fs::read_dir(root.join(parent)).into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let major = leading_number(entry.file_name().to_str()?.strip_prefix(prefix)?)?;
                Some((major, entry.path().join("bin")))
            })
            .collect();
        versions.sort_by_key(|&(major, _)| Reverse(major));
        folders.extend(versions.into_iter().map(|(_, folder)| folder));
    }
    folders.extend(["usr/bin", "usr/local/bin"].map(|folder| root.join(folder)));
    folders
}

async fn major_version(program: &Path, account: Account) -> Option<u32> {
    parse_major(&output(program, "--version", account).await?)
}

async fn output(program: &Path, argument: &str, account: Account) -> Option<String> {
    let mut command = tokio::process::Command::from(account.command(program));
    let output = command.arg(argument).output().await.ok()?;
    let is_success = output.status.success();
    is_success.then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Parses output such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_major(version: &str) -> Option<u32> {
    leading_number(version.split_once(") ")?.1)
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The user and group ids of the server if the service runs as root, because PostgreSQL does not run as root; otherwise
/// `None`.
#[derive(Clone, Copy)]
pub struct Account(pub Option<(u32, u32)>);

impl Account {
    /// An existing cluster keeps its owner.
    pub fn choose(cluster: &Path) -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Ok(Self(None));
        }
        if let Ok(owner) = cluster.metadata()
            && owner.uid() != 0
        {
            return Ok(Self(Some((owner.uid(), owner.gid()))));
        }
        let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok()?);
        let user = user.ok_or(Error::NoAccount)?;
        Ok(Self(Some((user.uid.as_raw(), user.gid.as_raw()))))
    }

    pub fn command(self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        // PostgreSQL requires a current folder that it can access, and a locale that the system knows.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub fn own(self, path: &Path) -> io::Result<()> {
        self.0.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
    }

    pub fn check_can_enter(self, dir: &Path) -> Result<(), Error> {
        let Some((uid, _)) = self.0 else {
            return Ok(());
        };
        let mut cd = self.command("/bin/sh");
        cd.args(["-c", r#"cd -- "$1""#, "sh"]).arg(dir);
        let output = cd.output().map_err(Error::io("/bin/sh"))?;
        let dir = dir.into();
        let unreachable = Error::Unreachable { dir, uid };
        output.status.success().then_some(()).ok_or(unreachable)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_of_all_kinds_of_builds() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(parse_major("initdb (PostgreSQL) 19devel"), Some(19));
        assert_eq!(parse_major("postgres: command not found"), None);
    }

    #[test]
    fn newest_first_within_a_family() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["9.6", "15", "100", "16", "common"] {
            fs::create_dir_all(root.path().join("usr/lib/postgresql").join(folder)).unwrap();
        }
        fs::create_dir_all(root.path().join("usr/pgsql-17")).unwrap();
        let expected = [
            "usr/lib/postgresql/100/bin",
            "usr/lib/postgresql/16/bin",
            "usr/lib/postgresql/15/bin",
            "usr/lib/postgresql/9.6/bin",
            "usr/pgsql-17/bin",
            "usr/bin",
            "usr/local/bin",
        ];
        assert_eq!(usual_folders(root.path()), expected.map(|bin| root.path().join(bin)));
    }

    #[tokio::test]
    async fn the_first_complete_and_fitting_server_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let install = |folder: &str, program: &str, version: &str| {
            let path = root.path().join(folder).join(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        install("old", "postgres", "14.9");
        install("old", "initdb", "14.9");
        install("half", "postgres", "16.1");
        install("new", "postgres", "17.2");
        install("new", "initdb", "17.2");
        install("older", "postgres", "15.3");
        install("older", "initdb", "15.3");
        let folders = ["none", "old", "half", "new", "older"].map(|name| root.path().join(name));
        let find = |major| first_suitable(folders.clone(), major, Account(None));

        assert_eq!(find(None).await.unwrap().postgres, root.path().join("new/postgres"));
        assert_eq!(find(Some(15)).await.unwrap().initdb, root.path().join("older/initdb"));
        assert!(find(Some(18)).await.is_none());
    }
}

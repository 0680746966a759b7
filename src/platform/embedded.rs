//! The service's own PostgreSQL, which it runs as a child process if no database is configured.
//!
//! One data directory holds everything:
//!
//! - `postgres/`: the database cluster;
//! - `password`: the password of the cluster's superuser;
//! - `run`: the folder of the Unix socket, or a link to it if the path of this folder would be too long;
//! - `postgres.log`, `postgres.log.old`: the logs of the current server and of the one before;
//! - `owner.lock`: held by the service instance that runs the server;
//! - `server.lock`: held by every process of the server, so it is free only when all of them have ended.

mod binaries;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::libc::O_NOFOLLOW;
use nix::unistd::Uid;
use tokio::time::sleep;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use binaries::{Account, Binaries};

const POLL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(30);
/// The maximum path length of the socket folder. The shortest `sun_path` of the supported systems (macOS: 104 bytes
/// with the final NUL) must also hold `/.s.PGSQL.5432`.
const MAX_SOCKET_DIR: usize = 89;

const INITDB_OPTIONS: [&str; 5] =
    ["--username=partner_platform", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"];
const SETTINGS: [&str; 9] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "port=5432", // part of the socket's name; otherwise PGPORT is used
    "max_connections=200",
    "shared_buffers=128MB",
    "log_destination=stderr",
    "logging_collector=off",
    "timezone=UTC",
    "lc_messages=C",
];
const THROWAWAY_SETTINGS: [&str; 4] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "dynamic_shared_memory_type=mmap", // in the data directory, so that it is deleted with it
];

/// Runs the server given as `$4…`. When standard input ends, stops the server with the signal `$1`. Then removes the
/// socket folder `$2` and, if given, the data directory `$3`.
///
/// The service holds the other end of standard input. The kernel closes it however the service ends, even with
/// `kill -9`. (A parent-death signal would need `unsafe`, exists only on Linux, and is sent when the spawning *thread*
/// ends.) The watchdog ignores signals that are sent to all processes of the service, as systemd does, because it must
/// not end before the server.
const WATCHDOG: &str = r#"
trap '' HUP INT QUIT TERM
signal=$1 sockets=$2 throwaway=$3
shift 3
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _; kill -s "$signal" "$server"; } <&3 &
reader=$!
wait "$server"
status=$?
kill -s KILL "$reader" 2>/dev/null
rm -rf -- "$sockets" ${throwaway:+"$throwaway"}
exit "$status"
"#;

/// How durable the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// For real data: committed data survives a power loss.
    Durable,
    /// For tests: fast, and the data directory is deleted when the server stops.
    Throwaway,
}

/// The options of the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder that an earlier start created, or one that is empty or does not exist yet.
    pub data_dir: PathBuf,
    /// The folder of the PostgreSQL binaries. If `None`, the usual locations are searched.
    pub bin_dir: Option<PathBuf>,
    pub durability: Durability,
}

/// Why the database could not be started or stopped.
#[allow(missing_docs, reason = "each message says it")]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no server binaries of PostgreSQL {wanted} were found; start with `./dev run`, which \
         installs PostgreSQL, or install it with the system's package manager, or set \
         DATABASE_URL to a server or PG_BIN_DIR to the folder of `postgres` and `initdb`"
    )]
    NoBinaries { wanted: String },
    #[error("PG_BIN_DIR {} lacks `postgres` and `initdb` of PostgreSQL {wanted}", .dir.display())]
    BadBinDir { dir: PathBuf, wanted: String },
    #[error("the user has no data folder (is HOME set?); set --data-dir")]
    NoDataDir,
    #[error("{} contains files that this service did not create; choose an empty or new --data-dir", .0.display())]
    ForeignDataDir(PathBuf),
    #[error(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run \
         it as; start the service as an ordinary user"
    )]
    NoAccount,
    #[error(
        "PostgreSQL refuses to run as root, so it runs as user {uid}, who may not enter {}; choose \
         a --data-dir outside private folders such as /root, or start the service as an ordinary \
         user", .dir.display()
    )]
    Unreachable { dir: PathBuf, uid: u32 },
    #[error("initdb failed: {0}")]
    Initdb(String),
    #[error("PostgreSQL ended while starting ({status}); the end of {}:\n{tail}", .log.display())]
    Exited { status: ExitStatus, log: PathBuf, tail: String },
    #[error("PostgreSQL does not accept connections; see {}", .log.display())]
    NotReady { log: PathBuf, source: tokio_postgres::Error },
    #[error("another instance uses {}, but its PostgreSQL does not respond", .0.display())]
    Busy(PathBuf),
    #[error("the PostgreSQL of an earlier instance is still running in {}", .0.display())]
    StillRunning(PathBuf),
    #[error("cannot use {}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Error {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

/// `partner-platform` in the user's data folder; in `/var/lib` for root, because the account that PostgreSQL then runs
/// as cannot access root's home.
pub fn default_data_dir() -> Result<PathBuf, Error> {
    let parent = if Uid::effective().is_root() { Some("/var/lib".into()) } else { dirs::data_dir() };
    Ok(parent.ok_or(Error::NoDataDir)?.join("partner-platform"))
}

/// A PostgreSQL server that only this user on this machine can access. It stops when its owner is dropped or the
/// owner's process ends, in whichever way.
pub struct Embedded {
    data_dir: PathBuf,
    database_url: String,
    /// `None` if another instance runs the server.
    server: Option<Server>,
}

struct Server {
    watchdog: Child,
    #[expect(dead_code, reason = "held, as the lock is")]
    owner: File,
}

impl Server {
    fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.watchdog.try_wait().map_err(Error::io("/bin/sh"))
    }
}

impl Embedded {
    /// Starts the server, or attaches to the one that another instance runs on the same data.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let home = Home::open(options)?;
        let owner = home.open_private("owner.lock")?;
        let deadline = Instant::now() + PATIENCE;
        // The owner may end while others wait for its server, so each iteration tries both to become the owner and to
        // attach.
        while !try_lock(&owner).map_err(Error::io(home.path("owner.lock")))? {
            if let Ok(database_url) = home.database_url()
                && connect(&database_url).await.is_ok()
            {
                tracing::info!(data_dir = %home.dir.display(), "attached to a running PostgreSQL");
                return Ok(Self { data_dir: home.dir, database_url, server: None });
            }
            if Instant::now() > deadline {
                return Err(Error::Busy(home.dir));
            }
            sleep(POLL).await;
        }
        home.launch(options, owner).await
    }

    /// The URL contains the password, so it must not be logged.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Absolute, without symbolic links.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether this instance runs the server. If not, the server stops when its owner does.
    pub fn is_owner(&self) -> bool {
        self.server.is_some()
    }

    /// If this instance runs the server, stops it with all its connections, and waits until it has ended.
    pub async fn stop(mut self) -> Result<(), Error> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        drop(server.watchdog.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while server.ended()?.is_none() {
            if Instant::now() > deadline {
                return Err(Error::StillRunning(self.data_dir));
            }
            sleep(POLL).await;
        }
        // If the server runs as another account, it can empty a throwaway folder, but cannot always remove it.
        let _ = fs::remove_dir(&self.data_dir);
        Ok(())
    }
}

/// The data directory, and the account of the server's processes.
struct Home {
    dir: PathBuf,
    account: Account,
    durability: Durability,
}

impl Home {
    fn open(options: &Options) -> Result<Self, Error> {
        let dir = &options.data_dir;
        // The parent folders get ordinary modes, because the server's account must be able to pass through them.
        fs::create_dir_all(dir.parent().unwrap_or(dir)).map_err(Error::io(dir))?;
        create_private_dir(dir).or_else(|error| dir.is_dir().then_some(()).ok_or(error)).map_err(Error::io(dir))?;
        let dir = dir.canonicalize().map_err(Error::io(dir))?;
        let mut entries = fs::read_dir(&dir).map_err(Error::io(&dir))?;
        // A mistyped folder must not change its owner or be deleted. (The order matters: another instance may be
        // creating its lock at this moment, which is always the first file.)
        if entries.next().is_some() && !dir.join("owner.lock").exists() {
            return Err(Error::ForeignDataDir(dir));
        }
        let account = Account::choose(&dir.join("postgres"))?;
        account.check_can_enter(dir.parent().unwrap_or(&dir))?;
        account.own(&dir).map_err(Error::io(&dir))?;
        Ok(Self { dir, account, durability: options.durability })
    }

    async fn launch(self, options: &Options, owner: File) -> Result<Embedded, Error> {
        let started = Instant::now();
        let server_lock = self.lock_server().await?;
        let cluster = self.path("postgres");
        let major = fs::read_to_string(cluster.join("PG_VERSION")).ok();
        let major = major.and_then(|version| version.trim().parse().ok());
        let bin_dir = options.bin_dir.as_deref();
        let binaries = binaries::find(bin_dir, major, self.account).await?;
        if !cluster.exists() {
            self.init_cluster(&binaries, &server_lock).await?;
        }
        let watchdog = self.spawn(&binaries, server_lock)?;
        let mut server = Server { watchdog, owner };
        let password = self.path("password");
        let database_url = self.database_url().map_err(Error::io(password))?;
        self.wait_until_ready(&database_url, &mut server).await?;
        tracing::info!(
            data_dir = %self.dir.display(), major = binaries.major, elapsed = ?started.elapsed(),
            "PostgreSQL started"
        );
        Ok(Embedded { data_dir: self.dir, database_url, server: Some(server) })
    }

    /// Waits until all processes of an earlier owner's server have ended.
    async fn lock_server(&self) -> Result<File, Error> {
        let lock = self.open_private("server.lock")?;
        let deadline = Instant::now() + PATIENCE;
        while !try_lock(&lock).map_err(Error::io(self.path("server.lock")))? {
            if Instant::now() > deadline {
                return Err(Error::StillRunning(self.dir.clone()));
            }
            sleep(POLL).await;
        }
        Ok(lock)
    }

    /// Creates the cluster under a temporary name first, because an interrupted initdb leaves an incomplete one.
    async fn init_cluster(&self, binaries: &Binaries, server_lock: &File) -> Result<(), Error> {
        let password = self.path("password");
        let mut file = self.open_private("password")?;
        file.set_len(0)
            .and_then(|()| file.write_all(random_hex(24)?.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(Error::io(&password))?;

        let unfinished = self.path("postgres.new");
        remove_dir_if_exists(&unfinished).map_err(Error::io(&unfinished))?;
        let mut initdb = self.account.command(&binaries.initdb);
        initdb.args(INITDB_OPTIONS).arg("--pgdata").arg(&unfinished);
        initdb.arg("--pwfile").arg(&password);
        if self.durability == Durability::Throwaway {
            initdb.arg("--no-sync");
        }
        // initdb inherits the lock, so that it stays held if initdb outlives the service.
        initdb.stdin(server_lock.try_clone().map_err(Error::io(&self.dir))?);
        let output = tokio::process::Command::from(initdb).output().await;
        let output = output.map_err(Error::io(&binaries.initdb))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(Error::Initdb(reason.trim().into()));
        }
        fs::rename(&unfinished, self.path("postgres"))
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(Error::io(&unfinished))
    }

    fn spawn(&self, binaries: &Binaries, server_lock: File) -> Result<Child, Error> {
        let cluster = self.path("postgres");
        // This process holds the lock, so no server is running here. PostgreSQL itself would trust the file if another
        // process has its process id now, which is usual in a restarted container.
        let _ = fs::remove_file(cluster.join("postmaster.pid"));
        let log = self.path("postgres.log");
        let _ = fs::rename(&log, self.path("postgres.log.old"));
        let log = self.open_private("postgres.log")?;
        let sockets = self.create_socket_dir().map_err(Error::io(self.path("run")))?;

        let (signal, throwaway, more_settings) = match self.durability {
            Durability::Durable => ("INT", Path::new(""), &[][..]),
            Durability::Throwaway => ("QUIT", self.dir.as_path(), &THROWAWAY_SETTINGS[..]),
        };
        let mut watchdog = self.account.command("/bin/sh");
        watchdog.args(["-c", WATCHDOG, "partner-platform-postgres", signal]);
        watchdog.arg(&sockets).arg(throwaway);
        watchdog.arg(&binaries.postgres).arg("-D").arg(&cluster);
        for setting in SETTINGS.iter().chain(more_settings) {
            watchdog.args(["-c", setting]);
        }
        let socket_dirs = format!("unix_socket_directories=\"{}\"", sockets.display());
        watchdog.args(["-c", &socket_dirs]);
        // A separate process group, so that Ctrl-C reaches only the service, which finishes its requests before the
        // server stops. Standard output is only a way to pass on the lock; nothing writes to it.
        watchdog.process_group(0).stdin(Stdio::piped());
        watchdog.stdout(server_lock).stderr(log);
        watchdog.spawn().map_err(Error::io("/bin/sh"))
    }

    async fn wait_until_ready(&self, url: &str, server: &mut Server) -> Result<(), Error> {
        let log = self.path("postgres.log");
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let Err(source) = connect(url).await else {
                return Ok(());
            };
            if let Some(status) = server.ended()? {
                let tail = tail(&log);
                return Err(Error::Exited { status, log, tail });
            }
            match source.code() {
                None if Instant::now() < deadline => {}
                // Recovery after a crash may take long. Giving up would make it start again from the beginning.
                Some(&SqlState::CANNOT_CONNECT_NOW) => deadline = Instant::now() + PATIENCE,
                _ => return Err(Error::NotReady { log, source }),
            }
            sleep(POLL).await;
        }
    }

    fn create_socket_dir(&self) -> io::Result<PathBuf> {
        let run = self.path("run");
        remove_dir_if_exists(&run)?;
        // The setting is a list of quoted paths, and the URL needs UTF-8.
        let is_fit = |path: &str| path.len() <= MAX_SOCKET_DIR && !path.contains('"');
        let sockets = if run.to_str().is_some_and(is_fit) {
            run.clone()
        } else {
            std::env::temp_dir().join(format!("partner-platform-{}", random_hex(8)?))
        };
        create_private_dir(&sockets)?;
        self.account.own(&sockets)?;
        if sockets != run {
            symlink(&sockets, &run)?;
        }
        Ok(sockets)
    }

    fn database_url(&self) -> io::Result<String> {
        let password = fs::read_to_string(self.path("password"))?;
        let run = self.path("run");
        let sockets = fs::read_link(&run).unwrap_or(run);
        let host = percent_encode(sockets.as_os_str().as_encoded_bytes());
        let user_info = format!("partner_platform:{password}");
        Ok(format!("postgresql://{user_info}@{host}/postgres?sslmode=disable"))
    }

    /// Opens a file that only the server's account (and root) can read. Creates it if it does not exist.
    fn open_private(&self, name: &str) -> Result<File, Error> {
        let path = self.path(name);
        let mut open = OpenOptions::new();
        // The account owns the folder. It must not be able to make root open another file through a link.
        open.read(true).write(true).create(true);
        open.mode(0o600).custom_flags(O_NOFOLLOW);
        let file = open.open(&path).map_err(Error::io(&path))?;
        if let Some((uid, gid)) = self.account.0 {
            fchown(&file, Some(uid), Some(gid)).map_err(Error::io(&path))?;
        }
        Ok(file)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

async fn connect(database_url: &str) -> Result<(), tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = database_url.parse()?;
    config.connect_timeout(PATIENCE);
    config.connect(NoTls).await.map(drop)
}

fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn remove_dir_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn random_hex(len: usize) -> io::Result<String> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn percent_encode(bytes: &[u8]) -> String {
    let encode = |&byte: &u8| match char::from(byte) {
        plain if plain.is_ascii_alphanumeric() => plain.to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

fn tail(log: &Path) -> String {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_one_host_of_a_url() {
        let host = percent_encode("/a b/é,c".as_bytes());
        assert_eq!(host, "%2Fa%20b%2F%C3%A9%2Cc");
    }
}

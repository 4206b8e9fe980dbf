//! Where a test's store lives: a directory of its own, and with `TEST_ENGINE=postgres` a database
//! of its own on the server that `TEST_DATABASE_URL` names.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use tokio::runtime::{Handle, RuntimeFlavor};
use zia_mcp::store::Settings;

/// Whether the tests of this run are on PostgreSQL.
#[allow(clippy::disallowed_methods)] // which engine to test is no setting of the program
pub(crate) fn is_on_postgres() -> bool {
    std::env::var("TEST_ENGINE").is_ok_and(|engine| engine == "postgres")
}

/// What the owner of a database server's tables does first to change the audit trail.
pub(crate) const NO_TRIGGER: &str = "ALTER TABLE audit DISABLE TRIGGER USER";

/// Whether to leave a test out that is about the embedded database's file.
pub(crate) fn is_of_files_alone(what: &str) -> bool {
    let left_out = is_on_postgres();
    if left_out {
        println!("left out on PostgreSQL: {what}");
    }
    left_out
}

/// The address of the test server, as its owner.
#[allow(clippy::disallowed_methods)]
pub(crate) fn server() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names the server that tests/run starts")
}

/// A directory, and a database where the run is on PostgreSQL; both gone when it is dropped.
pub(crate) struct Place {
    dir: TempDir,
    database: Option<Database>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), database: is_on_postgres().then(Database::new) }
    }

    /// One on PostgreSQL in any run.
    pub(crate) fn on_postgres() -> Self {
        Self { dir: TempDir::new().unwrap(), database: Some(Database::new()) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The database's address.
    pub(crate) fn url(&self) -> Option<&str> {
        self.database.as_ref().map(|database| database.url.as_str())
    }

    pub(crate) fn settings(&self) -> Settings {
        let database = self.url().map(|url| url.parse().unwrap());
        Settings { state_dir: self.state(), key_file: None, database }
    }

    /// What a program that is to use this place's database finds in its environment.
    pub(crate) fn env(&self) -> Option<(&'static str, &str)> {
        self.url().map(|url| ("ZIA_MCP_DATABASE_URL", url))
    }

    /// A connection of an insider.
    pub(crate) async fn insider(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let file = || format!("sqlite:{}", self.state().join("store.db").display());
        AnyConnection::connect(&self.url().map_or_else(file, str::to_owned)).await.unwrap()
    }

    /// What an insider with the database could do.
    pub(crate) async fn raw_sql(&self, sql: &'static str) {
        let mut connection = self.insider().await;
        let changes = ["UPDATE audit ", "DELETE FROM audit"].into_iter().any(|word| sql.contains(word));
        if self.url().is_some() && changes {
            sqlx::raw_sql(NO_TRIGGER).execute(&mut connection).await.unwrap();
        }
        sqlx::raw_sql(AssertSqlSafe(self.in_its_words(sql))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Every row of the database on PostgreSQL, as text; what is binary follows as it is.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        let mut connection = self.insider().await;
        let tables = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
        let mut all = String::new();
        for table in tables {
            let rows = AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM {table} t"));
            let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut connection).await.unwrap();
            all.extend(rows);
        }
        connection.close().await.unwrap();
        let binary: Vec<u8> = all.split(r"\x").skip(1).flat_map(leading_bytes).collect();
        [all.into_bytes(), binary].concat()
    }

    /// A statement for SQLite as this place's engine has it.
    pub(crate) fn in_its_words(&self, sql: &str) -> String {
        if self.url().is_some() { for_postgres(sql) } else { sql.to_owned() }
    }
}

/// The bytes that a text begins with in hexadecimal.
fn leading_bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map_while(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// Literals of bytes and triggers that refuse, as PostgreSQL has them.
fn for_postgres(sql: &str) -> String {
    let sql: Vec<String> = sql.split("CREATE TRIGGER ").map(trigger_for_postgres).collect();
    let sql = sql.concat().replace(" AS BLOB", " AS BYTEA");
    let sql = sql.replace(" x'", r" '\x").replace("(x'", r"('\x");
    let Some((before, rest)) = sql.split_once("zeroblob(") else { return sql };
    let mut depth = 1;
    let end = rest.find(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    let (length, after) = rest.split_at(end.unwrap());
    let length = length.replace("length(", "octet_length(");
    format!("{before}decode(repeat('00', CAST({length} AS INT)), 'hex'){}", for_postgres(&after[1..]))
}

/// What follows `CREATE TRIGGER`, if it is one that refuses; anything else as it is.
fn trigger_for_postgres(sql: &str) -> String {
    let Some((trigger, rest)) = sql.split_once(" BEGIN SELECT RAISE(ABORT,") else {
        return sql.replace("DROP TRIGGER ", "DROP FUNCTION IF EXISTS is_cut, is_kept, is_full CASCADE; -- ");
    };
    let (name, on) = trigger.split_once(' ').unwrap();
    let after = rest.split_once("END").unwrap().1;
    format!(
        "CREATE FUNCTION is_{name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$; \
         CREATE TRIGGER is_{name} {on} FOR EACH ROW EXECUTE FUNCTION is_{name}(){after}"
    )
}

/// A database of the test server.
pub(crate) struct Database {
    name: String,
    url: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        administer(format!("CREATE DATABASE {name}"));
        let mut url: url::Url = server().parse().unwrap();
        url.set_path(&name);
        Self { name, url: url.into() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        administer(format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs one statement as the server's owner; in any test, asynchronous or not.
pub(crate) fn administer(sql: String) {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            sqlx::any::install_default_drivers();
            let mut connection = AnyConnection::connect(&server()).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    };
    let done = || std::thread::spawn(work).join().unwrap();
    // Other tasks of a test go on meanwhile: their calls have two seconds.
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(done),
        _ => done(),
    }
}

//! Migrations: each can be reverted, concurrent runs are safe, and every constraint has an explicit name.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use partner_platform::platform::db::{Db, Schema};
use tokio::task::JoinSet;

use crate::support::Database;
use crate::support::world::{World, id};

/// A migration: its name, and its statements in both directions.
struct Migration {
    name: String,
    up: String,
    down: String,
}

/// All migrations, oldest first.
fn migrations() -> Vec<Migration> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    folders
        .iter()
        .map(|path| Migration {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            up: read(&path.join("up.sql")),
            down: read(&path.join("down.sql")),
        })
        .collect()
}

async fn empty() -> Database {
    let database = Database::create().await;
    database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    database
}

/// All objects in the database as one text, without diesel's own table.
async fn dump(database: &Database) -> String {
    let queries = [
        "SELECT concat_ws(' ', 'column', table_name, column_name, data_type, collation_name, \
         'null:', is_nullable, 'default:', column_default, 'generated:', is_generated, generation_expression) \
         AS line, table_name AS owner FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)), \
         conrelid::regclass::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "SELECT 'index ' || indexdef, tablename::text FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT concat_ws(' ', 'relation', relkind, relname), relname::text FROM pg_class \
         WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i'",
        "SELECT concat_ws(' ', 'type', typname), typname::text FROM pg_type \
         WHERE typnamespace = 'public'::regnamespace AND typtype <> 'c' AND typelem = 0",
        "SELECT 'function ' || pg_get_functiondef(oid), proname::text FROM pg_proc \
         WHERE pronamespace = 'public'::regnamespace AND prokind IN ('f', 'p')",
        "SELECT 'trigger ' || pg_get_triggerdef(oid), tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal",
    ];
    let all = queries.join(" UNION ALL ");
    let query = format!(
        "SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM ({all}) AS everything \
         WHERE owner NOT LIKE '\\_\\_diesel%'"
    );
    database.text(&query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_migration_is_undone_exactly() {
    let (by_hand, migrated) = (empty().await, Database::create().await);
    let mut before = Vec::new();
    for Migration { name, up, .. } in &migrations() {
        before.push(dump(&by_hand).await);
        by_hand.execute(up).await;
        let changes_rows_alone = name.ends_with("_clear_auto_renew_of_ended_subscriptions");
        assert_eq!(before.last() == Some(&dump(&by_hand).await), changes_rows_alone, "{name} has an effect");
    }
    let whole = dump(&by_hand).await;
    assert_eq!(whole, dump(&migrated).await, "the embedded migrations are those in the directory");
    for (Migration { name, down, .. }, before) in migrations().iter().zip(&before).rev() {
        migrated.execute(down).await;
        assert_eq!(&dump(&migrated).await, before, "{name} is reverted");
    }
    assert_eq!(dump(&migrated).await, "", "nothing is left");
    migrated.execute("DELETE FROM __diesel_schema_migrations").await;
    let db = Db::new(&migrated.url, &crate::support::settings()).unwrap();
    assert_eq!(db.migrate().await.unwrap().len(), migrations().len());
    assert_eq!(dump(&migrated).await, whole, "they can be run again");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_migrate_once() {
    let database = empty().await;
    let mut instances = JoinSet::new();
    for _ in 0..6 {
        let db = Db::new(&database.url, &crate::support::settings()).unwrap();
        instances.spawn(async move {
            let run = db.migrate().await.unwrap();
            assert_eq!(db.schema().await.unwrap(), Schema::Current);
            run
        });
    }
    let run: Vec<String> = instances.join_all().await.into_iter().flatten().collect();
    assert_eq!(run.len(), migrations().len(), "each ran once: {run:?}");
    assert_eq!(run.iter().collect::<BTreeSet<_>>().len(), run.len(), "{run:?}");
    let recorded = database.text("SELECT count(*) FROM __diesel_schema_migrations").await;
    assert_eq!(recorded, migrations().len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_those_before_it_and_can_be_taken_up_again() {
    let database = empty().await;
    database.execute("CREATE TABLE orders (in_the_way integer)").await;
    let db = Db::new(&database.url, &crate::support::settings()).unwrap();
    let error = db.migrate().await.unwrap_err().to_string();
    assert!(error.contains("orders"), "{error}");
    let Schema::Behind(missing) = db.schema().await.unwrap() else { panic!("some are missing") };
    assert!(!missing.is_empty() && missing.len() < migrations().len(), "{missing:?}");
    database.execute("DROP TABLE orders").await;
    assert_eq!(db.migrate().await.unwrap().len(), missing.len());
    assert_eq!(db.schema().await.unwrap(), Schema::Current);
    assert_eq!(dump(&database).await, dump(&Database::create().await).await);
}

/// The values of a query with one column.
async fn lines(database: &Database, column: &str, from: &str) -> Vec<String> {
    let text = database.text(&format!("SELECT string_agg({column}, ';' ORDER BY {column}) FROM {from}")).await;
    text.split(';').map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_constraint_and_index_has_a_name_of_ours() {
    let database = Database::create().await;
    let written: String = migrations().into_iter().map(|migration| migration.up).collect();
    let constraints = "pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' \
                       AND conrelid <> '__diesel_schema_migrations'::regclass";
    let constraints = lines(&database, "conrelid::regclass || ' ' || conname", constraints).await;
    let indexes = "pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_diesel%'";
    let indexes = lines(&database, "tablename || ' ' || indexname", indexes).await;
    assert!(constraints.len() > 30 && indexes.len() > 20);
    let words: BTreeSet<&str> = written.split_whitespace().collect();
    for (kind, names) in [("constraint", &constraints), ("index", &indexes)] {
        for (table, name) in names.iter().filter_map(|line| line.split_once(' ')) {
            assert!(name.starts_with(&format!("{table}_")), "the {kind} {name} starts with its table, {table}");
            let named = [format!("CONSTRAINT {name}"), format!("INDEX {name}")];
            assert!(named.iter().any(|named| written.contains(named)), "no up.sql contains the {kind} {name}");
            assert!(words.contains(name), "the name is not truncated: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_constraints_that_have_an_error_code_exist() {
    let database = Database::create().await;
    let indexes = lines(&database, "indexname::text", "pg_indexes WHERE schemaname = 'public'").await;
    let source = include_str!("../../src/store/error.rs");
    let table = source.split("const UNIQUE").nth(1).unwrap().split("];").next().unwrap();
    let names: Vec<_> = table.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        assert!(indexes.iter().any(|index| index == name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_the_code_is_that_of_the_database() {
    let database = Database::create().await;
    let sources = [include_str!("../../src/store/schema.rs"), include_str!("../../src/store/schema/records.rs")];
    let source = sources.concat();
    let tables: Vec<_> = source.split("table! {").skip(1).map(|rest| rest.split("\n}").next().unwrap()).collect();
    let all = "information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'";
    assert_eq!(lines(&database, "table_name::text", all).await.len(), tables.len(), "each table is in the code");
    for table in tables {
        let name = table.split('(').next().unwrap().trim();
        assert_eq!(table.trim(), as_diesel(&database, name).await.trim(), "{name}");
    }
}

/// A table in the notation of `schema.rs`.
async fn as_diesel(database: &Database, table: &str) -> String {
    let keys = format!(
        "SELECT string_agg(attname, ', ' ORDER BY array_position(conkey, attnum)) FROM pg_constraint \
         JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey) \
         WHERE contype = 'p' AND conrelid = '{table}'::regclass"
    );
    let columns = format!(
        "SELECT string_agg(concat_ws('|', column_name, udt_name, is_nullable), ';' ORDER BY ordinal_position) \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'"
    );
    let mut text = format!("{table} ({}) {{\n", database.text(&keys).await);
    for column in database.text(&columns).await.split(';') {
        let parts: Vec<_> = column.split('|').collect();
        let kind = match parts[1] {
            "uuid" => "Uuid",
            "text" => "Text",
            "jsonb" => "Jsonb",
            "timestamptz" => "Timestamptz",
            "date" => "Date",
            "int8" => "BigInt",
            "int2" => "SmallInt",
            "int4" => "Integer",
            "bool" => "Bool",
            "bytea" => "Bytea",
            "_bytea" => "Array<Bytea>",
            "_timestamptz" => "Array<Timestamptz>",
            other => panic!("add the diesel type of {other} here"),
        };
        let kind = if parts[2] == "YES" { format!("Nullable<{kind}>") } else { kind.to_owned() };
        writeln!(text, "        {} -> {kind},", parts[0]).unwrap();
    }
    text + "    }"
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_had_ended_before_stop_renewing_and_the_others_go_on() {
    let world = World::new().await;
    let pending = format!("/v1/subscriptions/{}", id(&world.pending_id));
    let cancelled = world.admin.act(&format!("{pending}/cancel")).await.ok();
    // Data as an earlier release has left it.
    world.server.database.execute("UPDATE subscriptions SET auto_renew = true").await;
    let before = world.admin.get(&world.active("")).await.ok();
    let is_it = |migration: &Migration| migration.name.ends_with("_clear_auto_renew_of_ended_subscriptions");
    let migration = migrations().into_iter().find(is_it).unwrap();
    world.server.database.execute(&migration.up).await;
    let ended = world.admin.get(&pending).await.ok();
    assert_eq!(ended["auto_renew"], false);
    assert_ne!(ended["version"], cancelled["version"], "its entity tag has changed");
    assert_eq!(world.admin.get(&world.active("")).await.ok(), before);
    let versions = "SELECT string_agg(version::text, ' ' ORDER BY id) FROM subscriptions";
    let first = world.server.database.text(versions).await;
    world.server.database.execute(&migration.up).await;
    assert_eq!(world.server.database.text(versions).await, first, "it can be repeated");
}

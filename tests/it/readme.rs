//! The README against the program that it describes.

use std::{collections::BTreeSet, fs, path::Path};

use clap::{CommandFactory, Parser};
use zia_mcp::{
    cli::Cli,
    config::{Config, Env, Flags},
};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The fenced blocks of a language.
fn snippets(language: &str) -> Vec<String> {
    let readme = file("README.md");
    let fence = format!("```{language}\n");
    let found: Vec<_> = readme
        .match_indices(&fence)
        .map(|(at, _)| {
            let rest = &readme[at + fence.len()..];
            rest[..rest.find("```").unwrap()].to_owned()
        })
        .collect();
    assert!(!found.is_empty(), "no {language} in the README");
    found
}

/// Words such as `ZIA_CLOUD`, without the `_FILE` of a secret that is given as a file.
fn settings(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|w| w.starts_with("ZIA_") || w.starts_with("ZSCALER_"))
        .filter(|w| !w.ends_with('_') && w.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .map(|w| match w {
            "ZIA_MCP_KEY_FILE" => w.to_owned(),
            other => other.trim_end_matches("_FILE").to_owned(),
        })
        .collect()
}

fn names_in(folder: &str, extension: &str) -> Vec<String> {
    let paths = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let names: Vec<_> = paths
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(!names.is_empty());
    names
}

#[test]
fn every_setting_named_in_the_readme_exists() {
    let code: String = ["src/config.rs", "src/config/env.rs", "src/config/tenant.rs"].map(file).concat();
    assert_eq!(settings(&file("README.md")), settings(&code));
}

#[test]
fn every_key_of_the_readmes_settings_file_is_accepted_and_none_is_left_out() {
    let block = snippets("toml").into_iter().find(|s| s.contains("[tenant]")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zia-mcp.toml");
    let secrets = [("ZIA_PASSWORD", "x"), ("ZIA_API_KEY", "abcdefghijkl")];
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        Config::load(&secrets.into_iter().chain([("HOME", "/nowhere")]).collect::<Env>(), &flags)
    };
    load(&block).unwrap();

    let mut section = "";
    let mut shown = BTreeSet::new();
    for line in block.lines() {
        if let Some(name) = line.strip_prefix("[[").and_then(|l| l.split("]]").next()) {
            // One of several sections of a list; the whole file was loaded with its keys above.
            shown.insert(name.to_owned());
            section = "";
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            section = name;
        }
        if section.is_empty() {
            continue;
        }
        let line = line.trim_start_matches("# ");
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) else { continue };
        shown.insert(format!("{section}.{key}"));
        let one = format!("[{section}]\n{}\n", line.replace('…', "host"));
        let problems = load(&one).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(!problems.contains("unknown") && !problems.contains("expected \""), "{one}{problems}");
    }
    assert_eq!(shown, schema());
}

/// `section.key` of the settings file, as the source lists them.
fn schema() -> BTreeSet<String> {
    let source = file("src/config/file.rs");
    let from = source.find("const SCHEMA").unwrap();
    let table = &source[from..from + source[from..].find("\n];").unwrap()];
    let mut section = "";
    let mut known = BTreeSet::new();
    let parts: Vec<_> = table.split('"').collect();
    // Texts in quotes are at odd places; a section is the first in its parentheses.
    for pair in parts.windows(2).step_by(2) {
        let [before, word] = pair else { continue };
        if before.trim_end().ends_with('(') {
            section = word;
        } else {
            known.insert(format!("{section}.{word}"));
        }
    }
    known
}

#[test]
fn every_tool_and_prompt_is_in_the_readme() {
    let readme = file("README.md");
    for name in names_in("src/mcp/tools", "rs").into_iter().chain(names_in("prompts", "md")) {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_json_snippet_of_the_readme_parses() {
    for text in snippets("json") {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(value.is_object(), "{text}");
    }
}

#[test]
fn every_toml_snippet_of_the_readme_parses() {
    for text in snippets("toml") {
        text.parse::<toml::Table>().unwrap_or_else(|e| panic!("{e}: {text}"));
    }
}

#[test]
fn every_subcommand_and_flag_is_in_the_readme() {
    let readme = file("README.md");
    let program = Cli::command();
    for command in program.get_subcommands() {
        let name = command.get_name();
        assert!(
            readme.contains(&format!("`zia-mcp {name}")) || readme.contains(&format!("`{name} ")),
            "{name}"
        );
        for flag in command.get_arguments().filter_map(|a| a.get_long()) {
            assert!(readme.contains(&format!("--{flag}")), "{name} --{flag}");
        }
    }
}

#[test]
fn every_command_line_of_the_readme_is_understood() {
    let blocks = snippets("sh").concat();
    let lines: Vec<_> = blocks.lines().filter(|l| l.starts_with("zia-mcp ")).collect();
    assert!(lines.len() > 5, "{lines:?}");
    for line in lines {
        let words = line.split_whitespace().take_while(|w| !["#", ">", "&"].contains(w));
        Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}

#[test]
fn every_serve_of_a_client_snippet_is_understood() {
    let mut seen = 0;
    for text in snippets("json") {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let servers = value.get("mcpServers").or(value.get("servers"));
        for server in servers.and_then(|s| s.as_object()).into_iter().flat_map(|s| s.values()) {
            if let Some(args) = server["args"].as_array() {
                let words = ["zia-mcp"].into_iter().chain(args.iter().map(|a| a.as_str().unwrap()));
                Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{text}: {e}"));
                seen += 1;
            }
        }
    }
    assert!(seen >= 3);
}

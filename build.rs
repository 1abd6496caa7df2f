//! Puts the built front end into the relay: `portal/ui/dist`, which `node portal/ui/make.mjs` makes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = root.join("portal/ui/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-changed=build.rs");
    if !dist.join("index.html").is_file() {
        println!("cargo::error={NOT_BUILT}");
        return;
    }
    let mut files = Vec::new();
    list(&dist, &mut files);
    files.sort();
    let mut table = String::from("static FILES: &[File] = &[\n");
    for file in files {
        // Writing to a text does not fail.
        let _ = writeln!(table, "{}", entry(&dist, &file));
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("portal_files.rs");
    if let Err(error) = fs::write(&out, table) {
        println!("cargo::error=could not write {}: {error}", out.display());
    }
}

/// Every file but those that are compressed forms of others.
fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let compressed = path.extension().is_some_and(|end| end == "br" || end == "gz");
        match path.is_dir() {
            true => list(&path, files),
            false if !hidden && !compressed => files.push(path),
            false => {}
        }
    }
}

fn entry(dist: &Path, file: &Path) -> String {
    let path = file.strip_prefix(dist).unwrap_or(file).to_string_lossy().replace('\\', "/");
    let bytes = |end: &str| {
        let form = PathBuf::from(format!("{}{end}", file.display()));
        form.is_file().then(|| format!("include_bytes!({:?})", form.display().to_string()))
    };
    let form = |end| bytes(end).map_or("None".to_owned(), |bytes| format!("Some({bytes})"));
    let (plain, brotli, gzip) = (bytes("").unwrap_or_default(), form(".br"), form(".gz"));
    format!("    File {{ path: {path:?}, plain: {plain}, brotli: {brotli}, gzip: {gzip} }},")
}

const NOT_BUILT: &str = "the portal is not built: run `node portal/ui/make.mjs`, which needs Node 20.19 \
    or newer with npm (`cargo xtask demo` and `cargo xtask test` do it by themselves)";

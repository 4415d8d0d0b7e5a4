//! Writes every sample page and the static files into a folder, to be looked at: `samples FOLDER`.
//!
//! The pages refer to `/hub/static/`; serve the folder with any file server at its root.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: samples FOLDER")?;
    let folder = Path::new(&folder);
    let files = folder.join("hub/static");
    std::fs::create_dir_all(&files)?;
    for name in pages::static_names() {
        if let Some(file) = pages::static_file(name) {
            std::fs::write(files.join(name), file.bytes)?;
        }
    }
    let mut index = String::from("<!DOCTYPE html><meta charset=utf-8><title>Samples</title><ul>");
    for (name, html) in pages::sample::all()? {
        std::fs::write(folder.join(format!("{name}.html")), html)?;
        index.push_str(&format!("<li><a href=\"{name}.html\">{name}</a>"));
    }
    std::fs::write(folder.join("index.html"), index)?;
    Ok(())
}

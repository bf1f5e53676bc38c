//! The manifest compiler: `system/<name>.toml` in, the kernel's rights table out.
//!
//! Rule: a manifest that compiles is a system whose calls cannot deadlock, whose deadlines are sufficient, whose
//! memory fits and whose components have exactly the rights that are written down. At boot the kernel checks a CRC and,
//! once more, that calls lead uphill.
//! A manifest is for every board: it names devices, and the board's data says where they are. [`select`] leaves out what
//! a board does not have and the manifest allows it to lack.
//!
//! Steps: [`model`] reads the text, [`select`] takes what the board has, [`resolve`] looks up names, [`prove`] and [`devices`] check, and once the images
//! are built [`place`] lays out memory and [`rights`] writes the table.

pub mod board;
pub mod devices;
pub mod diagnostic;
pub mod graph;
pub mod model;
pub mod place;
pub mod prove;
pub mod reader;
pub mod resolve;
pub mod rights;
pub mod select;

#[cfg(test)]
pub mod tests;

use std::collections::BTreeSet;

use protocols::Service;

use board::Board;
use diagnostic::{Diagnostics, Source};
use model::{Component, Manifest};
use resolve::Links;

/// A checked manifest.
pub struct System {
    /// Its name: that of the file, without `.toml`.
    pub name: String,
    /// The board.
    pub board: Board,
    /// What is written; the index of a component is its slot.
    pub components: Vec<Component>,
    /// What the names in it stand for, for each slot.
    pub links: Vec<Links>,
    /// The file, for messages of later steps.
    pub source: Source,
}

impl System {
    /// Compiles the text of a manifest for `board`, one of the boards with the names `known`. `file` is the manifest's name
    /// for messages.
    ///
    /// # Errors
    /// Everything in it that is wrong.
    pub fn read(
        file: &str,
        text: &str,
        services: &[Service],
        board: Board,
        known: &[String],
    ) -> Result<Self, Diagnostics> {
        let source = Source::new(file, text);
        let manifest = reader::parse(&source, |reader| model::manifest(&reader));
        let mut manifest: Manifest =
            source.finish(manifest)?.expect("a manifest that is absent was reported");
        select::select(&mut manifest, &board, known, &source);
        let name = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".toml").to_owned();
        let links = resolve::resolve(&manifest, services, &source);
        // With names that stand for nothing, the proofs would report consequences only.
        let links = source.finish(links)?;
        prove::prove(&manifest, &name, &links, &source);
        devices::check(&manifest.components, &board, &source);
        source.finish(Self {
            name,
            board,
            components: manifest.components,
            links,
            source: Source::new(file, text),
        })
    }

    /// The packages that it needs, without the kernel.
    pub fn images(&self) -> BTreeSet<&str> {
        self.components
            .iter()
            .filter_map(|component| component.image.as_ref())
            .map(|image| image.value.as_str())
            .collect()
    }
}

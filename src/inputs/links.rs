//! The links of a mission: which records may be read, each once.

use std::collections::HashSet;

use super::bounds::MOST_LINKS;
use super::modules::{Module, find};
use crate::domain::encrypted::is_encrypted;
use crate::domain::mission::Input;

/// Ids that are longer are no ids of a device. In bytes.
const LONGEST_ID: usize = 1_024;

/// The records that a mission links.
#[derive(Debug, Clone)]
pub struct Links {
    /// The first [`MOST_LINKS`], each record once, in the user's order.
    pub links: Vec<Link>,
    /// How many more records are linked.
    pub more: usize,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its place in the mission's `inputs`, from 1.
    pub position: usize,
    /// The record.
    pub id: String,
    /// What it leads to.
    pub target: Target,
}

/// What a link leads to.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// A record of a table that can be read.
    Module(&'static Module),
    /// No module, or no table of it, that this service knows.
    Unknown,
    /// The link itself is encrypted.
    Encrypted,
}

impl Links {
    /// The links in a mission's `inputs`.
    pub fn of(inputs: &[Input]) -> Self {
        let mut seen = HashSet::new();
        let mut is_first =
            |input: &Input| seen.insert((input.module.clone(), input.table.clone(), input.id.clone()));
        let distinct: Vec<_> = inputs.iter().enumerate().filter(|(_, input)| is_first(input)).collect();
        let links = distinct.iter().take(MOST_LINKS).map(|(at, input)| Link::of(at + 1, input));
        Self { links: links.collect(), more: distinct.len().saturating_sub(MOST_LINKS) }
    }
}

impl Link {
    fn of(position: usize, input: &Input) -> Self {
        let Input { module, table, id } = input;
        let target = match find(module, table) {
            _ if [module, table, id].into_iter().any(|part| is_encrypted(part)) => Target::Encrypted,
            Some(module) if !id.is_empty() && id.len() <= LONGEST_ID => Target::Module(module),
            _ => Target::Unknown,
        };
        Self { position, id: id.clone(), target }
    }

    /// The module, where it is one that can be read.
    pub fn module(&self) -> Option<&'static Module> {
        if let Target::Module(module) = self.target { Some(module) } else { None }
    }
}

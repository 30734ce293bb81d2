//! The names of models as a label: whatever mana-llm calls them, there are only so many.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Where nothing answered, or did not say what it is.
pub(super) const NONE: &str = "none";
/// All names beyond the first.
const OTHER: &str = "other";
/// So many names are told apart: each is a dozen series, in every replica.
const DISTINCT: usize = 20;

/// Those seen so far.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<HashSet<String>>);

impl Models {
    /// The label of a model.
    pub(super) fn label<'name>(&self, model: Option<&'name str>) -> &'name str {
        let Some(model) = model else { return NONE };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(model) {
            return model;
        }
        if seen.len() == DISTINCT {
            return OTHER;
        }
        seen.insert(model.to_owned());
        model
    }
}

#[cfg(test)]
mod tests {
    use super::Models;

    #[test]
    fn twenty_names_and_no_sentence() {
        let models = Models::default();
        assert_eq!(models.label(None), "none");
        for n in 0..30 {
            let name = format!("provider/model-{n}:latest");
            assert_eq!(models.label(Some(&name)), if n < 20 { name.as_str() } else { "other" });
        }
        assert_eq!(models.label(Some("provider/model-3:latest")), "provider/model-3:latest");
    }
}

//! Names of models as values of a label. mana-llm chooses the names, so their number is bounded here.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The label where no model answered, or where it did not say its name.
pub(super) const NONE: &str = "none";
/// The label of every name beyond the first [`DISTINCT`].
const OTHER: &str = "other";
/// How many names get a label of their own. Each costs a dozen series in every replica.
const DISTINCT: usize = 20;

/// The names that have a label of their own.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<HashSet<String>>);

impl Models {
    /// The label for the name that mana-llm gave a model.
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

//! What operators ask: [`check`] whether everything is there, [`status`] how much is due and who works on it, [`explain`]
//! why a mission is due or not, [`prompt`](prompt::prompt) what the model would be told of it.

pub mod check;
pub mod explain;
mod inputs;
pub mod prompt;
mod situation;
pub mod status;

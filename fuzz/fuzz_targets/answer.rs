#![no_main]

#[macro_use]
mod target;

target!(mana_ai_fuzz::answer);
